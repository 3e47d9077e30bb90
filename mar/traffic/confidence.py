"""Bounds on a mean that hold at every moment at once, however often and for whatever reason one looks.

Somebody who believes that the mean of values between 0 and 1 is at most m bets against whoever says it is more, at odds
that are fair if it is m: of his capital K a stake is put on each next value x,

    K <- K (1 + s (x - m)),        0 <= s <= CAUTION / m

The stake s depends on earlier values only. If the mean is at most m, K does not grow in expectation, and by Ville's
inequality ever exceeds 1/alpha with probability alpha at the most: once it does, m is refuted for good. The lower bound
is the largest m that is refuted together with all below it; the upper one is the lower one of 1 - x. Nothing is assumed
of values but that they lie between 0 and 1 and that each one's mean, given all before it, is the same.

Source: I. Waudby-Smith and A. Ramdas, Estimating means of bounded random variables by betting, JRSS-B 86 (2024), the
hedged capital process (section 4.4) with predictable plug-in stakes (eq. 26). Deliberately not done: an interval from
the central limit theorem at each look, which is wrong after enough looks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

CAUTION = 0.75  # of the largest stake that cannot lose everything
GRID = 401  # means that are tried: between -1 and 1 they lie 0.005 apart
BLOCK = 1000  # values that are bet on at once, which bounds the memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Where a mean lies."""

    low: float
    high: float
    mean: float  # of the values; NaN: there are none
    n: int  # values


def bounds(values: Floats, alpha: float, *, least: float = -1.0, most: float = 1.0) -> Bounds:
    """Where the mean of values lies.

    Args:
        values: In the order in which they came, (n,).
        alpha: Probability that the low bound is ever above the mean; that the high one is below it has the same.
        least: No value can be smaller.
        most: Nor larger.
    """
    unit = (values - least) / (most - least)
    tried = np.linspace(0.0, 1.0, GRID)
    low, high = _refuted(unit, tried, alpha), 1.0 - _refuted(1.0 - unit, tried, alpha)
    scale = most - least
    mean = float(values.mean()) if len(values) else math.nan
    return Bounds(low=least + scale * low, high=least + scale * high, mean=mean, n=len(values))


def above(values: Floats, mean: float, alpha: float, *, least: float = -1.0, most: float = 1.0) -> bool:
    """Whether it was ever shown that the values' mean is more than `mean`; see `bounds`."""
    at = np.array([(mean - least) / (most - least)])
    return bool(_most((values - least) / (most - least), at, alpha)[0] >= -math.log(alpha))


def _refuted(unit: Floats, tried: Floats, alpha: float) -> float:
    """The largest mean that is refuted with all below it; 0 where none is."""
    refuted = _most(unit, tried, alpha) >= -math.log(alpha)
    first = len(tried) if refuted.all() else int(refuted.argmin())
    return float(tried[max(first - 1, 0)])


def _most(unit: Floats, means: Floats, alpha: float) -> Floats:
    """Logarithm of the most that the capital ever was against each mean."""
    stakes = _stakes(unit, alpha)
    limit = CAUTION / np.maximum(means, 1e-9)
    capital, most = np.zeros(len(means)), np.zeros(len(means))
    for start in range(0, len(unit), BLOCK):
        x, s = unit[start : start + BLOCK, None], stakes[start : start + BLOCK, None]
        course = capital + np.cumsum(np.log1p(np.minimum(s, limit) * (x - means)), axis=0)
        most = np.maximum(most, course.max(axis=0))
        capital = course[-1]
    return most


def _stakes(unit: Floats, alpha: float) -> Floats:
    """What is put on each value, by the spread of those before it."""
    t = np.arange(1, len(unit) + 1)
    means = (0.5 + np.cumsum(unit)) / (t + 1)
    spread = (0.25 + np.cumsum((unit - means) ** 2)) / (t + 1)
    before = np.concatenate([[0.25], spread[:-1]])
    return np.sqrt(2 * math.log(1 / alpha) / (before * t * np.log1p(t)))
