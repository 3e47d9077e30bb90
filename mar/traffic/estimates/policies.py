"""Quality, cost, seconds and utility of policies, and of one less another."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mar.evaluation.statistics import Z95, Interval
from mar.traffic.estimates.expected import FOLDS, Column, column
from mar.traffic.estimates.strata import Estimate, estimate
from mar.traffic.estimates.table import Floats, Table

MOST = 10_000_000  # requests; a number beyond is none that anybody waits for


@dataclass(frozen=True, slots=True, kw_only=True)
class Comes:
    """What a policy comes to, or one less another."""

    quality: Estimate
    usd: Estimate  # mean; infinitely wide where an arm was never drawn
    seconds: Estimate
    utility: Estimate  # quality less what the money is worth


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A log, ready to say what policies come to."""

    table: Table
    quality: Column
    usd: Column
    seconds: Column
    cost_rate: float  # utility per USD

    @classmethod
    def of(cls, table: Table, cost_rate: float = 0.0, *, seed: int = 0, folds: int = FOLDS) -> Judged:
        """Fit what is expected of every arm, cross-fitted by person."""
        fold = table.folds(folds, seed)
        return cls(
            table=table,
            quality=column(table, table.worth, fold, share=True),
            usd=column(table, table.usd, fold),
            seconds=column(table, table.seconds, fold),
            cost_rate=cost_rate,
        )

    @property
    def serving(self) -> Floats:
        """What was done, as a policy: probabilities of arms, (n, K)."""
        return self.table.probability

    def quality_of(self, does: Floats, *, z: float = Z95) -> Estimate:
        """What its answers are worth, alone."""
        return estimate(self.table, does, self.quality, z=z)

    def comes(self, does: Floats, *, z: float = Z95) -> Comes:
        """What a policy comes to.

        Args:
            does: Probabilities of arms, or a difference of such, (n, K).
            z: Quantile: how sure intervals are.
        """
        quality = self.quality_of(does, z=z)
        usd = estimate(self.table, does, self.usd, z=z)
        return Comes(
            quality=quality,
            usd=usd,
            seconds=estimate(self.table, does, self.seconds, z=z),
            utility=_less(quality, usd, self.cost_rate),
        )


def _less(quality: Estimate, usd: Estimate, rate: float) -> Estimate:
    """Quality less money; their errors are taken to be independent."""
    if rate <= 0:
        return quality
    q, c = quality.interval, usd.interval
    mean = q.mean - rate * c.mean
    low = mean - math.hypot(q.mean - q.low, rate * (c.high - c.mean))
    high = mean + math.hypot(q.high - q.mean, rate * (c.mean - c.low))
    return Estimate(interval=Interval(mean=mean, low=low, high=high), ess=quality.ess)


def more_needed(difference: Interval, requests: int) -> int | None:
    """How many more requests, rated and explored as these were, would tell a difference from nothing.

    By the square root law: the interval's side towards 0 shrinks as one over the root of the number of requests, and
    what was estimated is taken for the truth, so this is a guess, too.

    Returns:
        0 where they are told apart already; None where no number that anybody waits for is enough.
    """
    if difference.excludes_zero:
        return 0
    side = difference.mean - difference.low if difference.mean > 0 else difference.high - difference.mean
    if not difference.mean or not np.isfinite(side):
        return None
    needed = requests * (side / difference.mean) ** 2
    return math.ceil(needed - requests) if needed < MOST else None
