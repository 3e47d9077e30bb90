"""Money as stores keep it: whole nano-USD, so that sums are exact whatever their order."""

from __future__ import annotations

import math

NANO = 10**9  # nano-USD in a USD


def at_most(usd: float) -> int:
    """What is held for something that costs so many USD at the most, in nano-USD: rounded up."""
    return math.ceil(round(usd * NANO, 3))


def nearest(usd: float) -> int:
    """What was paid, in nano-USD."""
    return round(usd * NANO)


def usd(nano: int) -> float:
    """Nano-USD in USD."""
    return nano / NANO
