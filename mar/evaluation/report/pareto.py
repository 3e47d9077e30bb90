"""The Pareto front of accuracy against cost.

A point is on the front when no other costs at most as much and is at least as accurate, one of the two strictly.
Equal points do not dominate each other, so they are on the front together. An unknown cost cannot be compared: such a
point is never on the front and keeps no other off it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mar.evaluation.report.reading import ControllerRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What one controller reaches at which cost."""

    cost: float | None  # None: unknown
    accuracy: float | None  # None: undefined


def pareto_front(points: Sequence[Point]) -> list[int]:
    """Positions of the points on the front, cheapest first."""
    known = [(p.cost, p.accuracy, i) for i, p in enumerate(points) if p.cost is not None and p.accuracy is not None]
    front = [
        (cost, accuracy, i)
        for cost, accuracy, i in known
        if not any(c <= cost and a >= accuracy and (c < cost or a > accuracy) for c, a, _ in known)
    ]
    return [i for _, _, i in sorted(front)]


def points(rows: Sequence[ControllerRow]) -> list[Point]:
    """What can be on the front. The oracle is a bound and no controller, so it cannot."""
    return [
        Point(cost=None if row.group == "oracle" else row.cost_usd_per_100, accuracy=row.accuracy.mean) for row in rows
    ]
