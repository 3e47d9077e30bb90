# pyright: basic
"""Quality against cost: a router swept over what quality is worth, and the area under the curve (AIQ).

At a willingness to pay of w (score per USD is 1 / w), a prompt goes to the LLM with the highest score - cost / w, where
cost is the LLM's mean cost in training. AIQ is RouterBench's (arXiv 2403.12031): the mean height of the non-decreasing
convex hull of a router's (cost, quality) points over the range of costs of the single LLMs. The hull of the single LLMs
themselves is what chance mixtures of them reach, so only an area above theirs is won by reading the prompts. That hull
is drawn in hindsight, on the test prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mar.controllers.routers.base import Floats
from mar.errors import DataError
from mar.evaluation.statistics import Interval

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Points of a sweep, from thrifty to lavish."""

    costs: Array  # (p,) mean USD per prompt
    quality: Array  # (p,) mean score
    chosen: npt.NDArray[np.int64]  # (p, n) the LLM of every prompt at every point


def sweep(predicted: Floats, mean_costs: Floats, scores: Floats, costs: Floats, *, points: int = 60) -> Curve:
    """What a router reaches at every willingness to pay.

    Args:
        predicted: The router's scores on the test prompts, (n, m), in units of quality.
        mean_costs: Mean cost of each LLM in training, (m,), USD.
        scores: What the LLMs really scored, (n, m).
        costs: What they really cost, (n, m), USD.
        points: How many prices of quality to try, evenly in their logarithm; and the two ends, free and only cost.
    """
    spread = float(mean_costs.max() - mean_costs.min())
    if not spread > 0:
        raise DataError("all LLMs cost the same; a trade-off needs different costs")
    prices = np.concatenate([[0.0], np.geomspace(1e-3, 1e4, points) / spread, [np.inf]])
    rows = np.arange(len(scores))
    chosen = np.stack(
        [
            np.full(len(scores), mean_costs.argmin())
            if np.isinf(price)
            else (predicted - price * mean_costs).argmax(axis=1)
            for price in prices[::-1]
        ]
    )
    return Curve(
        costs=costs[rows, chosen].mean(axis=1, dtype=np.float64),
        quality=scores[rows, chosen].mean(axis=1, dtype=np.float64),
        chosen=chosen,
    )


def hull(costs: Array, quality: Array) -> tuple[Array, Array]:
    """The non-decreasing convex hull of points: the best that chance mixtures of them reach at each cost."""
    kept: list[tuple[float, float]] = []
    for x, y in sorted(zip(costs.tolist(), quality.tolist(), strict=True), key=lambda point: (point[0], -point[1])):
        if kept and y <= kept[-1][1]:
            continue
        while len(kept) > 1 and _slope(kept[-2], (x, y)) >= _slope(kept[-2], kept[-1]):
            kept.pop()
        kept.append((x, y))
    xs, ys = zip(*kept, strict=True)
    return np.array(xs), np.array(ys)


def aiq(costs: Array, quality: Array, low: float, high: float) -> float:
    """Mean height of the hull between two costs; it stays level beyond its last point."""
    xs, ys = hull(costs, quality)
    at = np.unique(np.concatenate([[low, high], xs[(xs > low) & (xs < high)]]))
    return float(np.trapezoid(np.interp(at, xs, ys), at) / (high - low))


def aiq_gain(curves: Sequence[Curve], tables: Sequence[tuple[Floats, Floats]], *, draws: int = 1000) -> Interval:
    """AIQ of routers minus that of the single LLMs' hull, with an interval that resamples test prompts and splits.

    Args:
        curves: One sweep per split.
        tables: The scores and costs of that split's test prompts, (n, m) each.
        draws: Bootstrap resamples.
    """
    rng = np.random.default_rng(0)
    exact = [_gain(c, s, k, np.arange(len(s))) for c, (s, k) in zip(curves, tables, strict=True)]
    means = np.empty(draws)
    for i in range(draws):
        picked = rng.integers(0, len(curves), len(curves))
        values: list[float] = []
        for j in picked:
            scores, costs = tables[j]
            values.append(_gain(curves[j], scores, costs, rng.integers(0, len(scores), len(scores))))
        means[i] = np.mean(values)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(mean=float(np.mean(exact)), low=float(low), high=float(high))


def _gain(curve: Curve, scores: Floats, costs: Floats, rows: npt.NDArray[np.int64]) -> float:
    single_costs = costs[rows].mean(axis=0, dtype=np.float64)
    single_quality = scores[rows].mean(axis=0, dtype=np.float64)
    low, high = float(single_costs.min()), float(single_costs.max())
    chosen = curve.chosen[:, rows]
    routed_costs = costs[rows, chosen].mean(axis=1, dtype=np.float64)
    routed_quality = scores[rows, chosen].mean(axis=1, dtype=np.float64)
    return aiq(routed_costs, routed_quality, low, high) - aiq(single_costs, single_quality, low, high)


def _slope(a: tuple[float, float], b: tuple[float, float]) -> float:
    return (b[1] - a[1]) / (b[0] - a[0]) if b[0] > a[0] else np.inf
