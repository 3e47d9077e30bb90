"""What a benchmark run leaves in its folder, and what it shows in the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mar.evaluation.last_line import end_with, last_line
from mar.evaluation.plots import plot_curves, plot_trade_off
from mar.evaluation.results import Row, as_markdown, as_table
from mar.files import write_atomically
from mar.learning.rundir import RunDir
from mar.pool.pool import Pool
from mar.terminal import Terminal

PICTURE = "trade_off.png"
_LABELS = {"simulated": " (simulated pool)", "replay": " (recorded answers)"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a run has found."""

    about: str  # task and test, e.g. "mbpp, 200 test items"
    label: str  # what the answers were, in brackets; empty for a live pool
    rows: Sequence[Row]  # those that were run
    notes: Mapping[str, str]
    cost_rate: float  # utility per USD
    simulated: bool

    @property
    def title(self) -> str:
        """The head of its tables and plots."""
        return self.about + self.label

    @property
    def caption(self) -> str:
        """What stands below its tables."""
        return "; ".join(f"{k}: {v}" for k, v in self.notes.items())

    @property
    def sentence(self) -> str:
        """What it comes down to."""
        return last_line(self.rows, measure="simulated accuracy" if self.simulated else "accuracy")

    def to_json(self) -> dict[str, Any]:
        """What results.json holds."""
        return {
            "title": self.title,
            "notes": dict(self.notes),
            "cost_rate": self.cost_rate,
            "sentence": self.sentence,
            "rows": [r.to_json(self.cost_rate) for r in self.rows],
        }


def label_of(pool: Pool, effects: float) -> str:
    """What a pool's answers are, in brackets.

    Args:
        pool: Whose.
        effects: Factor on what peers and roles do to a simulated model.
    """
    if pool.simulated and effects != 1:
        return f" (simulated pool, peer and role effects x {effects:g})"
    return _LABELS.get(pool.kind, "")


def priced(pool: Pool, cost_rate: float) -> str:
    """The price of money in words."""
    unrecorded = pool.kind == "replay" and pool.without_price()
    return "0: costs were not recorded, utility is accuracy" if unrecorded else f"{cost_rate:g} utility per USD"


def write_found(run: RunDir, found: Found, result_file: Path | None, *, task: str) -> dict[str, Any]:
    """Write tables, figures and plots; gives what results.json holds."""
    results = found.to_json()
    text = json.dumps(results, indent=2, allow_nan=False)
    for path in filter(None, (run.path / "results.json", result_file)):
        write_atomically(path, text)
    items = {row.name: [asdict(r) for r in row.results] for row in found.rows}
    write_atomically(run.path / "items.json", json.dumps(items, allow_nan=False))
    page = as_markdown(found.rows, found.cost_rate, title=found.title, caption=found.caption)
    write_atomically(run.path / "results.md", f"{page}\n**{found.sentence}**\n")
    metrics = run.metrics()
    if any("loss" in m for m in metrics):
        plot_curves(metrics, run.path / "curves.png", title=f"training on {task}{found.label}")
    plot_trade_off(found.rows, run.path / PICTURE, title=found.title)
    return results


def show_found(run: RunDir, found: Found) -> None:
    """Print the table, the picture's path and the sentence."""
    console = Terminal(width=None if sys.stdout.isatty() else 140)
    console.print(as_table(found.rows, found.cost_rate, title=found.title, caption=found.caption))
    end_with(console, run.path / PICTURE, found.sentence)
