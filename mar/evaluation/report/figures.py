# pyright: basic
"""Figures as PNG, each in a light and a dark version. Names in them come from files, so none is read as a formula."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from mar.evaluation.report.folder import smooth
from mar.evaluation.report.formats import short
from mar.evaluation.report.pareto import pareto_front, points
from mar.evaluation.report.reading import ControllerRow, Run
from mar.evaluation.statistics import calibration_error, reliability_bins

DPI = 105
FEWEST_STATED = 20  # episodes in a reliability diagram
MARKERS = {"learned": "*", "single LLM": "o", "fixed mode": "s", "random": "X", "oracle": "^"}
CURVES = (
    ("utility", "utility", "validation_utility"),
    ("accuracy", "quality", "validation_accuracy"),
    ("cost_usd", "USD per query", "validation_cost_usd"),
    ("agents", "agents per plan", None),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """Colours of a figure."""

    paper: str
    ink: str
    grid: str
    groups: dict[str, str]
    lines: tuple[str, ...]


LIGHT = Theme(
    paper="#ffffff",
    ink="#22272e",
    grid="#e3e6ea",
    groups={
        "learned": "#1b6ca8",
        "packaged": "#5f9fcc",
        "single LLM": "#c05b00",
        "fixed mode": "#5f8a1f",
        "random": "#777777",
        "oracle": "#8a2be2",
    },
    lines=(
        "#1b6ca8",
        "#c05b00",
        "#5f8a1f",
        "#8a2be2",
        "#b8860b",
        "#0f8b8d",
        "#c2185b",
        "#555555",
        "#6d4c41",
        "#3949ab",
    ),
)
DARK = Theme(
    paper="#1b2027",
    ink="#d8dee6",
    grid="#333b46",
    groups={
        "learned": "#62b0ef",
        "packaged": "#a9d2f5",
        "single LLM": "#f2a35e",
        "fixed mode": "#a5cf63",
        "random": "#a6adb6",
        "oracle": "#c79bff",
    },
    lines=(
        "#62b0ef",
        "#f2a35e",
        "#a5cf63",
        "#c79bff",
        "#e8c55b",
        "#5fd0d2",
        "#f48fb1",
        "#b0b7c0",
        "#bc9c8f",
        "#9fa8f5",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure, drawn twice."""

    name: str  # of its file, without the suffix
    alt: str
    light: bytes  # PNG
    dark: bytes  # PNG

    @property
    def light_uri(self) -> str:
        """The light version as a data URI."""
        return _uri(self.light)

    @property
    def dark_uri(self) -> str:
        """The dark version as a data URI."""
        return _uri(self.dark)


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A controller's place in the figure of accuracy against cost."""

    name: str
    group: str
    cost: float  # USD per 100 queries, above 0
    accuracy: float  # percent


def _dots(rows: Sequence[ControllerRow], positions: Iterable[int]) -> list[Dot]:
    """Those of the rows that have a place on a logarithmic axis of cost."""
    found: list[Dot] = []
    for row in (rows[i] for i in positions):
        cost, accuracy = row.cost_usd_per_100, row.accuracy.mean
        if cost is not None and cost > 0 and accuracy is not None:
            found.append(Dot(name=row.name, group=row.group, cost=cost, accuracy=100 * accuracy))
    return found


def trade_off(run: Run) -> Picture | None:
    """Accuracy against cost with the Pareto front; None when there is nothing to show."""
    results = run.results
    if results is None or not _dots(results.rows, range(len(results.rows))):
        return None
    return _picture(
        name=f"trade_off-{run.number}",
        alt=f"Accuracy against cost, {run.label}, {run.caveat or run.pool}",
        draw=lambda axis, theme: _draw_trade_off(axis, theme, results.title, results.rows),
    )


def _draw_trade_off(axis: Axes, theme: Theme, title: str, rows: Sequence[ControllerRow]) -> None:
    dots = _dots(rows, range(len(rows)))
    for group in dict.fromkeys(dot.group for dot in dots):
        axis.plot(
            [dot.cost for dot in dots if dot.group == group],
            [dot.accuracy for dot in dots if dot.group == group],
            MARKERS.get(group, "o"),
            color=theme.groups.get(group, theme.ink),
            markersize=12 if group == "learned" else 6,
            markeredgecolor=theme.paper,
            markeredgewidth=0.6,
            label=short(group, 32),
            zorder=3,
        )
    front = _dots(rows, pareto_front(points(rows)))
    x, y = [dot.cost for dot in front], [dot.accuracy for dot in front]
    axis.plot(x, y, drawstyle="steps-post", color=theme.ink, lw=1, alpha=0.7, label="Pareto front", zorder=2)
    labels = {(float(f"{dot.cost:.2g}"), round(dot.accuracy)): dot for dot in reversed(front)}  # one where many meet
    for dot in labels.values():
        place = (dot.cost, dot.accuracy)
        axis.annotate(
            short(dot.name, 32), place, textcoords="offset points", xytext=(6, -11), fontsize=7, color=theme.ink
        )
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(FuncFormatter(_plain))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.margins(x=0.14, y=0.1)
    axis.set_xlabel("USD per 100 queries")
    axis.set_ylabel("accuracy %")
    axis.set_title(short(title, 80), fontsize=9, color=theme.ink)
    axis.legend(frameon=False, fontsize=7, labelcolor=theme.ink)


