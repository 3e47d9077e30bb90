"""Two versions beside each other on different requests: what was seen of each becomes one stream of bounded values.

*Who counts.* What somebody's requests were worth is averaged before it counts, and nobody holds more than one of
`SEATS` places of his version: his values wait, and enter as their mean once enough others have entered. A decision,
beyond that, must stand whichever one of the loudest is left out (`mar.traffic.rollout`), so that nobody's word alone
makes it, however often he says it: one of the decisions that must stand is that of all others.

*What is compared.* Values of both versions enter as they come. As soon as both have some, these are compared, each with
each, and the mean is one value of the stream: where the versions are alike its mean is that of alike things, however
requests are shared out, and drifts that hit both at once cancel.

    quality     new - old, of outcomes from 0 to 1
    failures    old - new, of 0 and 1
    cost        (r - new) / (r + new) with r = (1 + margin) old, of sums over `MONEY` values of each. A few dear
                requests make up much of what is paid. Single requests would hide them, and a mean in USD has no bound.
                Where the new one costs as much as r the mean is 0, whatever the distribution.
    seconds     the same of single requests: what the usual request waits counts, and a straggler counts once

All lie between -1 and 1, and more is better for the new version.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mar.traffic.confidence import Floats

Measure = Literal["quality", "failures", "cost", "seconds"]
MEASURES: tuple[Measure, ...] = ("quality", "failures", "cost", "seconds")
SEATS = 20
MONEY = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One value of one request."""

    unit: str  # whose request it was: who stays with one version
    new: bool  # whether the candidate answered
    value: float


def stream(readings: Iterable[Reading], measure: Measure, margin: float) -> Floats:
    """The values that compare two versions, as they came.

    Args:
        readings: Of both, in the order in which they became known.
        measure: What they are of.
        margin: By what share more the candidate may cost or take; of no matter to quality and failures.
    """
    import numpy as np  # once there is a rollout

    size = MONEY if measure == "cost" else 1
    found: list[float] = []
    waiting: dict[bool, list[float]] = {True: [], False: []}
    for reading in _seated(readings):
        waiting[reading.new].append(reading.value)
        new, old = waiting[True], waiting[False]
        if len(new) >= size and len(old) >= size:
            found.append(_compared(new, old, measure, margin))
            waiting = {True: [], False: []}
    return np.array(found)


def without(readings: Sequence[Reading], unit: str) -> list[Reading]:
    """The readings of all others."""
    return [reading for reading in readings if reading.unit != unit]


def _seated(readings: Iterable[Reading]) -> Iterable[Reading]:
    """Values that count: of each unit the mean of what has waited, not more than one of so many."""
    seats = {True: Counter[str](), False: Counter[str]()}
    taken = {True: 0, False: 0}
    waiting: dict[tuple[bool, str], list[float]] = {}
    for reading in readings:
        unit, new = reading.unit, reading.new
        mine = waiting.setdefault((new, unit), [])
        mine.append(reading.value)
        if seats[new][unit] * SEATS <= taken[new]:
            seats[new][unit] += 1
            taken[new] += 1
            yield Reading(unit=unit, new=new, value=sum(mine) / len(mine))
            mine.clear()


def _compared(new: Sequence[float], old: Sequence[float], measure: Measure, margin: float) -> float:
    if measure == "quality":
        return fmean(new) - fmean(old)
    if measure == "failures":
        return fmean(old) - fmean(new)
    allowed = [(1 + margin) * value for value in old]
    if measure == "cost":  # as many of either: a mean of more values has another distribution, and a bias
        return _share(fmean(allowed[:MONEY]), fmean(new[:MONEY]))
    return fmean(_share(a, b) for a in allowed for b in new)


def _share(allowed: float, new: float) -> float:
    return (allowed - new) / (allowed + new) if allowed + new > 0 else 0.0
