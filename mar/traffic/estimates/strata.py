"""A policy's worth from another's log, with intervals that hold where few requests say anything.

Let pi(a|x) be what a policy does, p(a|x) what the log's did, q(x, a) what is expected, r what was observed. Doubly
robust (Dudik, Langford and Li 2011) is

    mean over requests of  sum_a pi(a|x) q(x, a)  +  pi(A|x) / p(A|x) * (r - q(x, A)),

whose normal interval is too short where few requests carry all the weight: with one of 300 requests drawn for what
it teaches, half of all intervals miss. So here the second term is corrected arm by arm: over the requests on which
arm a was drawn, r - q is averaged with weights pi(a|x) / (p(a|x) * chance that r is observed), which are divided by
their sum (as in weighted doubly robust estimation; Thomas and Brunskill 2016), and counts with the share of requests
that the policy gives to a. How often an arm was drawn says nothing about its worth, so what is left to chance is the
mean of a few values between 0 and 1, for which there are intervals that hold: Wilson's, with the effective sample size
(sum w)^2 / sum w^2 in place of their number, and at least that of a variance drawn to 1/4 by four requests (Agresti
and Coull 1998), as a sum of several needs variances that are not too small. They are joined as independent (Zou and
Donner 2008). An arm that was never drawn, and requests on which it could not have been, have the interval from 0 to 1,
and these add up: what is expected of arms that nobody tried errs in one direction for all.

A difference of two policies is a policy with negative probabilities: where both do the same, nothing is left to chance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from mar.evaluation.statistics import Z95, Interval
from mar.traffic.estimates.expected import Column
from mar.traffic.estimates.table import Floats, Ints, Table

FEWEST = 0.25  # requests that an arm counts as where it was never drawn: its value is somewhere between 0 and 1
SHRUNK = 4.0  # requests that draw a variance to what it is beforehand


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean with its interval, and how many requests it rests on."""

    interval: Interval
    ess: float  # effective sample size: as many requests, drawn from the policy itself, would say about as much

    @property
    def mean(self) -> float:
        """The estimate."""
        return self.interval.mean


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stratum:
    """What one arm contributes with one sign."""

    mass: float  # share of requests; below 0 for what the policy does less often
    size: float  # how many requests it rests on, effectively
    correction: float  # of what was expected over them, by what was observed
    down: float  # from there to the interval's low end, 0 or more
    up: float


def estimate(table: Table, does: Floats, column: Column, *, z: float = Z95) -> Estimate:
    """What a policy comes to, or one policy less another.

    Args:
        table: The log.
        does: Probabilities of arms under the policy; a difference of such, (n, K).
        column: What is estimated.
        z: Quantile of the normal distribution: how sure the interval is.
    """
    direct = (does * column.expected).sum(axis=1)
    total = float(direct.mean())
    down = up = z**2 * _variance_of_mean(direct, table.person)
    variance = below = above = 0.0
    for one in _strata(table, does, column, z):
        total += one.mass * one.correction
        if one.size:
            down, up = down + (one.mass * one.down) ** 2, up + (one.mass * one.up) ** 2
        else:
            below, above = below + abs(one.mass) * one.down, above + abs(one.mass) * one.up
        variance += one.mass**2 / max(one.size, FEWEST)
    low, high = total - float(np.sqrt(down + below**2)), total + float(np.sqrt(up + above**2))
    least, most = (float(part.sum(axis=1).mean()) for part in (np.minimum(does, 0.0), np.maximum(does, 0.0)))
    if column.share:
        total, low, high = min(max(total, least), most), max(low, least), min(high, most)
    return Estimate(
        interval=Interval(mean=total, low=min(low, total), high=max(high, total)),
        ess=max(-least, most) ** 2 / variance if variance else float(len(column.seen)),
    )


