"""Load tests: a controller answers queries that arrive whether or not it keeps up; what comes in time is counted.

Goodput is what counts: queries solved within the budget, as a share of all that arrived and per second. A query that is
turned away because too many are under way (`most_in_flight`) is recorded as such and counts against the controller.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic

import anyio
import numpy as np
from rich.table import Table

from mar.clock import ticks
from mar.concurrency import task_group
from mar.controllers.base import Controller, LateController, Moment, PlanSpace
from mar.evaluation.cells import plain
from mar.evaluation.statistics import Interval, bootstrap_mean
from mar.files import write_atomically
from mar.learning.arrivals import Arrivals
from mar.learning.openloop import open_loop
from mar.learning.progress import Progress
from mar.learning.rollouts import Job, Outcome, Rollouts
from mar.runtime import RunIdentity
from mar.tasks.task import ItemT
from mar.types import Budget, CallAnswered, How, StepBound

SAMPLES = 60  # looks at the queues during a test


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What became of one query."""

    query_id: str
    arrival_s: float  # since the test began
    latency_s: float | None  # None: it was turned away
    solved: bool
    in_time: bool  # answered, right or wrong, within the budget
    cost_usd: float | None
    calls: int
    models: tuple[str, ...]  # of its calls, in order
    strategies: tuple[str, ...]  # of its steps, "" where none
    failure: str | None

    @property
    def good(self) -> bool:
        """Whether it counts for goodput."""
        return self.solved and self.in_time


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSample:
    """One look at one model's queue."""

    at_s: float
    model: str
    running: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """One policy at one arrival rate."""

    policy: str
    arrivals: Arrivals
    budget_s: float
    requests: tuple[Request, ...]
    queues: tuple[QueueSample, ...]
    duration_s: float  # from the first arrival to the last answer
    n_not_run: int = 0  # queries that came when the run's limit in USD was spent: they belong to no figure

    @property
    def goodput(self) -> Interval:
        """Share of arrivals that were solved in time."""
        return bootstrap_mean([float(r.good) for r in self.requests])

    @property
    def n_failed(self) -> int:
        """Queries with a failure, those turned away among them."""
        return sum(r.failure is not None for r in self.requests)

    @property
    def n_shed(self) -> int:
        """Queries that were turned away."""
        return sum(r.latency_s is None for r in self.requests)

    def latency(self, quantile: float) -> float:
        """A quantile of the latency of those that were taken in, in seconds; NaN when none was."""
        known = self._latencies()
        return float(np.quantile(known, quantile)) if known else float("nan")

    def shares(self, what: str) -> dict[str, float]:
        """Share of calls by model, or of steps by strategy ("models" or "strategies"), largest first."""
        counted = Counter(name for r in self.requests for name in getattr(r, what))
        total = counted.total()
        return {name: n / total for name, n in counted.most_common()}

    def figures(self) -> dict[str, Any]:
        """The row of a table."""
        known, costs = self._latencies(), [r.cost_usd for r in self.requests if r.cost_usd is not None]
        n, goodput = len(self.requests), self.goodput
        taken = n - self.n_shed
        return {
            "policy": self.policy,
            "rate_per_min": 60 * self.arrivals.rate,
            "pattern": self.arrivals.pattern,
            "budget_s": self.budget_s,
            "n": n,
            "n_not_run": self.n_not_run,
            "n_failed": self.n_failed,
            "n_shed": self.n_shed,
            "goodput": goodput.mean if n else None,
            "goodput_low": goodput.low if n else None,
            "goodput_high": goodput.high if n else None,
            "goodput_per_s": sum(r.good for r in self.requests) / self.duration_s if self.duration_s else None,
            "accuracy": sum(r.solved for r in self.requests) / n if n else None,
            "in_time": sum(r.in_time for r in self.requests) / n if n else None,
            "latency_mean_s": float(np.mean(known)) if known else None,
            "latency_p50_s": self.latency(0.5) if known else None,
            "latency_p95_s": self.latency(0.95) if known else None,
            "latency_p99_s": self.latency(0.99) if known else None,
            "cost_usd_per_100": 100 * sum(costs) / taken if taken and len(costs) == taken else None,
            "calls_per_query": sum(r.calls for r in self.requests) / n if n else None,
        }

    def _latencies(self) -> list[float]:
        return [r.latency_s for r in self.requests if r.latency_s is not None]


