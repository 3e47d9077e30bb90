"""Load tests as jobs: one contender at one process of arrivals, on servers of its own that are idle when it begins.

Queries of one test wait for each other and stay together on one clock; two tests have nothing in common, so on a
simulated pool they may be done at once by several workers (`mar.execution`). On a live pool they would meet at its
servers, and what each measured would be the others' load, too.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Protocol

from mar.controllers.base import Controller, PlanSpace
from mar.controllers.embeddings import MiniLM
from mar.controllers.system_aware import ByRule, OpenPlans, rule
from mar.errors import ConfigError
from mar.evaluation.loadtest import LoadResult, LoadTest
from mar.evaluation.session import Kit, Session
from mar.execution import Executor, Spec
from mar.learning.arrivals import Arrivals
from mar.learning.progress import Progress
from mar.pool.pool import Pool
from mar.pool.simulated import World
from mar.tasks.task import Task
from mar.types import Domain


class Contender(Protocol):
    """A controller under test as it travels: what it is made of, as plain data."""

    def made(self, pool: Pool, space: PlanSpace) -> tuple[str, Controller]:
        """What tables call it, and the controller itself."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One agent, whose model a rule chooses."""

    name: str
    domain: Domain
    qualities: Mapping[str, float]  # of models, for rules that weigh them

    def made(self, pool: Pool, space: PlanSpace) -> tuple[str, Controller]:
        """See `Contender`."""
        return self.name, ByRule(OpenPlans(self.domain), rule(self.name, space.cards, self.qualities), name=self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadJob:
    """One test."""

    contender: Contender
    arrivals: Arrivals


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """What came of one test."""

    result: LoadResult
    limit: str | None  # why the run must end
    paid: str  # in the run until then


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTests(Spec[LoadJob, Tested]):
    """Tests of one benchmark on one pool."""

    task: Task[Any]
    items: Sequence[Any]  # that are asked
    pool: str  # as for `choose_pool`
    world: World | None  # what a simulated pool knows; None: the pool is live
    kit: Kit
    max_agents: int = 6
    n: int  # queries of each test
    budget_s: float
    most_in_flight: int = 10_000
    stop_at_budget: bool = False
    seed: int
    max_cost: float | None
    spending: Path | None
    request_timeout_s: float | None = None
    max_tokens: int | None = None
    on_virtual_time: bool
    quiet: bool  # else a bar shows the queries of each test

    @property
    def virtual(self) -> bool:
        """See `Spec`."""
        return self.on_virtual_time

    @property
    def apart(self) -> bool:
        """See `Spec`. What a controller draws may depend on the time at which an episode begins."""
        return True

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Callable[[LoadJob], Awaitable[Tested]]]:
        """See `Spec`."""
        session = Session(
            task=self.task,
            items=self.items,
            pool=self.pool,
            progress=Progress(quiet=self.quiet),
            encoder=MiniLM(),  # of a world that is still to be made, which this one is not
            prompts=self.kit.library(),
            world=self.world,
            max_cost=self.max_cost,
            spending=self.spending,
            request_timeout_s=self.request_timeout_s,
            max_tokens=self.max_tokens,
        )
        yield partial(self._tested, session)

    async def _tested(self, session: Session[Any], job: LoadJob) -> Tested:
        async with session.open() as rollouts:
            runtime = rollouts.runtime
            space = PlanSpace.of(runtime.pool, runtime.prompts, max_agents=self.max_agents)
            name, controller = job.contender.made(runtime.pool, space)
            test = LoadTest(
                rollouts=rollouts,
                space=space,
                items=self.items,
                progress=session.progress,
                budget_s=self.budget_s,
                most_in_flight=self.most_in_flight,
                stop_at_budget=self.stop_at_budget,
                seed=self.seed,
            )
            result = await test.run(controller, job.arrivals, self.n, name=name)
            return Tested(result=result, limit=rollouts.limit_reached, paid=str(runtime.ledger.spent))


def check_load_spread(live: Pool | None) -> None:
    """Refuse tests that would meet at the same servers.

    Raises:
        ConfigError: The pool is live.
    """
    if live is not None:
        raise ConfigError(
            "--workers and --ray cannot spread load tests on a live pool: its servers would carry several tests at "
            "once; expected a simulated pool, or neither option"
        )


def run_tests(
    tests: LoadTests,
    contenders: Sequence[Contender],
    arrivals: Sequence[Arrivals],
    workers: Executor,
    progress: Progress,
) -> list[LoadResult]:
    """Every contender at every process of arrivals, in this order: all contenders at the first process, ..."""
    jobs = [LoadJob(contender=c, arrivals=a) for a, c in product(arrivals, contenders)]
    if tests.quiet:
        with progress.bar("load tests", total=len(jobs)) as bar:
            found = workers.run(tests, jobs, lambda number, tested, standing: bar.advance(note=standing))
    else:
        found = workers.run(tests, jobs)
    if tests.world is None:
        progress.say(f"paid in this test: {found[-1].paid}")
    if limits := [tested.limit for tested in found if tested.limit is not None]:
        progress.say(f"cut short: {limits[0]}; what did not run is no part of any figure")
    return [tested.result for tested in found]
