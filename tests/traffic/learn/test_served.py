"""What served beside every model alone and a candidate in shadow: worlds whose truth is known."""

from __future__ import annotations

import math

import pytest

from mar.traffic.learn.served import Price, beside
from mar.traffic.records import Arm, Logged, Outcome

MODELS = {"a": Price(read=1.0, written=0.0), "b": Price(read=0.0, written=10.0), "c": None}


def logged(n, drawn, *, worth=None, share=0.2, arms=("a", "b"), cost=9.0):
    """A request that serves a with probability 1 - share, and each other arm with an even part of it."""
    others = [name for name in arms if name != "a"]
    chance = {"a": 1 - share if others else 1.0} | {name: share / len(others) for name in others}
    rest = [Arm(name=name, probability=chance[name]) for name in arms if name != drawn]
    return Logged(
        id=f"e{n}",
        at=float(n),
        key="",
        user=f"u{n}",
        conversation=None,
        text=None,
        embedding=None,
        controller="cards",
        version="v",
        arms=(Arm(name=drawn, probability=chance[drawn]), *rest),
        explored=drawn != "a",
        answer=None,
        prompt_tokens=1000,
        completion_tokens=100,
        cost_usd=cost,
        seconds=1.0,
        status=200,
        outcomes=() if worth is None else (Outcome(kind="rating", value=worth),),
    )


def world(n=500, every=5, a=0.0, b=1.0, **how):
    """a serves four of five requests and b one of five, as the log says; what they are worth is always the same."""
    return [logged(i, "b" if i % every == 0 else "a", worth=b if i % every == 0 else a, **how) for i in range(n)]


def test_a_model_that_is_always_right_beside_one_that_never_is():
    found = beside(world(), MODELS)
    assert [one.name for one in found.others] == ["a", "b"]
    same, better = found.others
    assert same.surely.low == same.surely.high == 0.0
    assert better.more == 0
    # 100 of 500 drew b, which was always right; 400 drew a, which never was.
    assert better.gain.quality.mean == pytest.approx(1.0, abs=0.05)
    assert found.served.quality.mean == pytest.approx(0.0, abs=0.05)
    assert better.gain.quality.ess <= 100
    assert found.sentence.startswith("b would have been worth more than what served: +")


def test_costs_are_todays_whatever_was_paid_then():
    a, b = beside(world(), MODELS).others
    # a: 1,000 tokens read at 1 USD a million; b: 100 written at 10.
    assert a.comes.usd.mean == pytest.approx(0.001, rel=0.01)
    assert b.comes.usd.mean == pytest.approx(0.001, rel=0.01)
    dear = beside(world(), {"a": None, "b": MODELS["b"]}).others
    assert dear[0].comes.usd.mean == pytest.approx(9.0, rel=0.01)


def test_what_was_never_tried_is_not_known_and_the_sentence_says_what_to_do():
    found = beside([logged(i, "a", worth=1.0, arms=("a",)) for i in range(50)], MODELS)
    assert [one.name for one in found.others] == ["a"]
    assert "explore in serve.toml" in found.sentence


def test_few_ratings_tell_nothing_and_how_many_more_would_is_said():
    some = [logged(i, "b" if i % 5 == 0 else "a", worth=(i % 3 > 0) if i % 2 else None) for i in range(120)]
    found = beside(some, MODELS)
    assert found.sentence.startswith("This log cannot tell ")
    assert found.rated == 60


def test_without_ratings_only_cost_and_time_are_compared():
    found = beside([logged(i, "b" if i % 5 == 0 else "a") for i in range(100)], MODELS)
    assert found.others == ()
    assert found.sentence.startswith("Nobody has said")
    assert found.served.usd.mean == pytest.approx(0.001, rel=0.05)


def test_a_candidate_in_shadow_is_judged_on_what_it_planned():
    log = world()
    plans = {f"e{i}": "IO(b)" for i in range(0, 500, 2)}
    (*_, candidate) = beside(log, MODELS, shadows={"new": plans}).others
    assert candidate.name == "new"
    assert candidate.gain.quality.mean == pytest.approx(1.0, abs=0.1)
    untried = {f"e{i}": "Debate(b, c)" for i in range(0, 500, 2)}
    (*_, unknown) = beside(log, MODELS, shadows={"new": untried}).others
    assert (unknown.comes.quality.interval.low, unknown.comes.quality.interval.high) == (0.0, 1.0)
    assert math.isinf(unknown.comes.usd.interval.high)


def test_a_log_without_probabilities_or_answers_says_nothing():
    assert beside([], MODELS) is None
