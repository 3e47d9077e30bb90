"""Answering queries for as long as a program lives: one open pool, one sandbox, one runtime, any number at once."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from mar.concurrency import gather, task_group
from mar.controllers.base import Controller, Planned, PlanSpace
from mar.controllers.cards import Cards
from mar.controllers.planner import Planner
from mar.errors import ConfigError
from mar.pool.pool import Pool
from mar.runtime import (
    Ledger,
    Lookup,
    Meter,
    NoLookup,
    PromptLibrary,
    Purse,
    Purses,
    RunIdentity,
    Runtime,
    Toolkit,
    Tools,
)
from mar.runtime.identity import digest
from mar.runtime.modes import PUBLISHED_MODES
from mar.runtime.sandbox import Sandbox
from mar.types import Budget, ChatRequest, Delta, DeltaHandler, Episode, EventHandler, Query, Usage

AT_ONCE = 64  # queries of a batch that are worked on at once


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
        tools: What roles may name beside mar's own tools, and which roles are given which; None: nothing.
        keep_prompts: Whether traces hold what models were sent.
        longest_wait_s: Seconds that a call may be put off (a rate limit, a pause before another try) before it fails,
            so that another model can be asked; None: as long as it takes.
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
        tools: Toolkit | None = None,
        keep_prompts: bool = True,
        longest_wait_s: float | None = None,
        on_episode: Callable[[Episode], None] | None = None,
    ) -> None:
        self.pool = pool
        self.controller = Cards() if controller is None else controller
        self.budget, self.on_episode = budget, on_episode
        self._tools = Toolkit() if tools is None else tools
        library = (PromptLibrary.load() if prompts is None else prompts).with_tools(self._tools.roles)
        self.space = space_of(self.controller, pool, library)
        self._sandbox = Sandbox(at_once=False)
        self._runtime = Runtime(
            pool,
            prompts=self.space.prompts,
            tools=Tools(sandbox=self._sandbox, lookup=NoLookup() if lookup is None else lookup, kit=self._tools),
            ledger=Ledger(limit_usd, of="the service"),
            temperature=temperature,
            max_tokens=max_tokens,
            keep_prompts=keep_prompts,
            longest_wait_s=longest_wait_s,
        )
        self._stack = AsyncExitStack()
        self._planner = Planner(self.controller, self.space)
        self._open = False

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._sandbox)
            await stack.enter_async_context(self._tools)
            await stack.enter_async_context(self.pool)
            self._stack = stack.pop_all()
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._open = False
        return await self._stack.__aexit__(kind, error, trace)

    @property
    def ledger(self) -> Ledger:
        """What all is paid from."""
        return self._runtime.ledger

    @property
    def sandbox(self) -> Sandbox:
        """Where programs of models are run; what it needs is started with the first one."""
        return self._sandbox

    async def answer(self, query: str | Query, *, budget: Budget | None = None, seed: int = 0) -> Episode:
        """Work on a query as the controller decides.

        Args:
            query: What is asked.
            budget: What it may spend before it has to be answered with what there is; None: the service's.
            seed: Of every draw.

        Raises:
            ConfigError: The service is not open, or controller and pool do not fit together.
        """
        asked = as_query(query)
        return await self.run(asked, await self.plan(asked), budget=budget, seed=seed)

    async def plan(self, query: Query) -> Planned:
        """How a query would be worked on.

        Raises:
            ConfigError: The service is not open, or controller and pool do not fit together.
        """
        self._check_open()
        return await self._planner.plan(query)

    async def run(
        self,
        query: Query,
        planned: Planned,
        *,
        budget: Budget | None = None,
        seed: int = 0,
        purse: Purse | None = None,
        on_event: EventHandler | None = None,
        on_delta: DeltaHandler | None = None,
    ) -> Episode:
        """Work on a query as it was planned.

        Args:
            query: What is asked.
            planned: How.
            budget: What it may spend before it has to be answered with what there is; None: the service's.
            seed: Of every draw.
            purse: What it is paid from beside the service's limit: of whoever asks.
            on_event: Is given every event as it happens.
            on_delta: Is given the answer while it is written, where the last call is known to be the last.

        Raises:
            ConfigError: The service is not open, or the plan names what there is not.
        """
        self._check_open()
        episode = await self._runtime.run(
            query,
            planned.how,
            identity=RunIdentity(seed=seed, epoch="ask"),
            budget=self.budget if budget is None else budget,
            purse=purse,
            on_event=on_event,
            on_delta=on_delta,
        )
        if self.on_episode is not None:
            self.on_episode(episode)
        return episode

    async def embed(
        self, model: str, body: Mapping[str, Any], *, purse: Purse | None = None
    ) -> tuple[Mapping[str, Any], Usage]:
        """Pass a client's own request for vectors of texts on; gives the server's own reply and what it used and cost.

        Raises:
            ConfigError: The service is not open, or the pool has no such model that makes vectors.
            CallError: The call failed for good.
            LimitReached: A limit in USD forbids the call.
        """
        self._check_open()
        if model not in self.pool.embedders:
            raise ConfigError(
                f"no model {model!r} makes vectors; there are: {', '.join(self.pool.embedders) or 'none'}"
            )
        meter = Meter(self.pool.embedders[model], self.ledger if purse is None else Purses(self.ledger, purse))
        wait = self._runtime.longest_wait_s
        request = ChatRequest(model=model, messages=(), verbatim=body, longest_wait_s=wait, meter=meter)
        reply = await self.pool.embed(request)
        return reply.verbatim or {}, self.pool.usage(reply)

    @asynccontextmanager
    async def stream(
        self, query: str | Query, *, budget: Budget | None = None, seed: int = 0
    ) -> AsyncGenerator[AnswerStream]:
        """Work on a query and be shown the answer while it is written.

            async with service.stream("...") as answer:
                async for piece in answer:
                    print(piece.text, end="")
            print(answer.episode)

        An answer whose last call is not known beforehand (a vote, a policy that may go on) comes as one piece at the
        end. Who leaves the block early calls off what is under way.
        """
        send, receive = anyio.create_memory_object_stream[Delta](math.inf)
        answer = AnswerStream(receive)

        async def work() -> None:
            with send:
                asked = as_query(query)
                planned = await self.plan(asked)
                shown = False

                def show(delta: Delta) -> None:
                    nonlocal shown
                    shown = True
                    send.send_nowait(delta)

                episode = await self.run(asked, planned, budget=budget, seed=seed, on_delta=show)
                if not shown and episode.text:
                    send.send_nowait(Delta(text=episode.text))
                answer.episode = episode

        async with task_group() as tasks:
            with receive:
                tasks.start_soon(work)
                yield answer
                tasks.cancel_scope.cancel()

    async def batch(
        self, queries: Sequence[str | Query], *, budget: Budget | None = None, seed: int = 0, limit: int = AT_ONCE
    ) -> list[Episode]:
        """Work on many queries, `limit` of them at a time; the episodes in the queries' order."""
        return await gather([lambda q=q: self.answer(q, budget=budget, seed=seed) for q in queries], limit=limit)

    def _check_open(self) -> None:
        if not self._open:
            raise ConfigError("the service is not open; use it inside `async with`")


class AnswerStream:
    """An answer under way: its pieces, and after the last of them its episode."""

    def __init__(self, pieces: MemoryObjectReceiveStream[Delta]) -> None:
        self._pieces = pieces
        self.episode: Episode | None = None

    def __aiter__(self) -> AnswerStream:
        return self

    async def __anext__(self) -> Delta:
        try:
            return await self._pieces.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None


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
    modes = getattr(controller, "modes", None) or PUBLISHED_MODES
    return PlanSpace.of(pool, prompts, max_agents=getattr(settings, "max_agents", 6), modes=modes)
