"""Calls that are made at once: what waiting would save, and what it would cost."""

from dataclasses import replace

import numpy as np
import pytest

from mar.controllers.sequential import Terms
from mar.controllers.sequential.together import Prospect
from mar.types import Budget, Considered, StepBound
from tests.controllers.sequential.test_policy import CHEAP, DEAR, WEAK, mind, play
from tests.runtime.episodes import events

PROSPECT = Prospect(
    chance=np.array([0.6, 0.4]),
    now=np.array([0.9, 0.5]),
    right=np.array([[0.92], [0.8]]),
    price=np.array([0.05]),
    seconds=np.array([10.0]),
    in_time=[True],
)
AGREE = dict.fromkeys((CHEAP, DEAR, WEAK), "The answer is 42.")


def test_where_time_is_cheap_it_is_better_to_wait_for_what_makes_a_call_needless():
    # later: .6 x .9 + .4 x (.8 - .05 - .001 x 10); at once: .6 x .92 + .4 x .8 - .05
    assert PROSPECT.later(0.001) == pytest.approx(0.836)
    assert PROSPECT.at_once(0.001, taken=10.0) == pytest.approx([0.822])


def test_where_time_is_dear_it_is_better_to_pay_for_what_may_be_needless():
    # later: .6 x .9 + .4 x (.8 - .05 - .01 x 10)
    assert PROSPECT.later(0.01) == pytest.approx(0.8)
    assert PROSPECT.at_once(0.01, taken=10.0) == pytest.approx([0.822])


def test_a_call_that_is_slower_than_the_others_costs_the_seconds_that_are_waited_for_it_alone():
    assert PROSPECT.at_once(0.01, taken=4.0) == pytest.approx([0.822 - 0.01 * 6])


def test_what_cannot_be_asked_in_time_later_is_worth_nothing_then():
    late = Prospect(
        chance=PROSPECT.chance,
        now=PROSPECT.now,
        right=PROSPECT.right,
        price=PROSPECT.price,
        seconds=PROSPECT.seconds,
        in_time=[False],
    )

    assert late.later(0.0) == pytest.approx(0.6 * 0.9 + 0.4 * 0.5)


def hearing():
    """Minds for which one voice may be surer than another."""
    found = mind(theta=(2.0, 2.2, 2.0))
    return [replace(found, habits=replace(found.habits, apart=1.5))]


def test_a_price_of_time_makes_an_episode_ask_several_at_once():
    patient, _ = play(AGREE, minds=hearing(), terms=Terms(cost_rate=5.0, reading=False))
    hurried, asked = play(AGREE, minds=hearing(), terms=Terms(cost_rate=5.0, reading=False, time_rate=0.002))

    assert [len(e.why.beliefs) for e in events(patient, Considered)][:2] == [0, 1]  # an answer was heard in between
    assert events(hurried, Considered)[0].why.options[0].action == "ask cheap and weak and cheap, at once"
    assert asked == [CHEAP, WEAK, CHEAP]
    assert {e.index for e in events(hurried, StepBound)} == {0, 1, 2}


def test_where_a_deadline_leaves_no_time_for_one_after_the_other_they_are_asked_at_once():
    minds = hearing()  # a call takes 5 s, they think

    episode, asked = play(AGREE, minds=minds, terms=Terms(cost_rate=5.0, reading=False), budget=Budget(seconds=10.0))

    assert events(episode, Considered)[0].why.options[0].action.endswith("at once")
    assert len(asked) >= 2
