"""The table of a training."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mar.evaluation.sections import Sections
from mar.evaluation.statistics import Interval
from mar.traffic.learn.compared import Line

COLUMNS = ("", "right %", "USD / 1000", "seconds", "utility gained over what served", "ESS", "told apart after")


def cells(line: Line) -> list[str]:
    """As texts."""
    quality, usd, seconds = line.comes.quality.interval, line.comes.usd.interval, line.comes.seconds.interval
    served = line.part == "now"
    same = served or line.surely.low == line.surely.high
    later = "" if same else "now" if line.more == 0 else "never" if line.more is None else f"{line.more:,} more"
    return [
        line.name,
        _figure(quality, 100, 1),
        _figure(usd, 1000, 3),
        _figure(seconds, 1, 1),
        "" if served else _figure(line.gain.utility.interval, 100, 1, sign="+"),
        f"{line.gain.utility.ess if not served else line.comes.quality.ess:.0f}",
        later,
    ]


def as_sections(lines: Sequence[Line], *, title: str, caption: str) -> Sections:
    """The whole table."""
    return Sections(columns=COLUMNS, lines=[(line.part, cells(line)) for line in lines], title=title, caption=caption)


def _figure(interval: Interval, scale: float, digits: int, *, sign: str = "") -> str:
    """A mean with its interval; a question mark where it is not known."""
    if not all(map(math.isfinite, (interval.mean, interval.low, interval.high))):
        return "?"
    mean, low, high = (f"{scale * value:{sign}.{digits}f}" for value in (interval.mean, interval.low, interval.high))
    return f"{mean} ({low} to {high})"
