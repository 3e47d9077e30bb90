# pyright: basic
"""Pictures of a run."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from mar.evaluation.results import Row
from mar.evaluation.routereval.trade_off import hull
from mar.evaluation.statistics import Interval
from mar.files import write_atomically
from mar.types import CallAnswered, Episode, PassedThrough

COLOURS = {
    "learned": "#1b6ca8",
    "packaged": "#5f9fcc",
    "single LLM": "#c05b00",
    "fixed mode": "#5f8a1f",
    "random": "#777777",
    "oracle": "#8a2be2",
}


def plot_curves(metrics: Sequence[Mapping[str, float]], path: Path, *, title: str) -> None:
    """Utility, accuracy, cost and agents against updates, with the validation or the real episodes beside it."""
    steps = [m for m in metrics if "loss" in m]
    beside = "real" if any("real_utility" in m for m in metrics) else "validation"
    checks = [m for m in metrics if f"{beside}_utility" in m]
    figure, axes = plt.subplots(2, 2, figsize=(10, 6.5), constrained_layout=True)
    panels = (
        ("utility", "utility", f"{beside}_utility"),
        ("accuracy", "quality", f"{beside}_accuracy"),
        ("cost_usd", "USD per query", f"{beside}_cost_usd"),
        ("agents", "agents per plan", None),
    )
    for axis, (name, label, check) in zip(axes.flat, panels, strict=True):
        x, y = [m["step"] for m in steps], _smooth([m[name] for m in steps])
        axis.plot(x, y, color=COLOURS["learned"], label="training")
        if check is not None:
            x, y = [m["step"] for m in checks], [m[check] for m in checks]
            axis.plot(x, y, "o-", color=COLOURS["single LLM"], label=beside)
            axis.legend(frameon=False)
        axis.set_xlabel("updates")
        axis.set_ylabel(label)
    figure.suptitle(title)
    save_figure(figure, path)


def plot_trade_off(rows: Sequence[Row], path: Path, *, title: str) -> None:
    """Accuracy against cost, one point per controller; those without a known cost above 0 are named below."""
    figure, axis = plt.subplots(figsize=(11, 5.5), constrained_layout=True)
    left_out = list[str]()
    names: dict[tuple[float, float], list[str]] = {}  # by point, since several may meet in one
    colours: dict[tuple[float, float], str] = {}
    for row in rows:
        cost = row.cost_per_100
        if cost is None or cost <= 0:
            left_out.append(f"{row.name} (cost {'unknown' if cost is None else '0'})")
            continue
        accuracy = row.accuracy
        error = [[100 * (accuracy.mean - accuracy.low)], [100 * (accuracy.high - accuracy.mean)]]
        colour = COLOURS.get(row.group, "black")
        axis.errorbar([cost], [100 * accuracy.mean], yerr=error, fmt="o", color=colour, capsize=2)
        names.setdefault((cost, 100 * accuracy.mean), []).append(row.name)
        colours[cost, 100 * accuracy.mean] = colour
    ordered = sorted(names)
    for number, point in enumerate(ordered, 1):  # numbers, since names would cover each other
        axis.annotate(str(number), point, textcoords="offset points", xytext=(5, 4), fontsize=8)
    if ordered:
        handles = [axis.plot([], [], "o", color=colours[point])[0] for point in ordered]
        labels = [f"{number}  " + "\n    ".join(names[point]) for number, point in enumerate(ordered, 1)]
        axis.legend(handles, labels, loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8, frameon=False)
    axis.set_xscale("log")
    axis.set_xlabel("USD per 100 queries" + ("\nnot shown: " + ", ".join(left_out) if left_out else ""), wrap=True)
    axis.set_ylabel("accuracy %")
    axis.set_title(title)
    save_figure(figure, path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A controller at several prices of money."""

    name: str
    points: tuple[tuple[float, Interval], ...]  # USD per 100 queries, accuracy


def plot_costs(
    singles: Mapping[str, tuple[float, Interval]],
    curves: Sequence[Curve],
    kept: tuple[float, Interval],
    path: Path,
    *,
    title: str,
    chosen: str,
    measure: str,
) -> None:
    """Accuracy against cost: models alone with what chance mixtures of them reach, a line per controller, a choice.

    Args:
        singles: USD per 100 queries and accuracy of each model.
        curves: Of controllers.
        kept: The point that is marked.
        path: PNG file.
        title: Above it.
        chosen: What the marked point is.
        measure: What the axis of accuracy is called.
    """
    figure, axis = plt.subplots(figsize=(10, 5.5), constrained_layout=True)
    for curve in curves:
        points = sorted((x, 100 * y.mean) for x, y in curve.points)
        axis.plot([x for x, _ in points], [y for _, y in points], "o-", markersize=3, label=curve.name)
    for name, (x, y) in singles.items():
        error = [[100 * (y.mean - y.low)], [100 * (y.high - y.mean)]]
        axis.errorbar([x], [100 * y.mean], yerr=error, fmt="s", color=COLOURS["single LLM"], capsize=2)
        axis.annotate(name, (x, 100 * y.mean), textcoords="offset points", xytext=(6, -9), fontsize=8)
    costs, heights = (np.array(v) for v in zip(*((x, 100 * y.mean) for x, y in singles.values()), strict=True))
    xs, ys = hull(costs, heights)
    between = np.linspace(xs[0], xs[-1], 200)  # straight lines are bent by the logarithm
    mixtures = "chance mixtures of models"
    axis.plot(between, np.interp(between, xs, ys), "--", color=COLOURS["single LLM"], linewidth=1, label=mixtures)
    x, y = kept
    axis.plot([x], [100 * y.mean], "*", markersize=15, color="black", label=chosen, zorder=4)
    if min(costs.min(), x) > 0:
        axis.set_xscale("log")
    axis.set_xlabel("USD per 100 queries")
    axis.set_ylabel(f"{measure} %, held-out rows")
    axis.set_title(title)
    axis.legend(frameon=False, fontsize=8)
    save_figure(figure, path)


