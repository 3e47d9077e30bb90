"""What a log makes one believe: by ratings, by cards, by prices, and by what others say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mar.traffic.beliefs import believe
from mar.traffic.records import Arm, Logged, Other, Outcome

STATED = {"a": 0.8, "b": 0.6, "c": 0.6, "d": 0.6}


def logged(n: int, model: str, rating: float | None = None, others: tuple[Other, ...] = ()) -> Logged:
    """A request that a model answered."""
    arms = tuple(Arm(name=name, probability=float(name == model), usd=0.01) for name in STATED)
    return Logged(
        id=str(n),
        at=1e9 + n,
        key="k",
        user=None,
        conversation=None,
        text=None,
        embedding=None,
        controller="cards",
        version="v",
        arms=(*(arm for arm in arms if arm.name == model), *(arm for arm in arms if arm.name != model)),
        explored=False,
        answer=None,
        prompt_tokens=1,
        completion_tokens=1,
        cost_usd=0.01 if model == "a" else 0.001,
        seconds=1.0,
        status=200,
        outcomes=() if rating is None else (Outcome(kind="rating", value=rating),),
        others=others,
    )


def test_before_anything_is_rated_cards_are_believed_and_prices_weighed():
    belief = believe([logged(0, "a")], STATED, 0.0)
    assert belief is not None
    assert max(belief.best, key=belief.best.__getitem__) == "a"
    assert sum(belief.best.values()) == pytest.approx(1.0)
    dear = believe([logged(n, model) for n, model in enumerate(STATED)], STATED, 40.0)
    assert dear is not None
    assert dear.worth["a"] < dear.worth["b"]


def test_ratings_outweigh_cards():
    log = [logged(n, "ab"[n % 2], float(n % 2)) for n in range(200)]
    belief = believe(log, STATED, 0.0)
    assert belief is not None
    assert belief.best["b"] > 0.9


def test_what_nobody_rated_is_believed_by_who_says_the_same():
    def says(n: int) -> tuple[Other, ...]:  # c says what a says, b something else on every second question
        said = ("x", "xy"[n % 2], "x", "x")
        return tuple(Other(model=model, said=text, single=True) for model, text in zip("abcd", said, strict=True))

    log = [logged(n, "a", float(n % 5 > 0), says(n)) for n in range(200)]
    belief = believe(log, STATED, 0.0)
    assert belief is not None
    assert belief.worth["c"] > belief.worth["b"] + 0.2
    alone = believe([replace(one, others=()) for one in log], STATED, 0.0)
    assert alone is not None
    assert alone.worth["b"] == pytest.approx(alone.worth["c"])


def test_without_prices_nothing_is_believed_where_they_count():
    log = [replace(logged(0, "a"), cost_usd=None, arms=(Arm(name="a", probability=1.0),))]
    assert believe(log, STATED, 40.0) is None
    assert believe(log, STATED, 0.0) is not None
    assert believe([], STATED, 0.0) is None
