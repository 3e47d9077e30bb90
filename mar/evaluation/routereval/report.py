# pyright: basic
"""The results of a comparison as CSV, Markdown and a picture."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mar.evaluation.cells import plain
from mar.evaluation.plots import plt, save_figure
from mar.evaluation.routereval.metrics import Metrics
from mar.evaluation.routereval.results import SINGLE, Measured
from mar.evaluation.statistics import UNDEFINED, Interval, bootstrap_mean, paired_bootstrap
from mar.files import write_atomically


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One router on one problem, over its seeds."""

    problem: str
    router: str
    metrics: Metrics  # means over the seeds
    mu: Interval  # of mu_o, over prompts
    gain: Interval  # mu_o minus that of the LLM that was best in training, paired by prompt, over prompts and seeds
    seeds: int
    fit_s: float  # mean seconds
    score_s: float


def line_of(problem: str, runs: Sequence[Measured], single: Measured) -> Line:
    """Means and intervals of one router's runs on one problem."""
    names = ("mu", "vr", "vb", "ep")
    metrics = Metrics(**{name: float(np.mean([getattr(run.metrics, name) for run in runs])) for name in names})
    known = all(len(run.values) for run in runs)  # programs state no values by prompt
    values = np.stack([run.values for run in runs]) if known else np.empty((0, 0))
    return Line(
        problem=problem,
        router=runs[0].router,
        metrics=metrics,
        mu=bootstrap_mean(values.mean(axis=0), draws=1000) if known else UNDEFINED,
        gain=paired_bootstrap(values.tolist(), [single.values.tolist()] * len(runs), draws=2000)
        if known
        else UNDEFINED,
        seeds=len(runs),
        fit_s=float(np.mean([run.fit_s for run in runs])),
        score_s=float(np.mean([run.score_s for run in runs])),
    )


def markdown(lines: Sequence[Line], notes: Mapping[str, str]) -> str:
    """One table; a gain whose interval holds 0 is called a tie."""
    head = [f"{key}: {value}" for key, value in notes.items()]
    rows = [
        "| problem | router | mu_o | 95% | V_R | V_B | E_p | over the best single LLM, 95% | | fit s | score s |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        m = line.metrics
        rows.append(
            f"| {line.problem} | {line.router} | {m.mu:.4f} | {_span(line.mu, '.3f')} | {_known(m.vr)} | "
            f"{_known(m.vb)} | {_known(m.ep)} | {_gain(line)} | {line.fit_s:.2f} | {line.score_s:.2f} |"
        )
    return "\n".join([*head, "", *rows, "", _FOOT, ""])


_FOOT = (
    "E_p is the entropy of a distribution that each kind of router defines in its own way: it does not compare between "
    "routers. oracle, random and r_o know the test scores; 95% intervals resample prompts and seeds."
)


def _gain(line: Line) -> str:
    if line.router == SINGLE or math.isnan(line.gain.mean):
        return " | "
    verdict = "above" if line.gain.low > 0 else "below" if line.gain.high < 0 else "tie"
    return f"{line.gain.mean:+.4f} ({_span(line.gain, '+.4f')}) | {verdict}"


def _span(interval: Interval, form: str) -> str:
    return "" if math.isnan(interval.mean) else f"{interval.low:{form}} to {interval.high:{form}}"


def _known(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.4f}"


def to_csv(lines: Sequence[Line]) -> str:
    """The same as CSV; empty cells are unknown."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = ("mu", "vr", "vb", "ep")
    bounds = ("mu_low", "mu_high", "gain", "gain_low", "gain_high")
    writer.writerow(["problem", "router", *names, *bounds, "seeds", "fit_s", "score_s"])
    for line in lines:
        values = [*asdict(line.metrics).values(), line.mu.low, line.mu.high, *asdict(line.gain).values()]
        cells = ["" if math.isnan(v) else f"{v:.6f}" for v in values]
        writer.writerow(
            [plain(line.problem), plain(line.router), *cells, line.seeds, f"{line.fit_s:.3f}", f"{line.score_s:.3f}"]
        )
    return text.getvalue()


def plot(lines: Sequence[Line], path: Path) -> None:
    """mu_o with its interval, a panel for each problem."""
    problems = list(dict.fromkeys(line.problem for line in lines))
    columns = min(3, len(problems))
    rows = -(-len(problems) // columns)
    routers = len({line.router for line in lines})
    size = (4.6 * columns, (0.26 * routers + 1.0) * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, constrained_layout=True, squeeze=False)
    for axis in axes.flat[len(problems) :]:
        axis.set_visible(False)
    for axis, problem in zip(axes.flat, problems, strict=False):
        shown = [line for line in lines if line.problem == problem][::-1]
        single = next((line.metrics.mu for line in shown if line.router == SINGLE), math.nan)
        for y, line in enumerate(shown):
            mu = line.metrics.mu
            span = [[max(0, mu - line.mu.low)], [max(0, line.mu.high - mu)]]
            axis.errorbar([mu], [y], xerr=None if math.isnan(line.mu.mean) else span, fmt="o", capsize=2, ms=4)
        axis.axvline(single, color="#999999", lw=0.8, ls="--")
        axis.set_yticks(range(len(shown)), [line.router for line in shown], fontsize=7)
        axis.set_title(problem, fontsize=8)
        axis.tick_params(axis="x", labelsize=7)
    figure.supxlabel("mean score of the chosen LLM; dashed: the LLM that was best in training", fontsize=8)
    save_figure(figure, path)


def write_results(lines: Sequence[Line], folder: Path, notes: Mapping[str, str]) -> Path:
    """results.csv, results.md and routers.png.

    Returns:
        The Markdown table's path.
    """
    write_atomically(folder / "results.csv", to_csv(lines))
    plot(lines, folder / "routers.png")
    page = folder / "results.md"
    write_atomically(page, markdown(lines, notes))
    return page
