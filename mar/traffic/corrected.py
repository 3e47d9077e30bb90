"""What a judge's verdicts are worth: means over many judged answers, corrected by few that people graded, too.

A judge that errs makes a mean of its verdicts wrong by as much as it errs, however many there are. Prediction-powered
inference (PPI; Angelopoulos et al. 2023, Science 382) adds the mean error that is measured where both are known, so
that the estimate is right whatever the judge is like, and its interval is the narrower the better the judge is.
Verdicts are weighted as is best for that (PPI++; Angelopoulos, Duchi and Zrnic 2023, arXiv:2311.01453): those of a
judge of no use get no weight, and what is left is the people's own mean.

    estimate = mean(gold) + weight * (mean(judged) - mean(verdicts on gold))

Grades are people's, from 0 to 1; verdicts are the judge's. Answers that people graded must be drawn by chance among all
that were judged. Intervals are normal approximations, so some dozens of graded answers are the least.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from mar.errors import DataError

FEWEST = 10  # graded answers from which anything is estimated


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean, with the interval that holds the truth with the stated probability."""

    mean: float
    low: float
    high: float
    weight: float  # that the judge's verdicts had; 0: people's grades alone
    graded: int
    judged: int  # beside those

    @property
    def width(self) -> float:
        """Of the interval."""
        return self.high - self.low


def graded_alone(grades: Sequence[float], *, level: float = 0.95) -> Estimate:
    """The mean of people's grades, without any judge.

    Raises:
        DataError: There are too few grades.
    """
    return corrected(grades, grades, (), level=level)


def corrected(
    grades: Sequence[float], verdicts: Sequence[float], judged: Sequence[float], *, level: float = 0.95
) -> Estimate:
    """The mean grade that people would give all answers.

    Args:
        grades: Of people, of the answers that they graded.
        verdicts: The judge's on the same answers, in the same order.
        judged: The judge's on all other answers.
        level: Probability of the interval.

    Raises:
        DataError: There are too few grades, or not as many verdicts as grades.
    """
    y, f = np.asarray(grades, dtype=float), np.asarray(verdicts, dtype=float)
    others = np.asarray(judged, dtype=float)
    n, m = len(y), len(others)
    if n != len(f):
        raise DataError(f"{n} grades and {len(f)} verdicts on the same answers; expected as many")
    if n < FEWEST:
        raise DataError(f"{n} answers are graded; expected {FEWEST} or more")
    weight = _weight(y, f, others)
    mean = float(y.mean() + weight * (others.mean() - f.mean())) if weight else float(y.mean())
    variance = float(np.var(y - weight * f, ddof=1)) / n
    variance += weight**2 * float(np.var(others, ddof=1)) / m if weight else 0.0
    half = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(variance)
    return Estimate(mean=mean, low=mean - half, high=mean + half, weight=weight, graded=n, judged=m)


def _weight(y: np.ndarray, f: np.ndarray, others: np.ndarray) -> float:
    """The weight of verdicts that makes the interval narrowest, from 0 to 1 (PPI++, section 6)."""
    n, m = len(y), len(others)
    spread = float(np.var(np.concatenate([f, others]), ddof=1)) if m > 1 else 0.0
    if not spread:
        return 0.0
    together = float(np.cov(y, f, ddof=1)[0, 1])
    return min(max(together / ((1 + n / m) * spread), 0.0), 1.0)
