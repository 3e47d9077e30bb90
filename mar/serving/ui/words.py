"""How figures and texts are written on the page. Unknown is said, never shown as 0."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from mar.evaluation.report.formats import clean

UNKNOWN = "–"


def amount(usd: float | None, digits: int | None = None) -> str:
    """An amount in USD with as many digits as are wanted, or as tell something."""
    if usd is None:
        return "unknown"
    if digits is not None:
        return f"{usd:,.{digits}f}"
    if usd == 0:
        return "0"
    size = abs(usd)
    if size < 0.00001:
        return f"{usd:.1e}"
    fitting = next((digits for least, digits in ((100, 2), (1, 3), (0.01, 4)) if size >= least), 6)
    return f"{usd:,.{fitting}f}"


def seconds(value: float | None) -> str:
    """Seconds: milliseconds are seen in what is short."""
    if value is None:
        return UNKNOWN
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def count(value: float | None) -> str:
    """A whole number."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def clock(at: float) -> str:
    """The time of day, UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}"


def day(at: float) -> str:
    """The day, UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"


def stamp(at: float) -> str:
    """Day and time for machines, as the attribute `datetime` takes them."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def ago(at: float) -> str:
    """How long ago something was, by and large."""
    past = max(0.0, time.time() - at)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if past >= size:
            return f"{past / size:.0f} {unit} ago"
    return f"{past:.0f} s ago"


def clipped(text: str, limit: int) -> str:
    """The beginning of a text, of at most so many characters; says how many there are beyond."""
    if len(text) <= limit:
        return clean(text)
    return f"{clean(text[:limit])}\n… {len(text) - limit:,} more characters"
