"""What a controller did on a test set: one record per item, one row per controller."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from mar.evaluation.statistics import Interval, bootstrap_mean, wilson
from mar.learning.rollouts import Outcome

ORACLE = "oracle over the fixed plans"


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemResult:
    """One item, one controller."""

    query_id: str
    value: float  # quality, 0 to 1
    solved: bool
    cost_usd: float | None  # None: unknown
    calls: int
    latency_s: float | None  # None: nobody recorded it
    failure: str | None  # kind of the failure

    @classmethod
    def of(cls, outcome: Outcome, *, timed: bool = True) -> ItemResult:
        """The figures of an outcome; without its latency unless it is `timed`."""
        return cls(
            query_id=outcome.query_id,
            value=outcome.score.value,
            solved=outcome.score.solved,
            cost_usd=outcome.cost_usd,
            calls=outcome.calls,
            latency_s=outcome.latency_s if timed else None,
            failure=None if outcome.failure is None else outcome.failure.kind,
        )

    @property
    def ran(self) -> bool:
        """Whether anything was asked: a limit may have ended the run before."""
        return not (self.failure == "limit" and self.calls == 0)

    def utility(self, cost_rate: float) -> float:
        """Quality minus cost; NaN when the cost is unknown and matters."""
        if cost_rate == 0:
            return self.value
        return self.value - cost_rate * (math.nan if self.cost_usd is None else self.cost_usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One controller's results on a test set. Its figures are about the items that were run."""

    name: str
    group: str  # "learned", "untrained", "packaged", "single LLM", "fixed mode", "random", "oracle", "simple"
    results: tuple[ItemResult, ...]

    @property
    def ran(self) -> tuple[ItemResult, ...]:
        """Results of the items that were run before the run's limit ended it, all of them as a rule."""
        return tuple(r for r in self.results if r.ran)

    @property
    def n(self) -> int:
        """Items that were run."""
        return len(self.ran)

    @property
    def n_not_run(self) -> int:
        """Items that were not."""
        return len(self.results) - self.n

    @property
    def n_failed(self) -> int:
        """Items with a failure, whatever kind; none of them counts as solved unless its answer passed all the same."""
        return sum(r.failure is not None for r in self.ran)

    @property
    def accuracy(self) -> Interval:
        """Share of solved items."""
        return wilson(sum(r.solved for r in self.ran), self.n)

    def utility(self, cost_rate: float) -> Interval:
        """Mean utility."""
        return bootstrap_mean(self.utilities(cost_rate))

    def utilities(self, cost_rate: float) -> list[float]:
        """Utility by item that was run."""
        return [r.utility(cost_rate) for r in self.ran]

    @property
    def cost_per_100(self) -> float | None:
        """USD per 100 queries; None when any cost is unknown."""
        costs = [r.cost_usd for r in self.ran]
        known = [c for c in costs if c is not None]
        return 100 * sum(known) / len(known) if known and len(known) == len(costs) else None

    @property
    def calls(self) -> float:
        """Mean model calls per query."""
        return float(np.mean([r.calls for r in self.ran])) if self.n else math.nan

    def latency(self, quantile: float) -> float:
        """A quantile of the episodes' latency in seconds; NaN when any is unknown."""
        known = [r.latency_s for r in self.ran if r.latency_s is not None]
        return float(np.quantile(known, quantile)) if known and len(known) == self.n else math.nan

    def to_json(self, cost_rate: float) -> dict[str, Any]:
        """The row's figures; None where one is undefined."""
        figures = {
            "name": self.name,
            "group": self.group,
            "n": self.n,
            "n_failed": self.n_failed,
            "n_not_run": self.n_not_run,
            "accuracy": _defined(asdict(self.accuracy)),
            "utility": _defined(asdict(self.utility(cost_rate))),
            "cost_usd_per_100": self.cost_per_100,
            "calls_per_query": self.calls,
            "latency_p50_s": self.latency(0.5),
            "latency_p95_s": self.latency(0.95),
        }
        return _defined(figures)


def _defined(figures: dict[str, Any]) -> dict[str, Any]:
    """Figures with None for NaN, which JSON does not have."""
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in figures.items()}


def rank(utility: float) -> float:
    """A utility to compare by: an unknown one is below all others."""
    return -math.inf if math.isnan(utility) else utility


def oracle(rows: Sequence[Row], cost_rate: float) -> Row:
    """The best of several rows on each item, by utility: what a perfect choice among them would reach."""
    best = tuple(
        max(choices, key=lambda r: (r.ran, rank(r.utility(cost_rate)), r.value))
        for choices in zip(*(row.results for row in rows), strict=True)
    )
    return Row(name=ORACLE, group="oracle", results=best)


COLUMNS = ("controller", "accuracy %", "95% interval", "utility", "USD / 100", "calls", "p50 s", "p95 s", "n", "failed")


def _cells(row: Row, cost_rate: float) -> list[str]:
    if row.n == 0:
        return [row.name, "not run", *[""] * (len(COLUMNS) - 4), "0", "0"]
    accuracy, cost = row.accuracy, row.cost_per_100
    return [
        row.name,
        f"{100 * accuracy.mean:.1f}",
        f"{100 * accuracy.low:.1f} to {100 * accuracy.high:.1f}",
        f"{row.utility(cost_rate).mean:.3f}",
        "unknown" if cost is None else f"{cost:.4f}",
        f"{row.calls:.1f}",
        *("unknown" if math.isnan(t) else f"{t:.1f}" for t in (row.latency(0.5), row.latency(0.95))),
        f"{row.n} of {len(row.results)}" if row.n_not_run else str(row.n),
        str(row.n_failed),
    ]


def as_table(rows: Sequence[Row], cost_rate: float, *, title: str, caption: str) -> Table:
    """A table for terminals."""
    table = Table(title=title, caption=caption, caption_justify="left")
    for i, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if i == 0 else "right", no_wrap=i > 0)
    for i, row in enumerate(rows):
        new_group = i + 1 == len(rows) or rows[i + 1].group != row.group
        table.add_row(*_cells(row, cost_rate), end_section=new_group)
    return table


def as_markdown(rows: Sequence[Row], cost_rate: float, *, title: str, caption: str) -> str:
    """The same table as Markdown."""
    lines = [f"### {title}", "", "| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(_cells(row, cost_rate)) + " |" for row in rows]
    return "\n".join([*lines, "", caption, ""])
