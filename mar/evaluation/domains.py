"""How well a controller's task classifier tells the domains of held-out queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from mar.controllers.base import Controller, PlanSpace
from mar.evaluation.statistics import Interval, wilson
from mar.types import Domain, Query


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainRow:
    """One benchmark's queries and what they were taken for."""

    benchmark: str
    domain: str  # the true one; several in the row of the whole
    n: int
    right: int
    taken_for: Mapping[Domain, int]  # wrong domains, how often each

    @property
    def accuracy(self) -> Interval:
        """Share that was told right."""
        return wilson(self.right, self.n)


def domain_rows(controller: Controller, space: PlanSpace, queries: Mapping[str, Sequence[Query]]) -> list[DomainRow]:
    """A row per benchmark, and one of all queries together; the controller must not be told the domain."""
    rows: list[DomainRow] = []
    for benchmark, asked in queries.items():
        told: list[Domain] = [p.intent.domain for p in controller.plan(asked, space)]
        wrong = Counter[Domain](d for q, d in zip(asked, told, strict=True) if d != q.domain)
        domains = sorted({q.domain or "unknown" for q in asked})
        rows.append(
            DomainRow(
                benchmark=benchmark,
                domain=", ".join(domains),
                n=len(asked),
                right=len(asked) - wrong.total(),
                taken_for=wrong,
            )
        )
    taken_for = Counter[Domain]()
    for row in rows:
        taken_for.update(row.taken_for)
    n, right = sum(r.n for r in rows), sum(r.right for r in rows)
    return [*rows, DomainRow(benchmark="all", domain="", n=n, right=right, taken_for=taken_for)]


def domain_table(rows: Sequence[DomainRow]) -> Table:
    """The rows for a terminal."""
    table = Table(title="task classifier on held-out queries")
    for name in ("benchmark", "domain", "queries", "right %", "95% interval", "wrongly taken for"):
        table.add_column(name, justify="right" if name in {"queries", "right %", "95% interval"} else "left")
    for row in rows:
        accuracy = row.accuracy
        mistakes = ", ".join(f"{domain} {count}" for domain, count in row.taken_for.items())
        interval = f"{100 * accuracy.low:.1f} to {100 * accuracy.high:.1f}"
        table.add_row(row.benchmark, row.domain, str(row.n), f"{100 * accuracy.mean:.1f}", interval, mistakes)
    return table