def reliability(run: Run) -> Picture | None:
    """Stated probabilities of being right against the shares that were; None when too little was stated."""
    if len(run.stated) < FEWEST_STATED:
        return None
    return _picture(
        name=f"reliability-{run.number}",
        alt=f"Share right against stated probability, {run.label}, {run.caveat or run.pool}",
        draw=lambda axis, theme: _draw_reliability(axis, theme, run),
    )


def _draw_reliability(axis: Axes, theme: Theme, run: Run) -> None:
    stated, right = np.array([s for s, _ in run.stated]), np.array([r for _, r in run.stated], dtype=bool)
    bins = reliability_bins(stated.tolist(), right.tolist())
    colour = theme.groups["learned"]
    axis.plot([0, 1], [0, 1], color=theme.ink, lw=1, alpha=0.6, label="as stated", zorder=1)
    axis.vlines([b.stated for b in bins], [b.low for b in bins], [b.high for b in bins], color=colour, lw=1.2, zorder=2)
    axis.scatter(
        [b.stated for b in bins],
        [b.right for b in bins],
        s=[20 + 180 * b.count / len(stated) for b in bins],
        color=colour,
        edgecolors=theme.paper,
        label="episodes, by stated probability (95%)",
        zorder=3,
    )
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("stated probability of being right")
    axis.set_ylabel("share right")
    error = calibration_error(stated.tolist(), right.tolist())
    title = f"{run.label}: {len(stated)} episodes, expected calibration error {error:.3f}"
    axis.set_title(short(title, 80), fontsize=9, color=theme.ink)
    axis.legend(frameon=False, fontsize=7, labelcolor=theme.ink, loc="lower right")


def curves(runs: Sequence[Run]) -> list[Picture]:
    """Learning curves of all runs: a figure per quantity. Lines: training, smoothed; dots: validation."""
    trained = [run for run in runs if any("loss" in m for m in run.metrics)]
    kinds = sorted({run.caveat or f"{run.pool} pool" for run in trained})
    return [
        _picture(
            name=f"curve-{name}",
            alt=f"{label} against updates, {', '.join(kinds)}",
            draw=lambda axis, theme, part=(name, label, check): _draw_curve(
                axis, theme, trained, part, ", ".join(kinds)
            ),
        )
        for name, label, check in CURVES
        if trained
    ]


def _draw_curve(axis: Axes, theme: Theme, runs: Sequence[Run], part: tuple[str, str, str | None], source: str) -> None:
    name, label, check = part
    for i, run in enumerate(runs):
        colour = theme.lines[i % len(theme.lines)]
        steps = [m for m in run.metrics if "loss" in m and name in m]
        axis.plot(
            [m["step"] for m in steps],
            smooth([m[name] for m in steps]),
            color=colour,
            lw=1.4,
            marker="." if len(steps) < 2 else "",
            label=short(run.label, 40),
        )
        checks = [m for m in run.metrics if check is not None and check in m]
        seen = [m[check] for m in checks if check is not None]
        axis.plot([m["step"] for m in checks], seen, "o", color=colour, markersize=5, alpha=0.8)
    axis.set_xlabel("updates")
    axis.set_ylabel(label)
    axis.set_title(f"{label} ({source})", fontsize=9, color=theme.ink)
    axis.legend(frameon=False, fontsize=7, labelcolor=theme.ink)


def _picture(*, name: str, alt: str, draw: Callable[[Axes, Theme], None]) -> Picture:
    return Picture(name=name, alt=alt, light=_png(draw, LIGHT), dark=_png(draw, DARK))


def _png(draw: Callable[[Axes, Theme], None], theme: Theme) -> bytes:
    with matplotlib.rc_context({"text.parse_math": False, "text.usetex": False}):
        figure = Figure(figsize=(5.6, 3.8), layout="constrained", facecolor=theme.paper)
        FigureCanvasAgg(figure)
        axis = figure.add_subplot(facecolor=theme.paper)
        draw(axis, theme)
        axis.grid(color=theme.grid, lw=0.6)
        axis.set_axisbelow(True)
        axis.tick_params(colors=theme.ink, which="both", labelsize=8)
        axis.xaxis.label.set_color(theme.ink)
        axis.yaxis.label.set_color(theme.ink)
        for side, spine in axis.spines.items():
            spine.set_visible(side in {"left", "bottom"})
            spine.set_color(theme.ink)
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=DPI, facecolor=theme.paper)
    return picture.getvalue()


def _plain(value: float, _position: int | None) -> str:
    """A tick as a plain number: matplotlib's own are formulas, which figures here do not read."""
    return f"{value:g}"
