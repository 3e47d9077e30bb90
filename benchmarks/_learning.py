# pyright: basic
"""What the benchmarks of learned controllers share: how results are read, and how two controllers are compared."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from mar.evaluation.results import ItemResult
from mar.evaluation.statistics import Interval

SEEDS = range(5)


def read_items(folder: Path) -> dict[str, list[ItemResult]]:
    """Every controller's results in a run folder: one draw after the other, each over all items."""
    found = json.loads((folder / "items.json").read_text(encoding="utf-8"))
    return {name: [ItemResult(**i) for i in items] for name, items in found.items()}


def utilities(results: Sequence[ItemResult], cost_rate: float, draws: int) -> list[float]:
    """Utility of each item, the mean of its draws: draws of one item belong together when items are resampled."""
    n = len(results) // draws
    return [mean([r.utility(cost_rate) for r in results[i::n]]) for i in range(n)]


def verdict(difference: Interval) -> str:
    """What an interval of a difference to something says."""
    return "above it" if difference.low > 0 else "below it" if difference.high < 0 else "a tie"


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean; NaN of nothing."""
    return sum(values) / len(values) if values else math.nan
