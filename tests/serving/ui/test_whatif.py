"""What if: when another price of money changes nothing."""

from __future__ import annotations

from mar.serving.ui.whatif import Replanned
from mar.types import Option, Why


def replanned(label, action):
    why = Why(options=(Option(action=action, right=0.9, usd=0.1, seconds=1.0),))
    return Replanned(rate=1.0, label=label, shape=None, why=why)


def test_a_policy_of_the_same_name_that_would_begin_otherwise_is_not_what_was_done():
    assert replanned("sequential", "ask a").same("sequential", "ask a")
    assert not replanned("sequential", "ask b").same("sequential", "ask a")
    assert not replanned("IO(a)", "ask a").same("sequential", "ask a")
