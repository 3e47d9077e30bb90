"""Episodes by the batch: run, scored, all at once to the limit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic

import anyio

from mar.clock import real_work, ticks
from mar.concurrency import gather
from mar.errors import ConfigError
from mar.learning.outage import Outage
from mar.runtime import RunIdentity, Runtime
from mar.runtime.sandbox import Sandbox
from mar.tasks.task import ItemT, Score, Task
from mar.types import Budget, Episode, Failure, How, Plan

OUTSIDE = frozenset(
    {"call", "rate_limited", "server_fault", "timeout", "connection", "bad_reply", "bad_key", "unknown_model", "limit"}
    | {"bad_request", "sandbox", "simulated", "no_recording"}
)  # failures that say nothing about the plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Generic[ItemT]):
    """One episode to run."""

    item: ItemT
    how: How  # a plan, or what makes a policy
    identity: RunIdentity
    start_s: float = 0.0  # when it arrives, seconds after the batch begins


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One episode that was run and scored."""

    query_id: str
    score: Score
    cost_usd: float | None
    calls: int
    latency_s: float
    failure: Failure | None  # of the episode or of its scoring
    episode: Episode

    @property
    def plan(self) -> Plan:
        """What was intended.

        Raises:
            ConfigError: Nothing was: a policy decided step by step.
        """
        if self.episode.plan is None:
            raise ConfigError(f"policy {self.episode.policy!r} makes no plan; a plan is needed here")
        return self.episode.plan

    @property
    def learnable(self) -> bool:
        """Whether the result says something about the plan: no fault of the outside world had a part in it."""
        failures = self.episode.failures if self.failure is None else (*self.episode.failures, self.failure)
        return not any(f.kind in OUTSIDE for f in failures)

    def utility(self, cost_rate: float) -> float:
        """Quality minus cost in utility; an unknown cost counts for nothing, so refuse it where cost matters."""
        return self.score.value - cost_rate * (self.cost_usd or 0.0)


Elsewhere = Callable[[Sequence[Job[Any]], Callable[[int, Outcome, str], None]], Awaitable[list[Outcome]]]
"""Runs jobs at workers (`mar.execution`), and tells of each outcome and how the workers stand."""


@dataclass(slots=True, kw_only=True)
class Rollouts(Generic[ItemT]):
    """Runs jobs of one task on one runtime."""

    runtime: Runtime
    task: Task[ItemT]
    sandbox: Sandbox
    concurrency: int | None = None  # episodes under way at once; None: no limit but the pool's
    budget: Budget | None = None  # of each episode
    deadline_s: float | None = None  # of each episode: told to policies, not enforced
    outage: Outage = field(default_factory=Outage)  # ends the run when a server does
    elsewhere: Elsewhere | None = None  # None: episodes are run in this process

    @property
    def limit_reached(self) -> str | None:
        """Why the run must end: its limit in USD is spent."""
        return self.runtime.ledger.reached

    async def run(self, jobs: Sequence[Job[ItemT]], *, on_done: Callable[..., None] | None = None) -> list[Outcome]:
        """Run and score all jobs, as many at once as `concurrency` allows. Results stand in the order of the jobs.

        Args:
            jobs: What is run.
            on_done: Is called after each of them, with how the workers stand as `note` where others run them.

        Raises:
            ConfigError: A live model's key or name is wrong, or the jobs belong together and cannot be spread.
            PoolDown: A live model answers no more.
        """
        if self.elsewhere is not None:
            outcomes = await self._spread(self.elsewhere, jobs, on_done)
        else:
            began = anyio.current_time()
            outcomes = await gather([partial(self._one, job, began, on_done) for job in jobs], limit=self.concurrency)
        self.outage.batch_over()
        return outcomes

    async def _spread(
        self, elsewhere: Elsewhere, jobs: Sequence[Job[ItemT]], on_done: Callable[..., None] | None
    ) -> list[Outcome]:
        if self.deadline_s is not None or self.budget is not None or any(job.start_s for job in jobs):
            raise ConfigError("episodes that arrive or end by the clock belong to one process; expected no --workers")

        def done(_: int, outcome: Outcome, standing: str) -> None:
            if self.runtime.pool.kind == "live":
                self.outage.episode(outcome.episode)
            if on_done is not None:
                on_done(note=standing)

        return await elsewhere(jobs, done)

    async def _one(self, job: Job[ItemT], began: float, on_done: Callable[[], None] | None) -> Outcome:
        if job.start_s:
            await anyio.sleep_until(began + ticks(job.start_s))
        outcome = await self.one(job)
        if on_done is not None:
            on_done()
        return outcome

    async def one(self, job: Job[ItemT]) -> Outcome:
        """Run and score one job now."""
        query = self.task.query(job.item)
        episode = await self.runtime.run(
            query,
            job.how,
            identity=job.identity,
            budget=self.budget,
            deadline_s=self.deadline_s,
        )
        if self.runtime.pool.kind == "live":  # a simulated server is slow or fails as it is told to, and never dies
            self.outage.episode(episode)
        score = await real_work(lambda: self.task.score(job.item, episode.answer, self.sandbox))
        return Outcome(
            query_id=query.id,
            score=score,
            cost_usd=episode.cost_usd,
            calls=episode.usage.calls,
            latency_s=episode.latency_s,
            failure=episode.failure or score.failure,
            episode=episode,
        )
