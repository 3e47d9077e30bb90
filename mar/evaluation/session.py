"""What every run on a benchmark needs around it: a sandbox, the pool that was asked for, a runtime, rollouts.

With an executor, episodes are run by its workers: a session travels as a `Recipe`, from which each of them makes one of
its own, whose money and models' limits are the driver's. That is possible where an episode depends on nothing but its
job: on live pools and on recorded answers. On a simulated pool the episodes of a batch wait for each other at the
simulated servers, so that latencies, and what is learned from them, would depend on which worker had which episode.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic

from mar.controllers.embeddings import Encoder, MiniLM
from mar.environment import cache_folder
from mar.errors import ConfigError, InternalError
from mar.execution import Executor, Spec
from mar.execution.desk import Address, Desk
from mar.execution.far_desk import far_pool
from mar.learning.progress import Progress
from mar.learning.rollouts import Elsewhere, Job, Outcome, Rollouts
from mar.pool.choose import choose_pool, recorded_table
from mar.pool.pool import Pool
from mar.pool.simulated import World
from mar.pool.simulated.topics import with_topics
from mar.runtime import Account, Ledger, PromptLibrary, Runtime, Toolkit, Tools, WikipediaLookup
from mar.runtime.ledger import Purse
from mar.runtime.lookup import Lookup, NoLookup
from mar.runtime.sandbox import Sandbox
from mar.tasks.task import ItemT, Spends, Task

SPENDING = "spending.jsonl"  # in a run's folder: see `mar.runtime.account`


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """Where prompts and tools are read from."""

    prompts: Path | None = None  # folder beside mar's own
    decider: Path | None = None  # file that replaces every decider's prompt
    tools: Path | None = None

    def library(self) -> PromptLibrary:
        """The prompts.

        Raises:
            ConfigError: A file cannot be used.
        """
        library = PromptLibrary.load(self.prompts)
        library = library if self.decider is None else library.with_decider(self.decider)
        return library.with_tools(self.toolkit().roles)

    def toolkit(self) -> Toolkit:
        """The tools.

        Raises:
            ConfigError: The file cannot be used.
        """
        return Toolkit() if self.tools is None else Toolkit.load(self.tools)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Who runs a session's episodes in place of this process."""

    executor: Executor
    pool: str  # as for `choose_pool`: workers open it anew
    kit: Kit = field(default_factory=Kit)


