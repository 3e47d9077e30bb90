"""A log as arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mar.traffic.estimates.others import UNASKED
from mar.traffic.estimates.table import table_of, usable, worth_of
from mar.traffic.records import Arm, Logged, Other, Outcome


def logged(
    id: str, *arms: Arm, user: str | None = None, status: int = 200, outcomes: tuple[Outcome, ...] = ()
) -> Logged:
    return Logged(
        id=id,
        at=0.0,
        key="",
        user=user,
        conversation=None,
        text="?",
        embedding=(1.0, 0.0),
        controller="cards",
        version="v",
        arms=arms,
        explored=False,
        answer="!",
        prompt_tokens=1,
        completion_tokens=1,
        cost_usd=None,
        seconds=2.0,
        status=status,
        outcomes=outcomes,
    )


A, B = Arm(name="a", probability=0.9), Arm(name="b", probability=0.1)


def test_arms_stand_in_the_same_columns_whatever_was_drawn():
    table = table_of([logged("1", A, B, user="u"), logged("2", B, A), logged("3", A, B, user="u")])
    assert table.arms == ("a", "b")
    assert table.drawn.tolist() == [0, 1, 0]
    assert table.probability.tolist() == [[0.9, 0.1]] * 3
    assert table.person.tolist() == [0, 1, 0]
    assert np.isnan(table.usd).all()
    assert table.rated == 0


def test_the_most_trusted_kind_of_outcome_counts():
    rating = Outcome(kind="rating", value=0.0)
    assert worth_of((rating, Outcome(kind="tests", value=1.0))) == 1.0
    assert worth_of((rating, Outcome(kind="rating", value=1.0))) == pytest.approx(0.5)
    assert worth_of((Outcome(kind="agreement", value=0.7),)) == pytest.approx(0.7)
    assert worth_of(()) is None
    assert worth_of((rating,), kinds=("tests",)) is None


def test_failed_requests_and_those_without_probabilities_are_not_learned_from():
    assert usable(logged("1", A, B))
    assert not usable(logged("1", A, B, status=502))
    assert not usable(logged("1"))


def test_what_was_asked_of_a_model_by_its_name_is_not_learned_from_since_no_policy_drew_it():
    assert not usable(replace(logged("1", Arm(name="direct", probability=1.0)), controller=""))


def test_what_models_say_stands_by_model_and_a_failure_as_if_it_had_not_been_asked():
    said = (Other(model="b", said="x", single=True, usd=0.1), Other(model="a", said="x", single=True))
    failed = (Other(model="a", said="y"), Other(model="b", said="", reason="ill"))
    log = [replace(logged("1", A, B), others=said), replace(logged("2", A, B), others=failed), logged("3", A, B)]
    others = table_of(log).others
    assert others is not None
    assert others.said.tolist() == [[0, 0], [0, UNASKED], [UNASKED, UNASKED]]
    assert others.single.tolist() == [True, False, False]
    assert others.usd[0, 1] == pytest.approx(0.1)
    assert np.isnan(others.usd).sum() == 5
    assert table_of([logged("3", A, B)]).others is None
