"""Orders and thresholds that are best on a table, and how they are played."""

import numpy as np
import pytest

from mar.controllers.cascades.logistic import Logistic, log_odds
from mar.controllers.cascades.steps import Heard
from mar.controllers.cascades.threshold import Order, Scorer, Threshold, ThresholdRule, best_order
from tests.controllers.cascades.questions import call, question, table

# b is right where a is not; asking a costs 0.1, b 0.4.
HALVES = table({"a": "yyyynnnn", "b": "nnnnyyyy"}, a=0.1, b=0.4)
TELLING = np.array([[0.9, 0.1]] * 4 + [[0.2, 0.8]] * 4)


def test_where_the_score_tells_the_second_model_is_asked_when_the_first_is_wrong():
    order = best_order(HALVES, TELLING, (0, 1), most=3)

    assert order.models == (0, 1)
    assert 0.2 < order.thresholds[0] <= 0.9
    # a always: 0.1; b on half: 0.2; right on all.
    assert order.utility == pytest.approx(1 - 0.1 - 0.2)


def test_where_the_score_tells_nothing_one_model_is_asked():
    order = best_order(HALVES, np.full((8, 2), 0.5), (0, 1), most=3)

    assert (order.models, order.thresholds) == ((0,), ())
    assert order.utility == pytest.approx(0.5 - 0.1)


def test_no_more_models_are_in_an_order_than_may_be_asked():
    assert best_order(HALVES, TELLING, (0, 1), most=1).models == (0,)
    assert best_order(HALVES, TELLING, (1,), most=3).models == (1,)


def test_a_third_model_is_added_where_it_pays():
    thirds = table({"a": "yynnnn", "b": "nnyynn", "c": "nnnnyy"}, a=0.01, b=0.02, c=0.1)
    scores = np.where(thirds.right, 0.9, 0.1)

    order = best_order(thirds, scores, (2, 0, 1), most=3)

    assert order.models == (0, 1, 2)
    # a always, b on two thirds, c on a third.
    assert order.utility == pytest.approx(1 - 0.01 - 0.02 * 2 / 3 - 0.1 / 3)


def test_the_search_is_exhaustive():
    rng = np.random.default_rng(0)
    letters = ["".join(rng.choice(["y", "n"], 10)) for _ in range(3)]
    world = table(dict(zip("abc", letters, strict=True)), a=0.05, b=0.1, c=0.2)
    scores = rng.random((10, 3))

    found = best_order(world, scores, (0, 1, 2), most=3)

    best = -1.0
    cuts = np.quantile(scores, np.linspace(0, 1, 14)[1:-1], axis=0)
    for i in range(3):
        best = max(best, world.worth[:, i].mean())
        for j in {0, 1, 2} - {i}:
            (k,) = {0, 1, 2} - {i, j}
            for first in cuts[:, i]:
                on = scores[:, i] < first
                gain = np.where(on, 0, world.quality[:, i]) - world.price[:, i]
                best = max(best, (gain + on * world.worth[:, j]).mean())
                for second in cuts[:, j]:
                    further = on & (scores[:, j] < second)
                    middle = np.where(further, 0, world.quality[:, j]) - world.price[:, j]
                    best = max(best, (gain + on * middle + further * world.worth[:, k]).mean())
    assert found.utility == pytest.approx(best)


def rule(thresholds=(0.5,), models=(0, 1)):
    """Plays an order; what passes scores 0.9, what fails 0.1, anything else 0.5."""
    weights = np.zeros(5 + 2)
    weights[:2] = log_odds(np.array([0.9, 0.1]))
    order = Order(models=models, thresholds=thresholds, utility=0.0)
    scorer = Scorer(logistic=Logistic(weights=weights, bias=0.0), models=2)
    return ThresholdRule(order=order, scorer=scorer, table=HALVES, text=np.zeros(0))


def heard(*calls, order=None):
    models = tuple("ab".index(c.model) for c in calls)
    return Heard(asked=question("?", calls, "programs"), models=models, order=models if order is None else order)


GOOD, BAD = call("a", "p", feedback="passed"), call("a", "p", feedback="failed")


def test_the_first_answer_that_reaches_its_threshold_is_taken():
    played = rule()
    assert played.ask(heard()).models == (0,)
    assert played.ask(heard(GOOD)) is None
    assert (played.take(heard(GOOD)).model, played.take(heard(GOOD)).why.beliefs[0].probability) == (
        0,
        pytest.approx(0.9),
    )
    assert played.ask(heard(BAD)).models == (1,)


def test_the_last_answer_is_taken_whatever_it_scores():
    both = heard(BAD, call("b", "q", feedback="failed"))
    assert rule().ask(both) is None
    assert rule().take(both).model == 1


def test_a_last_answer_that_cannot_be_read_or_failed_leaves_the_highest_score():
    assert rule().take(heard(BAD, call("b", None))).model == 1  # 0.5 against 0.1
    assert rule(thresholds=(0.95,)).take(heard(GOOD, call("b", None))).model == 0
    assert rule(thresholds=(0.95,)).take(heard(GOOD, order=(0, 1))).model == 0
    assert rule().ask(heard(order=(0,))).models == (1,)


def test_scores_that_thresholds_are_chosen_by_come_from_other_items():
    learned = Threshold.learn(HALVES)
    assert learned.scores.shape == (8, 2)
    assert ((learned.scores > 0) & (learned.scores < 1)).all()
    some = table({"a": "y.yy", "b": "nnnn"}, a=0.1, b=0.1)
    assert Threshold.learn(some).scores[1, 0] == -1


def test_where_all_are_right_or_all_wrong_scores_are_constant():
    right = np.ones(8, dtype=bool)
    x = np.arange(8.0)[:, None]
    assert Logistic.fit(x, right)(x).tolist() == pytest.approx([0.9] * 8)  # nine of ten
    assert Logistic.fit(x, ~right)(x).tolist() == pytest.approx([0.1] * 8)
