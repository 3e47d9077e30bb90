"""Every paid token is kept: a response cache around any chat model.

A request that was answered before, by this process or another, is answered from disk, with the latency and the usage
of the first time and `cached=True`. Of identical requests that are under way at once in one process only the first
calls the model. Failures are never kept. A cache that cannot be read or written at the moment costs money but no
answers: it is warned about, and the model is called.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import anyio
import anyio.to_thread
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from mar.cachefile import FAILURES
from mar.clock import real_work
from mar.concurrency import PerLoop
from mar.environment import cache_folder
from mar.errors import CallError, Charge, ConfigError
from mar.pool.cache_store import RESPONSES, ResponseStore, cache_key
from mar.pool.cards import ModelCard
from mar.pool.pool import ReportsTelemetry, StatesCosts, ask
from mar.types import ChatModel, ChatReply, ChatRequest, DeltaHandler, ModelTelemetry

log = logging.getLogger(__name__)
T = TypeVar("T")
UNUSABLE = (
    *FAILURES,
    ValidationError,
    PydanticSerializationError,
)  # of a file, of what it holds, of what cannot be kept


@dataclass(slots=True, kw_only=True)
class _Flight:
    """A call under way, which identical requests wait for."""

    landed: anyio.Event = field(default_factory=anyio.Event)
    reply: ChatReply | None = None
    failure: CallError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    """What is open in one event loop."""

    store: ResponseStore | None  # None: it cannot be opened
    flights: dict[bytes, _Flight] = field(default_factory=dict[bytes, _Flight])


class CachedModel:
    """A chat model with a response cache in front. Use it as `async with model:`.

    Args:
        model: The model that answers what the cache does not hold.
        path: The cache's file; None: in the cache folder.
        cards: The models. What a card says about who answers is part of the key; without one it is the model's name.
    """

    books_tries = True

    def __init__(self, model: ChatModel, path: Path | str | None = None, *, cards: Iterable[ModelCard] = ()) -> None:
        self.model = model
        self.path = cache_folder() / RESPONSES if path is None else Path(path)
        self._cards = {card.name: card for card in cards}
        self._warned = False
        self._here = PerLoop("response cache", self._open)

    async def __aenter__(self) -> Self:
        await self._here.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._here.__aexit__(kind, error, trace)

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[_Open]:
        async with AsyncExitStack() as stack:
            store = None
            try:
                store = await _in_thread(lambda: ResponseStore(self.path))
                stack.callback(store.close)
            except ConfigError as error:
                self._warn(str(error))
            if isinstance(self.model, AbstractAsyncContextManager):
                await stack.enter_async_context(self.model)
            yield _Open(store=store)

    def telemetry(self) -> Mapping[str, ModelTelemetry]:
        """The wrapped model's figures."""
        return self.model.telemetry() if isinstance(self.model, ReportsTelemetry) else {}

    def stated_costs(self) -> frozenset[str]:
        """Models whose replies carry their own cost, as the wrapped model says."""
        return self.model.stated_costs() if isinstance(self.model, StatesCosts) else frozenset()

    async def chat(self, request: ChatRequest, on_delta: DeltaHandler | None = None) -> ChatReply:
        """Answer one request, from the cache where it can. A cached reply is streamed as one piece.

        Raises:
            ConfigError: This object is not open.
            CallError: The model's call failed.
        """
        here = self._here.get()
        if here is None:
            raise ConfigError("the response cache is not open; use it inside `async with`")
        key = cache_key(request, self._cards.get(request.model))
        while True:
            flight = here.flights.get(key)
            if flight is None:
                return await self._lead(here, key, request, on_delta)
            await flight.landed.wait()
            if flight.failure is not None:
                raise _copy(flight.failure)
            if flight.reply is not None:
                return _served(flight.reply, on_delta)
            # The call that we waited for was cancelled: somebody has to make it anew.

    async def _lead(self, here: _Open, key: bytes, request: ChatRequest, on_delta: DeltaHandler | None) -> ChatReply:
        flight = here.flights[key] = _Flight()
        try:
            kept = await self._get(here.store, key)
            flight.reply = kept or await ask(self.model, request, on_delta)
            if kept is None:
                await self._put(here.store, key, flight.reply)
                return flight.reply
            return _served(kept, on_delta)
        except CallError as error:
            flight.failure = error
            raise
        finally:
            del here.flights[key]
            flight.landed.set()

    async def _get(self, store: ResponseStore | None, key: bytes) -> ChatReply | None:
        try:
            return None if store is None else await _in_thread(lambda: store.get(key))
        except UNUSABLE as error:
            self._warn(f"response cache {self.path} could not be read: {error}")
            return None

    async def _put(self, store: ResponseStore | None, key: bytes, reply: ChatReply) -> None:
        # A cancellation that comes now must not throw away an answer that has been paid for.
        with anyio.CancelScope(shield=True):
            try:
                if store is not None:
                    await _in_thread(lambda: store.put(key, reply))
            except UNUSABLE as error:
                self._warn(f"response cache {self.path} could not be written: {error}")

    def _warn(self, problem: str) -> None:
        if not self._warned:
            self._warned = True
            log.warning("%s; answers that are not kept have to be paid again", problem.splitlines()[0])


async def _in_thread(work: Callable[[], T]) -> T:
    """Do blocking work off the event loop, in no virtual time."""
    return await real_work(lambda: anyio.to_thread.run_sync(work))


def _served(reply: ChatReply, on_delta: DeltaHandler | None) -> ChatReply:
    if on_delta is not None:
        on_delta(reply.text)
    return replace(reply, cached=True, learned=())


def _copy(error: CallError) -> CallError:
    """The same failure for another waiter: one exception object must not be raised in several tasks."""
    return type(error)(str(error), retry_after_s=error.retry_after_s, charge=Charge(charged="no"))
