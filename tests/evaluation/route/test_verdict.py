"""What a validation means, on outcomes written down by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mar.evaluation.route.play import Played
from mar.evaluation.route.validation import Validated, Way
from mar.evaluation.route.verdict import Choice, Verdict, best, cheapest, kept_way, reference_of, verdict_of
from mar.evaluation.statistics import Interval

N = 200
GOOD, CHEAP = Way(kind="", model="good"), Way(kind="", model="cheap")
THRIFTY, LAVISH = Way(kind="knn", cost_rate=10.0), Way(kind="knn", cost_rate=1.0)


def played(right: float, usd: float, shift: int = 0) -> Played:
    """So many of the rows right, from row `shift` on."""
    quality = np.roll((np.arange(N) < round(right * N)).astype(float), shift)
    return Played(quality=quality, usd=np.full(N, usd), calls=np.ones(N))


def validated(**more) -> Validated:
    found = {GOOD: played(0.9, 1.0), CHEAP: played(0.5, 0.1)}
    return Validated(fold=np.random.default_rng(0).permutation(N) % 5, outcomes=found | more.get("ways", {}))


def test_the_most_accurate_model_is_compared_with_and_of_equals_the_cheapest():
    also = Way(kind="", model="also good")
    assert reference_of({GOOD: played(0.9, 1.0), also: played(0.9, 0.8), CHEAP: played(0.5, 0.1)}) == also
    assert reference_of({GOOD: played(0.9, 1.0), CHEAP: played(0.5, 0.1)}, "cheap") == CHEAP


def test_as_accurate_is_who_lacks_less_than_a_standard_error_and_a_point():
    # One right answer of 200 less: half a point, and its standard error is half a point. Three are a point and a half.
    ways = {GOOD: played(0.9, 1.0), THRIFTY: played(0.9 - 1 / N, 0.2), LAVISH: played(0.9 - 3 / N, 0.1)}
    assert cheapest(ways, GOOD) == THRIFTY
    assert best(ways, GOOD) == GOOD


def test_a_router_that_is_right_where_the_good_model_is_and_cheaper_is_worth_it():
    verdict = verdict_of(validated(ways={THRIFTY: played(0.9, 0.25), LAVISH: played(0.97, 0.9)}), None)

    assert verdict.worth
    assert verdict.same.ways == (THRIFTY,) * 5
    assert verdict.better.ways == (LAVISH,) * 5
    assert verdict.same.saving.mean == pytest.approx(0.75)
    assert verdict.better.gain.mean == pytest.approx(0.07)
    # At 0.25 a mixture of the two models is right in 0.5 + 0.4 * 0.15 / 0.9 of the cases.
    assert verdict.same.above.mean == pytest.approx(0.9 - 0.5 - 0.4 / 6)
    assert verdict.sentence.startswith("At the accuracy of good (90.0%): 75% cheaper (95% interval 75% to 75%;")
    assert "at its cost: +7.0 points (" in verdict.sentence


def test_it_is_said_plainly_when_nothing_beats_a_single_model():
    # A mixture of both models by chance: right in 70%, at 0.55.
    verdict = verdict_of(validated(ways={THRIFTY: played(0.7, 0.55)}), None)
    assert not verdict.worth
    assert verdict.sentence.startswith("Nothing that was learned beats a single model beyond chance: use good (")


def test_a_cheaper_model_that_is_as_good_is_named_and_is_no_merit_of_a_router():
    twin = Way(kind="", model="twin")
    found = validated(ways={twin: played(0.9 - 1 / N, 0.2), THRIFTY: played(0.9 - 1 / N, 0.2)})
    verdict = verdict_of(found, None)
    assert not verdict.worth
    assert "use twin, as accurate and cheaper" in verdict.sentence


def test_no_row_has_a_part_in_the_choice_that_is_tested_on_it():
    # Two ways that are right on every other fold: each fold's own outcomes would choose the one, the others' the other.
    fold = np.arange(N) % 2
    a, b = Way(kind="a"), Way(kind="b")

    def on(k: int) -> Played:
        return Played(quality=(fold == k).astype(float), usd=np.full(N, 0.1), calls=np.ones(N))

    found = Validated(fold=fold, outcomes={GOOD: played(0.0, 1.0), a: on(0), b: on(1)})
    verdict = verdict_of(found, None)
    assert verdict.better.ways == (b, a)
    assert verdict.better.accuracy == 0.0


def test_what_is_kept_is_a_controller_also_where_a_model_alone_is_better():
    assert kept_way({GOOD: played(0.9, 1.0), THRIFTY: played(0.6, 0.1), LAVISH: played(0.7, 0.5)}, GOOD) == LAVISH
    assert kept_way({GOOD: played(0.9, 1.0), THRIFTY: played(0.9, 0.1), LAVISH: played(0.95, 0.5)}, GOOD) == THRIFTY


def test_a_loss_of_more_than_a_point_is_not_called_equal_even_where_it_may_be_chance():
    def choice(lost: float) -> Choice:
        return Choice(
            ways=(THRIFTY,) * 5,
            accuracy=0.9 - lost,
            usd=0.5,
            calls=1.0,
            saving=Interval(mean=0.5, low=0.4, high=0.6),
            gain=Interval(mean=-lost, low=-lost - 0.03, high=-lost + 0.03),
            above=Interval(mean=0.2, low=0.1, high=0.3),
        )

    for lost, says in ((0.02, "2.0 points below the accuracy of good"), (0.005, "At the accuracy of good")):
        verdict = Verdict(reference=GOOD, accuracy=0.9, usd=1.0, same=choice(lost), better=choice(lost), single=GOOD)
        assert verdict.sentence.startswith(says)


def test_a_loss_of_accuracy_beyond_chance_is_not_called_equal():
    # In each fold the way looks equal by the other folds, since its mistakes lie together in one fold.
    fold = np.arange(N) // (N // 5)
    ways = [Way(kind=f"k{k}") for k in range(5)]
    outcomes = {GOOD: played(1.0, 1.0)}
    for k, way in enumerate(ways):
        outcomes[way] = Played(quality=(fold != k).astype(float), usd=np.full(N, 0.1), calls=np.ones(N))
    verdict = verdict_of(Validated(fold=fold, outcomes=outcomes), None)
    assert verdict.same.ways == tuple(ways)
    assert "100.0 points below the accuracy of good" in verdict.sentence
    assert not verdict.worth
