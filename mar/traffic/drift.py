"""What changes under a gateway: models that become worse or fail, prices, models that come and go, other questions.

*Values.* A watch bets on each value at odds that are fair while the mean is what it was, and begins anew whenever it
has lost (a CUSUM of such bets, mixed over stakes). If nothing changes it raises an alarm once in `RUN` values at the
most, on average and whatever the values' distribution, as long as they lie between 0 and 1 (Shin, Ramdas and Rinaldo,
E-detectors: a nonparametric framework for sequential change detection, 2023).

*Questions.* Each new question is set against one of those before, drawn anew: which of the two lies further in the
direction in which questions have moved lately? While nothing has moved either does as often, whatever the direction; so
the same watch is given how far apart they lie, in spreads, cut to three.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # a gateway that keeps no questions as vectors does without NumPy
    from mar.traffic.confidence import Floats

What = Literal["price", "new model", "gone", "worse", "failing", "questions"]
RUN = 10_000.0  # values between two false alarms, on average, at the least
STAKES = (0.1, 0.3, 0.6, 0.9)
BASE = 100  # first values of a model, whose mean is what it was
SPREAD = 3.0  # standard deviations at which the distance of two questions is cut
LATELY = 100.0  # questions over which a direction is averaged


@dataclass(frozen=True, slots=True, kw_only=True)
class Drifted:
    """Something that has changed."""

    what: What
    subject: str  # a model; "": none
    because: str
    seen: int  # values after the base until it was noticed; 0: it shows at once


@dataclass(slots=True)
class Watch:
    """Notices that the mean of values between 0 and 1 falls below what it may be at the least."""

    least: float
    capital: list[float] = field(default_factory=lambda: [0.0] * len(STAKES))

    def push(self, value: float) -> bool:
        """Take a value; gives whether it is an alarm."""
        gain = (self.least - value) / max(1 - self.least, 1e-6)
        self.capital = [max(had, 1.0) * (1 + stake * gain) for had, stake in zip(self.capital, STAKES, strict=True)]
        return fmean(self.capital) >= RUN


def fallen(values: Sequence[float], margin: float) -> tuple[float, int] | None:
    """Whether values fell by more than a margin below the mean of the first `BASE`.

    Returns:
        That mean, and after how many further values it is noticed; None: it is not.
    """
    if len(values) <= BASE:
        return None
    mean = fmean(values[:BASE])
    watch = Watch(max(mean - margin, 0.0))
    for number, value in enumerate(values[BASE:], 1):
        if watch.push(value):
            return mean, number
    return None


def moved(vectors: Floats, base: int, seed: int = 0) -> int | None:
    """After how many vectors beyond the first `base` it is noticed that they are of another kind; None: it is not.

    Args:
        vectors: Of questions, in the order in which they came, (n, E).
        base: How many of them show what is usual.
        seed: Of the draws among those.
    """
    import numpy as np

    before, after = vectors[:base], vectors[base:]
    if base < 4 or not len(after):
        return None
    drawn = np.random.default_rng(seed).permutation(base)
    middle, drawn = before[drawn[::2]].mean(0), drawn[1::2]  # others than those set against: these must be news to it
    lately, watch, spread = np.zeros(vectors.shape[1]), Watch(0.5), 0.0
    for number, vector in enumerate(after, 1):
        other = before[drawn[number % len(drawn)]]
        distance = float((vector - other) @ lately)
        if spread > 0:
            cut = max(-1.0, min(1.0, distance / (SPREAD * spread**0.5)))
            if watch.push((1 - cut) / 2):
                return number
        lately += (vector - middle - lately) / min(number, LATELY)
        spread = float(np.square((before - middle) @ lately).mean()) * 2
    return None


Prices = Mapping[str, tuple[float | None, float | None]]
"""Of models, by name: USD per million tokens read and written; None: unknown."""


def changed_pool(before: Prices, now: Prices) -> list[Drifted]:
    """What changed about the models of a pool and their prices."""
    found: list[Drifted] = []
    for name in sorted(before.keys() | now.keys()):
        if name not in now:
            found.append(Drifted(what="gone", subject=name, because="it is no longer in the pool", seen=0))
        elif name not in before:
            because = "nobody has tried it: mar probe or a rollout tells what it is worth"
            found.append(Drifted(what="new model", subject=name, because=because, seen=0))
        elif before[name] != now[name]:
            because = f"{_price(before[name])} before, {_price(now[name])} now"
            found.append(Drifted(what="price", subject=name, because=because, seen=0))
    return found


def _price(prices: tuple[float | None, float | None]) -> str:
    return " and ".join("unknown" if usd is None else f"{usd:g}" for usd in prices)
