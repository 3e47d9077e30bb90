"""What every run on a benchmark needs around it: a sandbox, the pool that was asked for, a runtime, rollouts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Generic

from mar.controllers.embeddings import Encoder
from mar.environment import cache_folder
from mar.learning.progress import Progress
from mar.learning.rollouts import Rollouts
from mar.pool.choose import choose_pool
from mar.pool.pool import Pool
from mar.pool.simulated import World, with_topics
from mar.runtime import Account, Ledger, PromptLibrary, Runtime, Tools
from mar.runtime.lookup import NoLookup, WikipediaLookup
from mar.runtime.sandbox import Sandbox
from mar.tasks.task import ItemT, Spends, Task

SPENDING = "spending.jsonl"  # in a run's folder: see `mar.runtime.account`


@dataclass(slots=True, kw_only=True)
class Session(Generic[ItemT]):
    """A benchmark on a pool. It may be opened several times; a simulated pool's servers are idle each time."""

    task: Task[ItemT]
    items: Sequence[ItemT]  # everything that may be asked, for a simulated pool to know
    pool: str | Pool  # one that is there, or as for `choose_pool`
    progress: Progress
    encoder: Encoder  # of what is asked, for a simulated pool to know what it is about
    prompts: PromptLibrary = field(default_factory=PromptLibrary.load)
    effects: float = 1.0
    max_cost: float | None = None  # USD
    spending: Path | None = None  # file that keeps what a live pool was paid, for all processes of the run
    request_timeout_s: float | None = None
    max_tokens: int | None = None  # of any reply
    concurrency: int | None = None  # episodes under way at once
    keep_prompts: bool = False
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
            async with pool:
                runtime = Runtime(
                    pool,
                    prompts=self.prompts,
                    tools=Tools(sandbox=sandbox, lookup=NoLookup() if pool.free else WikipediaLookup()),
                    ledger=self._ledger_of(pool),
                    request_timeout_s=self.request_timeout_s,
                    max_tokens=self.max_tokens,
                    keep_prompts=self.keep_prompts,
                )
                yield Rollouts(runtime=runtime, task=self.task, sandbox=sandbox, concurrency=self.concurrency)

    async def _chosen(self, choice: str, sandbox: Sandbox) -> Pool:
        return await choose_pool(choice, partial(self._world, sandbox), effects=self.effects)

    async def _world(self, sandbox: Sandbox) -> World:
        """What a simulated pool knows."""
        queries = [self.task.query(item) for item in self.items]
        world = await self.task.world(self.items, sandbox)
        return with_topics(world, {q.id: q.text for q in queries}, self.encoder)

    def _ledger_of(self, pool: Pool) -> Ledger:
        """What the run may spend and has spent; what nobody really pays is not kept."""
        if self._ledger is None:
            kept = None if self.spending is None or pool.free else Account(self.spending)
            self._ledger = Ledger(self.max_cost, account=kept)
            if isinstance(self.task, Spends):
                self.task.spend_within(self._ledger)
        return self._ledger
