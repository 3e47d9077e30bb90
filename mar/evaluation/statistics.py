"""Intervals for what a run measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mar.errors import ConfigError

Z95 = 1.959963984540054  # two-sided 95% quantile of the normal distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean with a 95% interval. NaN where nothing was measured."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


UNDEFINED = Interval(mean=math.nan, low=math.nan, high=math.nan)


def wilson(successes: float, n: int) -> Interval:
    """A share with Wilson's score interval (Wilson 1927).

    Args:
        successes: How many; of grades from 0 to 1 their sum, whose interval is then wider than it need be.
        n: Of how many.
    """
    if n == 0:
        return UNDEFINED
    p, z2 = successes / n, Z95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    # The bounds hold p but for rounding at 0 and 1.
    return Interval(mean=p, low=min(p, max(0.0, centre - half)), high=max(p, min(1.0, centre + half)))


def bootstrap_mean(values: Sequence[float], *, seed: int = 0, draws: int = 2000) -> Interval:
    """A mean with its percentile bootstrap interval."""
    import numpy as np  # a gateway's page needs intervals only

    x = np.asarray(values, dtype=np.float64)
    if x.size == 0:
        return UNDEFINED
    rng = np.random.default_rng(seed)
    means = np.array([x[rng.integers(0, x.size, x.size)].mean() for _ in range(draws)])
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(mean=float(x.mean()), low=float(low), high=float(high))


def paired_bootstrap(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]], *, draws: int = 4000) -> Interval:
    """Mean of a - b with a bootstrap interval that resamples items and seeds.

    Args:
        a: Values by seed and item, shape (S, n); the items are the same for all seeds.
        b: What `a` is compared to, the same shape.
        draws: Bootstrap resamples.

    Raises:
        ConfigError: The shapes differ.
    """
    if (shapes := [[len(row) for row in values] for values in (a, b)])[0] != shapes[1]:
        raise ConfigError(f"paired values have {shapes[0]} and {shapes[1]} items by seed; expected the same")
    import numpy as np

    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    if difference.size == 0:
        return UNDEFINED
    seeds, n = difference.shape
    rng = np.random.default_rng(0)
    means = np.empty(draws)
    for k in range(draws):
        rows = difference[rng.integers(0, seeds, seeds)].mean(axis=0)
        means[k] = rows[rng.integers(0, n, n)].mean()
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(mean=float(difference.mean()), low=float(low), high=float(high))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Cases whose stated probabilities are about the same."""

    stated: float  # mean
    right: float  # share
    low: float  # of Wilson's 95% interval of the share
    high: float
    count: int


def reliability_bins(stated: Sequence[float], right: Sequence[bool], *, bins: int = 10) -> list[ReliabilityBin]:
    """Even bins of stated probabilities, those in which there is something."""
    found: list[ReliabilityBin] = []
    for number in range(bins):
        mine = [(p, r) for p, r in zip(stated, right, strict=True) if min(int(p * bins), bins - 1) == number]
        if mine:
            share = wilson(sum(r for _, r in mine), len(mine))
            mean = sum(p for p, _ in mine) / len(mine)
            found.append(ReliabilityBin(stated=mean, right=share.mean, low=share.low, high=share.high, count=len(mine)))
    return found


def calibration_error(stated: Sequence[float], right: Sequence[bool], *, bins: int = 10) -> float:
    """Expected calibration error: how far stated probabilities lie from the shares that came true, over even bins.

    NaN where nothing was stated.
    """
    if not len(stated):
        return math.nan
    import numpy as np

    p = np.asarray(stated, dtype=np.float64)
    bin_of = np.minimum((p * bins).astype(np.int64), bins - 1)
    return float(np.abs(np.bincount(bin_of, p - np.asarray(right, dtype=np.float64), bins)).sum() / len(p))


def calibration_by_chance(
    stated: Sequence[float],
    right: Sequence[bool],
    items: Sequence[int],
    *,
    learned_from: int | None = None,
    bins: int = 10,
    draws: int = 2000,
) -> Interval:
    """What `calibration_error` would be if stated probabilities were true: by the draw of items alone.

    Cases of one item depend on each other, so deviations of what came true keep their sizes and get a random sign, one
    for each item (a wild bootstrap of clusters).

    Args:
        stated: Probabilities.
        right: What came true.
        items: Of which item each case is.
        learned_from: The level of what is stated was learned from so many other items, whose draw moves all
            probabilities together; None: it is known.
        bins: As of `calibration_error`.
        draws: Of signs.
    """
    if not len(stated):
        return UNDEFINED
    import numpy as np

    p, (_, item) = np.asarray(stated, dtype=np.float64), np.unique(items, return_inverse=True)
    away = p - np.asarray(right, dtype=np.float64)
    bin_of = np.minimum((p * bins).astype(np.int64), bins - 1)
    sums = np.zeros((int(item.max()) + 1, bins))
    np.add.at(sums, (item, bin_of), away)
    rng = np.random.default_rng(0)
    found = rng.choice([-1.0, 1.0], (draws, len(sums))) @ sums
    if learned_from is not None:
        spread = np.sqrt(((np.bincount(item, away) / np.bincount(item)) ** 2).mean() / learned_from)
        found += rng.normal(0.0, spread, (draws, 1)) * np.bincount(bin_of, minlength=bins)
    errors = np.abs(found).sum(axis=1) / len(p)
    low, high = np.quantile(errors, [0.025, 0.975])
    return Interval(mean=float(errors.mean()), low=float(low), high=float(high))
