"""Teams whose agreement settles: which are best on a table, and how they are played."""

import numpy as np
import pytest

from mar.controllers.cascades.agreement import AgreementRule, Tier, agreement, best_tiers
from mar.controllers.cascades.steps import Heard
from tests.controllers.cascades.questions import call, question, table

# a and b are right on the first half and differ on the second; c always knows and costs 0.3.
WORLD = table({"a": "yyyynnnn", "b": "yyyyxxxx", "c": "yyyyyyyy"}, a=0.01, b=0.01, c=0.3)


def test_a_cheap_pair_that_agrees_settles_and_the_dear_model_answers_the_rest():
    found = best_tiers(WORLD, (2, 0, 1), most=6)

    first, second = found.tiers
    assert (set(first.models), first.needed, second.models) == ({0, 1}, 2, (2,))
    # Both cheap ones always, the dear one on half, right on all.
    assert found.utility == pytest.approx(1 - 0.02 - 0.3 / 2)


def test_a_single_model_is_a_tier_too():
    assert [t.models for t in best_tiers(WORLD, (2, 0, 1), most=1).tiers] == [(2,)]
    assert [t.models for t in best_tiers(WORLD, (0,), most=6).tiers] == [(0,)]


def test_three_tiers_are_found_where_they_pay():
    # Two silent unless they know, one that knows more, one that knows all: each single one settles when it speaks.
    from dataclasses import replace

    found = table({"a": "yynnnn", "b": "yyyynn", "c": "yyyyyy"}, a=0.01, b=0.1, c=0.5)
    quiet = replace(found, answer=np.where(found.right, 0, -1))

    tiers = best_tiers(quiet, (0, 1, 2), most=6)

    assert [t.models for t in tiers.tiers] == [(0,), (1,), (2,)]
    assert tiers.utility == pytest.approx(1 - 0.01 - 0.1 * 4 / 6 - 0.5 * 2 / 6)


def test_no_model_is_in_two_tiers():
    rng = np.random.default_rng(1)
    world = table({m: "".join(rng.choice(["y", "n", "x"], 12)) for m in "abcde"}, a=0.0, b=0.0, c=0.0, d=0.0, e=0.0)

    asked = [m for tier in best_tiers(world, (0, 1, 2, 3, 4), most=4).tiers for m in tier.models]

    assert len(asked) == len(set(asked)) <= 4


def test_the_most_frequent_answer_and_who_gave_it():
    answer = np.array([[0, 1, 1], [0, 1, 2], [-1, -1, -1], [-1, 0, -1]])
    heard = np.array([[True] * 3, [True] * 3, [False, True, True], [True] * 3])

    agree, who = agreement(answer, heard)

    assert agree.tolist() == [2, 1, 0, 1]
    assert who.tolist() == [1, 0, 1, 1]


RULE = AgreementRule(tiers=(Tier(models=(0, 1), needed=2), Tier(models=(2,), needed=1)))


def heard(calls, order=None, form="open"):
    models = tuple("abc".index(c.model) for c in calls)
    return Heard(asked=question("?", calls, form), models=models, order=models if order is None else order)


def test_a_tier_is_asked_at_once_and_settles_if_it_agrees():
    assert RULE.ask(heard([])).models == (0, 1)
    agreed = heard([call("a", "7"), call("b", "7.0")])
    assert RULE.ask(agreed) is None
    assert RULE.take(agreed).model == 0
    assert RULE.take(agreed).why.because == "2 of 2 agree"


def test_where_it_does_not_the_next_tier_is_asked_and_its_answer_taken():
    differ = [call("a", "7"), call("b", "8")]
    ask = RULE.ask(heard(differ))
    assert (ask.models, ask.why.because) == ((2,), "1 of 2 agree, 2 are needed")
    everybody = heard([*differ, call("c", "9")])
    assert RULE.ask(everybody) is None
    assert RULE.take(everybody).model == 2


def test_who_failed_or_said_nothing_agrees_with_nobody():
    assert RULE.ask(heard([call("a", "7")], order=(0, 1))).models == (2,)
    assert RULE.ask(heard([call("a", None), call("b", None)])).models == (2,)
    assert RULE.take(heard([call("a", "7")], order=(0, 1, 2))).model == 0
    assert RULE.take(heard([call("a", "7"), call("b", "8"), call("c", None)])).model == 0


def test_programs_agree_by_passing_the_shown_tests():
    rule = AgreementRule(tiers=(Tier(models=(0, 1), needed=1), Tier(models=(2,), needed=1)))
    failed, passed = call("a", "p", feedback="failed"), call("b", "q", feedback="passed")
    assert rule.ask(heard([failed, passed], form="programs")) is None
    assert rule.take(heard([failed, passed], form="programs")).model == 1
    nobody = [failed, call("b", "q", feedback="failed"), call("c", "r", feedback="failed")]
    assert rule.take(heard(nobody, form="programs")).model == 2