def _strata(table: Table, does: Floats, column: Column, z: float) -> Iterator[_Stratum]:
    """By arm and sign, where the arm could have been drawn and where it could not."""
    seen, spread = column.seen, _relative_spread(column)
    drawn = table.drawn[seen]
    error = column.value[seen] - column.expected[seen, drawn]
    weight = does[seen, drawn] / (table.probability[seen, drawn] * column.chance[seen])
    shared = _design(weight * error, table.person[seen])
    for sign in (1.0, -1.0):
        for arm in np.flatnonzero((sign * does > 0).any(axis=0)):
            part, possible = np.maximum(sign * does[:, arm], 0.0), table.probability[:, arm] > 0
            own = np.where(drawn == arm, np.maximum(sign * weight, 0.0), 0.0)
            for within, weights in ((possible, own), (~possible, np.zeros(len(own)))):
                if (part * within).any():
                    one = _stratum(part * within, weights, error, column, int(arm), shared, spread, z)
                    yield one if sign > 0 else replace(one, mass=-one.mass, down=one.up, up=one.down)


def effective(weight: Floats) -> float:
    """Effective sample size of weights (Kish 1965); 0 where there are none."""
    squares = float((weight**2).sum())
    return float(weight.sum()) ** 2 / squares if squares > 0 else 0.0


def _stratum(
    part: Floats, own: Floats, error: Floats, column: Column, arm: int, shared: float, spread: float, z: float
) -> _Stratum:
    """One arm.

    Args:
        part: What the policy gives to it, (n,).
        own: Weights of the requests on which it was drawn and something was observed, 0 on others.
        error: What was observed there less what was expected.
        column: What is estimated.
        arm: Its number.
        shared: How many of a request's observations count as one.
        spread: Standard deviation relative to the mean, of what is no share.
        z: Quantile.
    """
    mass, beforehand = float(part.mean()), float((part * column.expected[:, arm]).sum() / part.sum())
    size, sure = effective(own) / shared, float(own.sum())
    correction = float((own * error).sum()) / sure if sure > 0 else 0.0
    if column.share:
        value = float(np.clip(beforehand + correction, 0.0, 1.0))
        down, up = share_interval(value, size, z)
        return _Stratum(mass=mass, size=size, correction=value - beforehand, down=down, up=up)
    if not size:
        return _Stratum(mass=mass, size=size, correction=0.0, down=np.inf, up=np.inf)
    found = float((own * (error - correction) ** 2).sum()) / sure
    prior = (spread * (beforehand + correction)) ** 2
    half = z * float(np.sqrt((found * size + SHRUNK * prior) / (size + SHRUNK) / size))
    return _Stratum(mass=mass, size=size, correction=correction, down=half, up=half)


def share_interval(value: float, size: float, z: float) -> tuple[float, float]:
    """How far a share's interval goes down and up: Wilson's, or by a variance drawn to 1/4, whichever is wider."""
    most = max(value, 1 - value)
    if size <= 0:
        return value, 1 - value
    centre = (value * size + z * z / 2) / (size + z * z)
    half = z * np.sqrt(value * (1 - value) * size + z * z / 4) / (size + z * z)
    drawn = (value * size + SHRUNK / 2) / (size + SHRUNK)
    plain = min(z * float(np.sqrt(drawn * (1 - drawn) / size)), most)
    return max(value - centre + half, plain), max(centre + half - value, plain)


def _relative_spread(column: Column) -> float:
    """Standard deviation of values relative to their mean, over all that was observed."""
    value = column.value[column.seen]
    mean = float(value.mean()) if len(value) else 0.0
    return float(value.std()) / mean if mean > 0 else 1.0


def _design(residual: Floats, person: Ints) -> float:
    """How many observations count as one, since people's requests share luck (Kish's design effect), 1 or more."""
    squares = float((residual**2).sum())
    together = np.bincount(person, residual) if len(person) else residual
    return max(1.0, float((together**2).sum()) / squares) if squares > 0 else 1.0


def _variance_of_mean(values: Floats, person: Ints) -> float:
    """Of rows that come in groups."""
    together = np.bincount(person, values - values.mean())
    return float((together**2).sum()) / len(values) ** 2
