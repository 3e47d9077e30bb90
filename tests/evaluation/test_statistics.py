"""Intervals against values derived by hand, and against what an interval promises."""

import math
import random

import numpy as np
import pytest

from mar.errors import ConfigError
from mar.evaluation.statistics import (
    Interval,
    bootstrap_mean,
    calibration_by_chance,
    calibration_error,
    paired_bootstrap,
    reliability_bins,
    wilson,
)


def test_wilsons_interval_equals_a_value_derived_by_hand():
    # p = 8/10, z = 1.96, z2 = 3.8415: centre = (0.8 + 3.8415/20) / (1 + 0.38415) = 0.992073/1.384146 = 0.716740
    # half = 1.959964/1.384146 * sqrt(0.16/10 + 3.841459/400) = 1.416010 * sqrt(0.025603647) = 0.226577
    found = wilson(8, 10)
    assert found.mean == 0.8
    assert found.low == pytest.approx(0.716740 - 0.226577, abs=1e-5)
    assert found.high == pytest.approx(0.716740 + 0.226577, abs=1e-5)


def test_no_success_of_four_still_leaves_room():
    # p = 0: the upper bound is z2 / (n + z2) = 3.841459 / 7.841459 = 0.489891
    assert wilson(0, 4).low == 0.0
    assert wilson(0, 4).high == pytest.approx(0.489891, abs=1e-6)


@pytest.mark.parametrize("n", range(1, 120))
def test_bounds_always_hold_the_mean_within_zero_and_one(n):
    for k in (0, n // 3, n):
        found = wilson(k, n)
        assert 0.0 <= found.low <= found.mean <= found.high <= 1.0


def test_nothing_measured_is_nan():
    for interval in (wilson(0, 0), bootstrap_mean([]), paired_bootstrap([], []), paired_bootstrap([[]], [[]])):
        assert all(math.isnan(x) for x in (interval.mean, interval.low, interval.high))
        assert not interval.excludes_zero


def test_an_undefined_value_makes_the_mean_undefined():
    found = bootstrap_mean([1.0, math.nan])
    assert math.isnan(found.mean)
    assert math.isnan(found.low)


def test_the_bootstrap_of_a_constant_has_no_width():
    assert bootstrap_mean([0.25] * 7) == Interval(mean=0.25, low=0.25, high=0.25)


def test_the_bootstrap_repeats_itself():
    values = [0.1, 0.5, 0.9, 0.3]
    assert bootstrap_mean(values) == bootstrap_mean(values)


def test_the_bootstrap_covers_the_true_mean_about_as_often_as_it_says():
    # 150 samples of 60 draws: 95% of the intervals should hold the mean; the standard deviation of that share is
    # sqrt(0.95 * 0.05 / 150) = 0.018, and the percentile bootstrap is known to fall some points short.
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(150):
        interval = bootstrap_mean(rng.exponential(1.0, 60).tolist(), draws=400)
        held += interval.low <= 1.0 <= interval.high
    assert 0.86 <= held / 150 <= 1.0


def test_the_bootstrap_is_as_wide_as_theory_says():
    # Half zeros, half ones, n = 400: the standard error is 0.5 / 20 = 0.025, so about 0.5 +- 0.049.
    found = bootstrap_mean([0.0, 1.0] * 200)
    assert found.low == pytest.approx(0.451, abs=0.006)
    assert found.high == pytest.approx(0.549, abs=0.006)


def test_a_clear_difference_excludes_zero_and_no_difference_does_not():
    rng = np.random.default_rng(3)
    base = rng.random((3, 200))
    noise = rng.normal(0, 0.05, (3, 200))
    better = paired_bootstrap((base + 0.05 + noise).tolist(), base.tolist(), draws=1000)
    same = paired_bootstrap((base + noise).tolist(), base.tolist(), draws=1000)
    assert better.excludes_zero
    assert better.mean == pytest.approx(0.05, abs=0.01)
    assert not same.excludes_zero


def test_pairing_finds_what_the_spread_of_items_would_hide():
    # Items differ by up to 100, a beats b by 1 on each: the paired difference is 1 without any width.
    items = [float(x) for x in range(100)]
    assert paired_bootstrap([[x + 1 for x in items]], [items]) == Interval(mean=1.0, low=1.0, high=1.0)


def test_the_spread_of_seeds_is_part_of_the_interval():
    # Each seed differs by a constant, -1, 0 or 4; resampled over items alone the interval would be a point at 1.
    a = [[-1.0] * 50, [0.0] * 50, [4.0] * 50]
    found = paired_bootstrap(a, [[0.0] * 50] * 3, draws=1000)
    assert (found.mean, found.low, found.high) == (1.0, -1.0, 4.0)


def test_unequal_pairs_are_refused_and_not_stretched():
    with pytest.raises(ConfigError, match="expected the same"):
        paired_bootstrap([[1.0, 2.0]], [[1.0, 2.0], [1.0, 2.0]])


def test_calibration_error_is_the_mean_distance_of_what_was_stated_and_what_came_true():
    # Bin .7 to .8: three stated .75, two right: |2.25 - 2| = .25. The last bin holds 1 itself: |1.95 - 2| = .05.
    found = calibration_error([0.75, 0.75, 0.75, 0.95, 1.0], [True, True, False, True, True])

    assert found == pytest.approx((0.25 + 0.05) / 5)
    assert math.isnan(calibration_error([], []))


def test_the_error_of_true_probabilities_is_found_from_one_sample_and_is_larger_where_cases_are_of_one_item():
    rng = random.Random(0)
    stated = [rng.uniform(0.05, 0.95) for _ in range(400)]
    samples = [[rng.random() < p for p in stated] for _ in range(200)]
    alone = [calibration_error(stated, right) for right in samples]
    ten_times = [calibration_error(stated * 10, right * 10) for right in samples]

    found = calibration_by_chance(stated, samples[0], range(400))
    repeated = calibration_by_chance(stated * 10, samples[0] * 10, [*range(400)] * 10)
    independent = calibration_by_chance(stated * 10, [r for right in samples[:10] for r in right], range(4000))

    assert found.mean == pytest.approx(sum(alone) / 200, rel=0.1)
    assert repeated.mean == pytest.approx(sum(ten_times) / 200, rel=0.1)
    assert independent.mean < repeated.mean / 2
    assert sum(found.low < error < found.high for error in alone) / 200 > 0.85


def test_a_level_learned_from_few_items_moves_all_probabilities_together():
    rng = random.Random(0)
    right = [rng.random() < 0.9 for _ in range(2000)]

    known = calibration_by_chance([0.9] * 2000, right, range(2000))
    learned = calibration_by_chance([0.9] * 2000, right, range(2000), learned_from=50)

    expected = 0.3 * math.sqrt((1 / 50 + 1 / 2000) * 2 / math.pi)  # mean distance of two means of .9 (deviation .3)
    assert learned.mean == pytest.approx(expected, rel=0.15)
    assert known.mean < learned.mean / 3
    assert math.isnan(calibration_by_chance([], [], []).mean)


def test_bins_of_stated_probabilities_hold_their_means_and_shares():
    first, last = reliability_bins([0.75, 0.71, 1.0, 0.95], [True, False, True, True])
    assert (first.stated, first.right, first.count) == (pytest.approx(0.73), 0.5, 2)
    assert (last.stated, last.right, last.count) == (pytest.approx(0.975), 1.0, 2)
    assert first.low < 0.5 < first.high
