"""Cascade routing: what sets of models are worth, estimates, and who is asked."""

import numpy as np
import pytest

from mar.controllers.cascades.estimates import Answers, Change, Changes, Estimates, own_features
from mar.controllers.cascades.logistic import log_odds
from mar.controllers.cascades.routing import Routing, RoutingRule, worths
from mar.controllers.cascades.steps import Heard
from tests.controllers.cascades.questions import call, question, table

CERTAIN = np.zeros((3, 3))
CHANCE, PRICE = np.array([0.6, 0.7, 0.9]), np.array([0.01, 0.05, 0.4])


def test_certain_estimates_are_worth_the_best_of_them_less_all_prices():
    found = {w.added: w.utility for w in worths(CHANCE, CERTAIN, PRICE, (), (0, 1, 2), most=3)}

    assert len(found) == 7
    assert found[(0,)] == pytest.approx(0.59)
    assert found[(0, 1)] == pytest.approx(0.7 - 0.06)
    assert found[(0, 1, 2)] == pytest.approx(0.9 - 0.46)


def test_what_was_answered_is_paid_and_can_be_kept():
    found = worths(CHANCE, CERTAIN, PRICE, (1,), (0, 2), most=2)

    assert (found[0].added, found[0].utility) == ((), pytest.approx(0.7))
    assert {w.added for w in found} == {(), (0,), (2,), (0, 2)}


def test_the_best_of_two_uncertain_estimates_is_expected_to_be_better_than_each():
    spread = 0.1
    both = worths(np.array([0.5, 0.5]), spread**2 * np.eye(2), np.zeros(2), (), (0, 1), most=2)[0]
    tied = worths(np.array([0.5, 0.5]), spread**2 * np.ones((2, 2)), np.zeros(2), (), (0, 1), most=2)

    # The larger of two independent normals: spread / sqrt(pi) above their mean.
    assert (both.added, both.quality) == ((0, 1), pytest.approx(0.5 + spread / np.pi**0.5, abs=0.006))
    assert max(w.quality for w in tied) == pytest.approx(0.5, abs=0.006)


def test_no_larger_set_is_tried_than_may_be_asked():
    assert {len(w.added) for w in worths(CHANCE, CERTAIN, PRICE, (), (0, 1, 2), most=1)} == {1}


def test_an_answer_is_judged_by_its_signs_and_by_who_agrees():
    answers = Answers(models=(0, 1, 2), signs=np.zeros((3, 5)), numbers=np.array([4, 4, -1]))

    found = own_features(CHANCE, answers)

    assert found[:, 0].tolist() == pytest.approx(log_odds(CHANCE).tolist())
    assert found[:, -2].tolist() == pytest.approx([0.7, 0.6, 0])  # who agrees
    assert found[:, -1].tolist() == [0, 0, 0]  # the silent one differs from nobody
    differ = Answers(models=(0, 2), signs=np.zeros((2, 5)), numbers=np.array([4, 5]))
    assert own_features(CHANCE, differ)[:, -2:].tolist() == [[0, 0.9], [0, 0.6]]


def test_changes_are_measured_for_those_who_have_answered_and_those_who_have_not():
    seen = [Change(models=(0, 1), answered=1, by=np.array([s * 0.1, s * 0.3])) for s in (1, -1) for _ in range(50)]

    found = Changes.of(seen, 3)
    covariance = found.covariance([0])

    assert found.answered == pytest.approx(0.1)
    assert found.other.tolist() == pytest.approx([0.3] * 3)  # model 2 like the others
    assert covariance[0].tolist() == pytest.approx([0.01, 0.03, 0.03])  # they change together
    assert covariance[1, 2] == 0  # of two who had not, nothing was seen


@pytest.fixture(scope="module")
def learned():
    # a is right on most, b on half; where they agree they are right.
    letters = {"a": "yyyyyyyyyn" * 6, "b": "yyyyynxnxx" * 6, "c": "nxnxnxnxnx" * 6}
    return Routing.learn(table(letters, a=0.05, b=0.001, c=0.001))


def test_before_any_answer_estimates_are_about_each_models_accuracy(learned):
    found = learned.estimates.at_first(learned.table.texts).mean(0)
    assert found.tolist() == pytest.approx([0.9, 0.5, 0.0], abs=0.05)


def test_agreement_raises_estimates_and_disagreement_lowers_them(learned):
    first = np.array([0.9, 0.5, 0.05])
    answers = {n: Answers(models=(0, 1), signs=np.zeros((2, 5)), numbers=np.array([0, n])) for n in (0, 1)}
    agree, differ = (learned.estimates.after(first, answers[n]) for n in (0, 1))
    assert agree[1] > 0.8 > 0.4 > differ[1]
    assert learned.estimates.after(first, Answers(models=(), signs=np.zeros((0, 5)), numbers=np.zeros(0))) is first


def rule(learned, most=3, models=(0, 1, 2)):
    return RoutingRule(routing=learned, first=np.array([0.9, 0.5, 0.05]), models=models, most=most)


def heard(*calls, order=None):
    models = tuple("abc".index(c.model) for c in calls)
    return Heard(asked=question("?", calls), models=models, order=models if order is None else order)


def test_the_cheapest_model_of_the_best_set_is_asked_first_and_no_more_than_may_be(learned):
    ask = rule(learned).ask(heard())
    assert ask.why.options[0].utility == max(o.utility for o in ask.why.options)
    best = ask.why.options[0].action
    assert learned.table.models[ask.models[0]] in best
    assert "b" not in best or ask.models == (1,)
    assert rule(learned, most=1).ask(heard()).models == (0,)  # alone the best is a
    assert rule(learned, most=1).ask(heard(call("a", "1"))) is None
    assert rule(learned, models=(2,)).ask(heard()).models == (2,)


def test_the_answer_of_the_highest_estimate_is_taken_and_a_readable_one_first(learned):
    assert rule(learned).take(heard(call("b", "2"), call("a", "1"))).model == 0
    assert rule(learned).take(heard(call("a", None), call("c", "1"))).model == 2
    assert rule(learned).take(heard(call("a", None))).model == 0


def test_a_table_of_one_model_and_few_items_can_be_learned_from():
    found = Estimates.learn(table({"a": "yny"}, a=0.1))
    assert found.at_first(np.zeros((1, 0))).shape == (1, 1)
    only = Answers(models=(0,), signs=np.zeros((1, 5)), numbers=np.array([0]))
    assert 0 < found.after(np.array([0.5]), only)[0] < 1
