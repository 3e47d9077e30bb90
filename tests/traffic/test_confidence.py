"""Bounds that hold at every moment: false alarms under continuous peeking, power, and what they are by hand."""

import numpy as np
import pytest

from mar.traffic.confidence import _most, _stakes, above, bounds

STREAMS, LENGTH, ALPHA = 1000, 500, 0.05


def false_alarms(draw):
    """Share of streams whose true mean is refuted at any moment."""
    random = np.random.default_rng(0)
    return np.mean([above(values, mean, ALPHA) for values, mean in (draw(random) for _ in range(STREAMS))])


def coins(p):
    return lambda random: (2.0 * (random.random(LENGTH) < p) - 1.0, 2 * p - 1)


def heavy(random):
    """Few large values among small ones: mean of Beta(0.2, 1.8) is 0.1."""
    return 2 * random.beta(0.2, 1.8, LENGTH) - 1, -0.8


def dependent(random):
    """Each value's spread depends on the one before, its mean does not."""
    wide = np.concatenate([[True], random.random(LENGTH - 1) < 0.5])
    return np.where(wide, 1.0, 0.1) * random.choice([-1.0, 1.0], LENGTH), 0.0


@pytest.mark.parametrize("draw", [coins(0.5), coins(0.9), coins(0.02), heavy, dependent])
def test_a_true_mean_is_refuted_in_at_most_one_of_twenty_streams_though_one_looks_after_every_value(draw):
    assert false_alarms(draw) <= ALPHA + 0.014  # two standard errors of 1,000 draws


def test_a_difference_of_a_tenth_is_seen_within_two_thousand_comparisons_of_coins():
    """What the power is said to be: docs/traffic.md."""
    random = np.random.default_rng(1)
    seen = [
        above(1.0 * (random.random(2000) < 0.75) - (random.random(2000) < 0.65), 0.0, ALPHA / 8) for _ in range(100)
    ]
    assert np.mean(seen) > 0.8


def test_capital_is_the_product_of_what_each_bet_gains():
    """Values 1, 1; the first stake: log(20) x 2 / (1/4 x 1 x log 2) under the root is 5.88, cut to 0.75 / 0.5."""
    assert _stakes(np.array([1.0]), 0.05)[0] == pytest.approx(5.88, abs=0.01)
    assert np.exp(_most(np.array([1.0, 1.0]), np.array([0.5]), 0.05)[0]) == pytest.approx(1.75**2)


def test_what_was_once_shown_stays_shown():
    up, down = np.ones(50), -np.ones(5000)
    assert above(np.concatenate([up, down]), 0.0, 0.05)


def test_bounds_hold_the_mean_shrink_and_are_all_there_is_without_values():
    values = np.tile([1.0, -1.0, 0.0, 0.0], 500)
    early, late = bounds(values[:40], 0.05), bounds(values, 0.05)
    assert early.low <= late.low < 0 < late.high <= early.high
    assert late.high - late.low < 0.25
    none = bounds(np.array([]), 0.05)
    assert (none.low, none.high, none.n) == (-1.0, 1.0, 0)
    assert np.isnan(none.mean)