@dataclass(slots=True, kw_only=True)
class LoadTest(Generic[ItemT]):
    """Runs controllers under arrivals that do not wait for answers.

    All of them get the same items at the same times with the same draws. Where there are fewer items than queries,
    items come again, with draws of their own.
    """

    rollouts: Rollouts[ItemT]
    space: PlanSpace
    items: Sequence[ItemT]
    progress: Progress
    budget_s: float
    most_in_flight: int = 10_000
    stop_at_budget: bool = False  # an episode that is out of time answers with what it has and frees its place
    seed: int = 0

    async def run(self, controller: Controller, arrivals: Arrivals, n: int, *, name: str | None = None) -> LoadResult:
        """One controller, `n` queries; `name` is how tables call it, where not as it calls itself."""
        name = name or controller.name
        items = [self.items[i % len(self.items)] for i in range(n)]
        planned = self._planned(controller, items)
        times = arrivals.times(n, seed=self.seed)
        rollouts = replace(
            self.rollouts,
            deadline_s=self.budget_s,
            budget=Budget(seconds=self.budget_s) if self.stop_at_budget else None,
            concurrency=None,
        )
        samples: list[QueueSample] = []
        not_run: set[int] = set()
        label = f"{name}, {60 * arrivals.rate:g}/min"
        began = anyio.current_time()
        with self.progress.bar(label, total=n) as bar:

            async def one(i: int) -> Request:
                identity = RunIdentity(seed=self.seed, epoch="load", rollout=i // len(self.items))
                outcome = await rollouts.one(Job(item=items[i], how=planned(i), identity=identity))
                bar.advance()
                if _not_run(outcome, rollouts.limit_reached):
                    not_run.add(i)
                return _answered(outcome, times[i], self.budget_s)

            async with task_group() as tasks:
                every = max(times[-1] / SAMPLES, 0.1)
                tasks.start_soon(partial(self._watch, samples, began, every))
                answered = await open_loop(times, one, most=self.most_in_flight)
                tasks.cancel_scope.cancel()
        requests = tuple(
            request or _shed(rollouts.task.query(item).id, at)
            for i, (request, item, at) in enumerate(zip(answered, items, times, strict=True))
            if i not in not_run
        )
        last = max((r.arrival_s + (r.latency_s or 0.0) for r in requests), default=times[0])
        return LoadResult(
            policy=name,
            arrivals=arrivals,
            budget_s=self.budget_s,
            requests=requests,
            queues=tuple(samples),
            duration_s=last - times[0],
            n_not_run=len(not_run),
        )

    def _planned(self, controller: Controller, items: Sequence[ItemT]) -> Callable[[int], How]:
        """Decisions by position: made on arrival where the controller looks at the load, else all beforehand."""
        task = self.rollouts.task
        queries = [task.query(item) for item in items]
        if isinstance(controller, LateController) and controller.sees_load:
            pool = self.rollouts.runtime.pool
            return lambda i: (
                controller.plan_at(
                    queries[i], self.space, Moment(budget_s=self.budget_s, telemetry=pool.telemetry())
                ).how
            )
        return [p.how for p in controller.plan(queries, self.space)].__getitem__

    async def _watch(self, samples: list[QueueSample], began: float, every: float) -> None:
        while True:
            now = anyio.current_time() - began
            for name, t in self.rollouts.runtime.pool.telemetry().items():
                samples.append(QueueSample(at_s=now, model=name, running=t.running or 0, waiting=t.waiting or 0))
            await anyio.sleep(ticks(every))


def _not_run(outcome: Outcome, limit_reached: str | None) -> bool:
    """Whether nothing was asked for want of money; an episode that ran out of time while it waited did run."""
    failure = outcome.failure
    return limit_reached is not None and failure is not None and failure.kind == "limit" and outcome.calls == 0


def _shed(query_id: str, arrival: float) -> Request:
    return Request(
        query_id=query_id,
        arrival_s=arrival,
        latency_s=None,
        solved=False,
        in_time=False,
        cost_usd=None,
        calls=0,
        models=(),
        strategies=(),
        failure="shed",
    )


def _answered(outcome: Outcome, arrival: float, budget_s: float) -> Request:
    events = outcome.episode.events
    return Request(
        query_id=outcome.query_id,
        arrival_s=arrival,
        latency_s=outcome.latency_s,
        solved=outcome.score.solved,
        in_time=outcome.episode.answer is not None and outcome.latency_s <= budget_s,
        cost_usd=outcome.cost_usd,
        calls=outcome.calls,
        models=tuple(e.model for e in events if isinstance(e, CallAnswered)),
        strategies=tuple(e.strategy or "" for e in events if isinstance(e, StepBound)),
        failure=None if outcome.failure is None else outcome.failure.kind,
    )


COLUMNS = ("policy", "goodput %", "95% interval", "per s", "solved %", "in time %", "mean s", "p50", "p95", "p99")
MORE_COLUMNS = ("USD / 100", "calls", "n", "failed", "shed")


def as_table(results: Sequence[LoadResult], *, title: str, sandbox: str) -> Table:
    """A table for terminals: one row per policy, a section per arrival rate; what held the programs stands below."""
    table = Table(title=title, caption=f"sandbox: {sandbox}")
    for i, column in enumerate(("req/min", *COLUMNS, *MORE_COLUMNS)):
        table.add_column(column, justify="left" if i == 1 else "right", no_wrap=True)
    for i, result in enumerate(results):
        following = results[i + 1] if i + 1 < len(results) else None
        table.add_row(*_cells(result), end_section=following is None or following.arrivals != result.arrivals)
    return table


def as_markdown(results: Sequence[LoadResult], *, title: str, sandbox: str) -> str:
    """The same table as Markdown."""
    columns = ("req/min", *COLUMNS, *MORE_COLUMNS)
    lines = [f"### {title}", "", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(_cells(r)) + " |" for r in results), "", f"sandbox: {sandbox}", ""])