def plot_lines(
    lines: Mapping[str, Sequence[tuple[float, Interval]]], path: Path, *, title: str, x: str, y: str
) -> None:
    """Shares in percent against a quantity, a line with its 95% band per name."""
    figure, axis = plt.subplots(figsize=(8, 5), constrained_layout=True)
    for name, points in lines.items():
        at = [value for value, _ in points]
        found = [interval for _, interval in points]
        (drawn,) = axis.plot(at, [100 * i.mean for i in found], "o-", label=name)
        low, high = [100 * i.low for i in found], [100 * i.high for i in found]
        axis.fill_between(at, low, high, color=drawn.get_color(), alpha=0.12, linewidth=0)
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.set_title(title)
    axis.legend(frameon=False, fontsize=8)
    save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG, whole or not at all, and let go of the figure."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    plt.close(figure)
    write_atomically(path, picture.getvalue())


def _smooth(values: Sequence[float], weight: float = 0.9) -> list[float]:
    """Exponential moving average."""
    smoothed: list[float] = []
    for value in values:
        smoothed.append(value if not smoothed else weight * smoothed[-1] + (1 - weight) * value)
    return smoothed


def plot_episode(episode: Episode, path: Path, *, title: str) -> None:
    """One episode as lanes: a bar per model call, an arrow for every message that a call read."""
    lanes = episode.lanes
    figure, axis = plt.subplots(figsize=(10, 0.7 * len(lanes) + 1.6), constrained_layout=True)
    models = list(dict.fromkeys(c.model for c in episode.calls()))
    palette = plt.get_cmap("tab10")
    ends: dict[str, tuple[float, int]] = {}
    for event in episode.events:
        if isinstance(event, PassedThrough):
            axis.plot([event.t], [event.index], marker="D", color="#5f8a1f", markersize=9, zorder=3)
            ends[event.message_id] = (event.t, event.index)
        elif isinstance(event, CallAnswered):
            begin = event.t - event.latency_s
            axis.barh(event.index, event.latency_s, left=begin, height=0.5, color=palette(models.index(event.model)))
            axis.text(begin + event.latency_s / 2, event.index, event.call, ha="center", va="center", fontsize=8)
            for message in event.read:
                if message in ends and ends[message][1] != event.index:
                    arrow = {"arrowstyle": "->", "color": "#444444", "lw": 1.0, "shrinkA": 2, "shrinkB": 2}
                    axis.annotate("", xy=(begin, event.index), xytext=ends[message], arrowprops=arrow)
            ends[event.message_id] = (event.t, event.index)
    for i, model in enumerate(models):
        axis.barh(0, 0, color=palette(i), label=model)
    axis.set_yticks(range(len(lanes)), lanes)
    axis.invert_yaxis()
    axis.set_xlabel("seconds")
    if models:
        axis.legend(frameon=False, fontsize=8, ncols=len(models), loc="lower right", bbox_to_anchor=(1.0, 1.0))
    axis.set_title(title, fontsize=10, loc="left")
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    save_figure(figure, path)


def plot_queues(samples: Mapping[str, Sequence[tuple[float, float]]], path: Path, *, title: str) -> None:
    """Calls under way or queued against time, one line per model."""
    figure, axis = plt.subplots(figsize=(8, 4.5), constrained_layout=True)
    for model, points in samples.items():
        axis.plot([at for at, _ in points], [calls for _, calls in points], label=model)
    axis.set_xlabel("seconds")
    axis.set_ylabel("calls running or waiting")
    axis.set_title(title, loc="left", fontsize=10)
    axis.legend(frameon=False, fontsize=8)
    save_figure(figure, path)


def plot_regret(curves: Mapping[str, Sequence[float]], path: Path, *, title: str) -> None:
    """Cumulative regret by turn, one line per way of choosing."""
    figure, axis = plt.subplots(figsize=(8, 5), constrained_layout=True)
    for name, curve in curves.items():
        axis.plot(range(1, len(curve) + 1), curve, label=name)
    axis.set_xlabel("turns")
    axis.set_ylabel("mean cumulative regret per user")
    axis.legend(frameon=False, fontsize=8)
    axis.set_title(title, fontsize=10)
    save_figure(figure, path)