@dataclass(slots=True, kw_only=True)
class Session(Generic[ItemT]):
    """A benchmark on a pool. It may be opened several times; a simulated pool's servers are idle each time."""

    task: Task[ItemT]
    items: Sequence[ItemT]  # everything that may be asked, for a simulated pool to know
    pool: str | Pool  # one that is there, or as for `choose_pool`
    progress: Progress
    encoder: Encoder  # of what is asked, for a simulated pool to know what it is about
    prompts: PromptLibrary = field(default_factory=PromptLibrary.load)
    tools: Toolkit = field(default_factory=Toolkit)  # what the prompts' roles may name beside mar's own tools
    effects: float = 1.0
    world: World | None = None  # what a simulated pool knows; None: it is made of the items when a pool is needed
    max_cost: float | None = None  # USD
    spending: Path | None = None  # file that keeps what a live pool was paid, for all processes of the run
    request_timeout_s: float | None = None
    max_tokens: int | None = None  # of any reply
    concurrency: int | None = None  # episodes under way at once
    keep_prompts: bool = False
    lookup: Lookup = field(default_factory=NoLookup)  # of roles that look things up; nobody does in a free pool
    spread: Spread | None = None  # None: episodes are run in this process
    purse: Purse | None = None  # that everything is paid from beside the run's own limit: the driver's
    fence: str = field(default="", init=False)  # what holds programs and what it does not, once it has been opened
    _pool: Pool | None = field(default=None, init=False)
    _ledger: Ledger | None = field(default=None, init=False)  # one for the whole run, however often it is opened

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Rollouts[ItemT]]:
        """Rollouts for as long as the context lasts."""
        async with Sandbox(memo_path=cache_folder() / "verdicts.sqlite") as sandbox:
            self.fence = str(sandbox.fence)
            if self._pool is None:
                with self.progress.bar("preparing the pool", total=1) as bar:
                    self._pool = self.pool if isinstance(self.pool, Pool) else await self._chosen(self.pool, sandbox)
                    bar.advance()
            pool = self._pool
            lookup = NoLookup() if pool.free else self.lookup
            async with pool, self.tools:
                runtime = Runtime(
                    pool,
                    prompts=self.prompts,
                    tools=Tools(sandbox=sandbox, lookup=lookup, kit=self.tools),
                    ledger=self._ledger_of(pool),
                    request_timeout_s=self.request_timeout_s,
                    max_tokens=self.max_tokens,
                    keep_prompts=self.keep_prompts,
                )
                async with self._elsewhere(pool, runtime.ledger) as elsewhere:
                    yield Rollouts(
                        runtime=runtime,
                        task=self.task,
                        sandbox=sandbox,
                        concurrency=self.concurrency,
                        elsewhere=elsewhere,
                    )

    @asynccontextmanager
    async def _elsewhere(self, pool: Pool, ledger: Ledger) -> AsyncGenerator[Elsewhere | None]:
        """What runs episodes at workers, which are told of the desk where they pay."""
        spread = self.spread
        if spread is None:
            yield None
            return
        check_spread(pool)
        async with AsyncExitStack() as stack:
            desk, address = Desk(ledger, pool.cards), None
            if not pool.free:
                address = await stack.enter_async_context(desk.open(spread.executor.host))
            recipe = Recipe(
                task=self.task,
                pool=spread.pool,
                kit=spread.kit,
                request_timeout_s=self.request_timeout_s,
                max_tokens=self.max_tokens,
                concurrency=self.concurrency,
                keep_prompts=self.keep_prompts,
                lookup=isinstance(self.lookup, WikipediaLookup),
                on_virtual_time=pool.virtual_time,
                desk=address,
            )

            async def run(jobs: Sequence[Job[Any]], done: Callable[[int, Outcome, str], None]) -> list[Outcome]:
                return await desk.run(spread.executor, recipe, jobs, done)

            yield run

    async def _chosen(self, choice: str, sandbox: Sandbox) -> Pool:
        return await choose_pool(choice, partial(self._world, sandbox), effects=self.effects)

    async def _world(self, sandbox: Sandbox) -> World:
        """What a simulated pool knows."""
        if self.world is None:
            queries = [self.task.query(item) for item in self.items]
            world = await self.task.world(self.items, sandbox)
            self.world = with_topics(world, {q.id: q.text for q in queries}, self.encoder)
        return self.world

    def _ledger_of(self, pool: Pool) -> Ledger:
        """What the run may spend and has spent; what nobody really pays is not kept."""
        if self._ledger is None:
            kept = None if self.spending is None or pool.free else Account(self.spending)
            self._ledger = Ledger(self.max_cost, account=kept, within=self.purse)
            if isinstance(self.task, Spends):
                self.task.spend_within(self._ledger)
        return self._ledger


def check_spread(pool: Pool | None) -> None:
    """Refuse what cannot be spread over workers.

    Args:
        pool: That is used; None: a simulated one.

    Raises:
        ConfigError: Its episodes depend on each other.
    """
    if pool is None or pool.kind not in {"live", "replay"}:
        raise ConfigError(
            "--workers and --ray cannot spread a batch on a simulated pool: its episodes wait for each other at the "
            "simulated servers; expected a live pool or replay:TABLE, or neither option"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(Spec[Job[Any], Outcome]):
    """A session as it travels: a worker makes its own from it and runs single episodes."""

    task: Task[Any]
    pool: str
    kit: Kit
    request_timeout_s: float | None
    max_tokens: int | None
    concurrency: int | None
    keep_prompts: bool
    lookup: bool
    on_virtual_time: bool
    desk: Address | None  # None: nobody is paid

    @property
    def at_once(self) -> int | None:
        """See `Spec`."""
        return self.concurrency

    @property
    def virtual(self) -> bool:
        """See `Spec`."""
        return self.on_virtual_time

    @property
    def repeatable(self) -> bool:
        """See `Spec`."""
        return self.desk is None

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Callable[[Job[Any]], Awaitable[Outcome]]]:
        """See `Spec`."""
        async with AsyncExitStack() as stack:
            purse: Purse | None = None
            if self.desk is not None:
                pool, purse = await stack.enter_async_context(far_pool(self.pool, self.desk))
            elif (table := recorded_table(self.pool)) is not None:
                pool = table.pool()
            else:
                raise InternalError(f"{self.pool} is neither paid for nor recorded")
            session = Session(
                task=self.task,
                items=(),
                pool=pool,
                progress=Progress(quiet=True),
                encoder=MiniLM(),  # of simulated pools, which are not spread
                prompts=self.kit.library(),
                tools=self.kit.toolkit(),
                request_timeout_s=self.request_timeout_s,
                max_tokens=self.max_tokens,
                keep_prompts=self.keep_prompts,
                lookup=WikipediaLookup() if self.lookup else NoLookup(),
                purse=purse,
            )
            yield (await stack.enter_async_context(session.open())).one