def _cells(result: LoadResult) -> list[str]:
    f = result.figures()
    if not result.requests:
        return [f"{f['rate_per_min']:g}", result.policy, "not run", *[""] * (len(COLUMNS) - 2 + 2), "0", "0", "0"]

    def number(name: str, digits: int, factor: float = 1.0) -> str:
        return "-" if f[name] is None else f"{factor * f[name]:.{digits}f}"

    return [
        f"{f['rate_per_min']:g}",
        result.policy,
        number("goodput", 1, 100),
        f"{100 * f['goodput_low']:.1f} to {100 * f['goodput_high']:.1f}",
        number("goodput_per_s", 2),
        number("accuracy", 1, 100),
        number("in_time", 1, 100),
        *(number(f"latency_{q}_s", 0) for q in ("mean", "p50", "p95", "p99")),
        "unknown" if f["cost_usd_per_100"] is None else number("cost_usd_per_100", 4),
        number("calls_per_query", 1),
        f"{f['n']} of {f['n'] + result.n_not_run}" if result.n_not_run else str(f["n"]),
        str(f["n_failed"]),
        str(f["n_shed"]),
    ]


def goodput_lines(results: Sequence[LoadResult]) -> dict[str, list[tuple[float, Interval]]]:
    """Goodput against requests per minute, by policy."""
    lines: dict[str, list[tuple[float, Interval]]] = {}
    for result in sorted((r for r in results if r.requests), key=lambda r: r.arrivals.rate):
        lines.setdefault(result.policy, []).append((60 * result.arrivals.rate, result.goodput))
    return lines


def queue_lines(result: LoadResult) -> dict[str, list[tuple[float, float]]]:
    """Calls running or waiting against seconds, by model."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for sample in result.queues:
        lines.setdefault(sample.model, []).append((sample.at_s, sample.running + sample.waiting))
    return lines


def write_requests(path: Path, results: Sequence[LoadResult]) -> None:
    """Every query of every test as one CSV row."""
    rows: list[Mapping[str, Any]] = [
        {"policy": result.policy, "rate_per_min": 60 * result.arrivals.rate}
        | asdict(r)
        | {"models": "+".join(r.models), "strategies": "+".join(r.strategies)}
        for result in results
        for r in result.requests
    ]
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]) if rows else ["policy"])
    writer.writeheader()
    writer.writerows({name: plain(value) for name, value in row.items()} for row in rows)
    write_atomically(path, out.getvalue())
