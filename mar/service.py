"""Answering queries for as long as a program lives: one open pool, one sandbox, one runtime, any number at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread

from mar.clock import real_work
from mar.concurrency import gather
from mar.controllers.base import Controller, Planned, PlanSpace
from mar.controllers.cards import Cards
from mar.controllers.careful import plan_carefully
from mar.errors import ConfigError
from mar.pool.pool import Pool
from mar.runtime import Ledger, Lookup, NoLookup, PromptLibrary, RunIdentity, Runtime, Tools
from mar.runtime.identity import digest
from mar.runtime.sandbox import Sandbox
from mar.types import Budget, Episode, Query

AT_ONCE = 64  # queries of a batch that are worked on at once


@dataclass(slots=True, kw_only=True)
class _Waiting:
    """A query that has to be planned."""

    query: Query
    planned: Planned | None = None
    error: Exception | None = None


class Service:
    """Answers queries. Use it as `async with Service(pool) as service: await service.answer("...")`.

    The pool, a sandbox and what the controller prepares are kept for as long as it is open, so an answer costs its
    calls and little else. It belongs to one event loop, where any number of tasks may use it; each further thread has
    a loop and a service of its own, and they may share the pool. Plans are made in a thread, one batch at a time, of
    all queries that wait: the loop goes on meanwhile.

    Args:
        pool: The models.
        controller: Who decides how agents collaborate; None: the models' cards.
        prompts: Roles and prompts; None: the packaged ones.
        temperature: Of every call.
        max_tokens: Of any reply; None: as strategies and cards say.
        budget: What each query may spend, where it is asked without a budget of its own.
        limit_usd: What all queries together may spend; the limit holds to the last call.
        lookup: What roles that look things up may ask; None: nothing.
        on_episode: Is given every episode that has ended, before it is returned.
    """

    def __init__(
        self,
        pool: Pool,
        controller: Controller | None = None,
        *,
        prompts: PromptLibrary | None = None,
        temperature: float = 0.7,
        max_tokens: int | None = None,
        budget: Budget | None = None,
        limit_usd: float | None = None,
        lookup: Lookup | None = None,
        on_episode: Callable[[Episode], None] | None = None,
    ) -> None:
        self.pool = pool
        self.controller = Cards() if controller is None else controller
        self.budget, self.on_episode = budget, on_episode
        self._space = space_of(self.controller, pool, PromptLibrary.load() if prompts is None else prompts)
        self._sandbox = Sandbox(at_once=False)
        self._runtime = Runtime(
            pool,
            prompts=self._space.prompts,
            tools=Tools(sandbox=self._sandbox, lookup=NoLookup() if lookup is None else lookup),
            ledger=Ledger(limit_usd, of="the service"),
            temperature=temperature,
            max_tokens=max_tokens,
        )
        self._stack = AsyncExitStack()
        self._waiting: list[_Waiting] = []
        self._planning = anyio.Lock()
        self._open = False

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._sandbox)
            await stack.enter_async_context(self.pool)
            self._stack = stack.pop_all()
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._open = False
        return await self._stack.__aexit__(kind, error, trace)

    async def answer(self, query: str | Query, *, budget: Budget | None = None, seed: int = 0) -> Episode:
        """Work on a query as the controller decides.

        Args:
            query: What is asked.
            budget: What it may spend before it has to be answered with what there is; None: the service's.
            seed: Of every draw.

        Raises:
            ConfigError: The service is not open, or controller and pool do not fit together.
        """
        if not self._open:
            raise ConfigError("the service is not open; use it inside `async with`")
        asked = as_query(query)
        planned = await self._plan(asked)
        episode = await self._runtime.run(
            asked,
            planned.how,
            identity=RunIdentity(seed=seed, epoch="ask"),
            budget=self.budget if budget is None else budget,
        )
        if self.on_episode is not None:
            self.on_episode(episode)
        return episode

    async def batch(
        self, queries: Sequence[str | Query], *, budget: Budget | None = None, seed: int = 0, limit: int = AT_ONCE
    ) -> list[Episode]:
        """Work on many queries, `limit` of them at a time; the episodes in the queries' order."""
        return await gather([lambda q=q: self.answer(q, budget=budget, seed=seed) for q in queries], limit=limit)

    async def _plan(self, query: Query) -> Planned:
        """Whoever comes next plans for all who wait."""
        mine = _Waiting(query=query)
        self._waiting.append(mine)
        async with self._planning:
            if mine.planned is None and mine.error is None:
                together, self._waiting = self._waiting, []
                await real_work(lambda: anyio.to_thread.run_sync(self._plan_all, together))
        if mine.error is not None:
            raise mine.error
        assert mine.planned is not None
        return mine.planned

    def _plan_all(self, together: Sequence[_Waiting]) -> None:
        """Plan queries, in a thread. Where one of several cannot be planned, each is planned alone."""
        with _one_thread():
            try:
                found = plan_carefully(self.controller, [w.query for w in together], self._space)
                for waiting, planned in zip(together, found, strict=True):
                    waiting.planned = planned
            except Exception as error:  # each task gets its own, below
                if len(together) == 1:
                    together[0].error = error
                    return
                for waiting in together:
                    self._plan_all([waiting])


def as_query(query: str | Query) -> Query:
    """A text as a query of its own.

    Raises:
        ConfigError: It holds half a character, as bytes that are no text become when they are read.
    """
    found = query if isinstance(query, Query) else Query(text=query, id=f"ask/{digest(query)}")
    try:
        found.text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"the query: character {error.start + 1} is no text; expected UTF-8 text") from None
    return found


def space_of(controller: Controller, pool: Pool, prompts: PromptLibrary) -> PlanSpace:
    """What a controller's plans on a pool may be made of."""
    settings = getattr(controller, "settings", None)
    return PlanSpace.of(pool, prompts, max_agents=getattr(settings, "max_agents", 6))


def _one_thread() -> AbstractContextManager[None]:
    """PyTorch on one thread: more cost more than they gain on a few queries, and others wait for the processor."""
    if "torch" not in sys.modules:
        return nullcontext()
    from mar.numerics import one_thread

    return one_thread()
