"""Every paid token is kept: a response cache around any chat model.

A request that was answered before, by this process or another, is answered from disk, with the latency and the usage
of the first time and `cached=True`. Of identical requests that are under way at once in one process only the first
calls the model. Failures are never kept. A cache that cannot be read or written at the moment costs money but no
answers: it is warned about, and the model is called.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import anyio
import anyio.to_thread
from pydantic import ValidationError

from mar.clock import real_work
from mar.errors import CallError, Charge
from mar.pool.cache_store import ResponseStore, cache_key, default_cache_path
from mar.pool.pool import ReportsTelemetry, StatesCosts, ask
from mar.types import ChatModel, ChatReply, ChatRequest, DeltaHandler, ModelTelemetry

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class _Flight:
    """A call under way, which identical requests wait for."""

    landed: anyio.Event = field(default_factory=anyio.Event)
    reply: ChatReply | None = None
    failure: CallError | None = None


class CachedModel:
    """A chat model with a response cache in front. Use it as `async with model:`.

    Args:
        model: The model that answers what the cache does not hold.
        path: The cache's file; None: see `default_cache_path`.

    Raises:
        ConfigError: The file cannot be opened as a response cache (on entering).
    """

    books_tries = True

    def __init__(self, model: ChatModel, path: Path | str | None = None) -> None:
        self.model = model
        self.path = default_cache_path() if path is None else Path(path)
        self._store: ResponseStore | None = None
        self._stack: AsyncExitStack | None = None
        self._entered = 0
        self._opening = anyio.Lock()  # two that enter at once must not both open
        self._flights: dict[bytes, _Flight] = {}

    async def __aenter__(self) -> Self:
        # Counted, because a pool and its restricted copies share one model.
        async with self._opening:
            if self._entered == 0:
                async with AsyncExitStack() as stack:
                    store = await _in_thread(lambda: ResponseStore(self.path))
                    stack.callback(store.close)
                    if hasattr(self.model, "__aenter__"):
                        await stack.enter_async_context(self.model)  # pyright: ignore[reportArgumentType]
                    self._store, self._stack = store, stack.pop_all()
            self._entered += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered -= 1
        if self._entered == 0 and self._stack is not None:
            stack, self._stack, self._store = self._stack, None, None
            await stack.__aexit__(kind, error, trace)

    def telemetry(self) -> Mapping[str, ModelTelemetry]:
        """The wrapped model's figures."""
        return self.model.telemetry() if isinstance(self.model, ReportsTelemetry) else {}

    def stated_costs(self) -> frozenset[str]:
        """Models whose replies carry their own cost, as the wrapped model says."""
        return self.model.stated_costs() if isinstance(self.model, StatesCosts) else frozenset()

    async def chat(self, request: ChatRequest, on_delta: DeltaHandler | None = None) -> ChatReply:
        """Answer one request, from the cache where it can. A cached reply is streamed as one piece.

        Raises:
            CallError: The model's call failed.
        """
        key = cache_key(request)
        while True:
            flight = self._flights.get(key)
            if flight is None:
                return await self._lead(key, request, on_delta)
            await flight.landed.wait()
            if flight.failure is not None:
                raise _copy(flight.failure)
            if flight.reply is not None:
                return _served(flight.reply, on_delta)
            # The call that we waited for was cancelled: somebody has to make it anew.

    async def _lead(self, key: bytes, request: ChatRequest, on_delta: DeltaHandler | None) -> ChatReply:
        flight = self._flights[key] = _Flight()
        try:
            kept = await self._get(key)
            flight.reply = kept or await ask(self.model, request, on_delta)
            if kept is None:
                await self._put(key, flight.reply)
                return flight.reply
            return _served(kept, on_delta)
        except CallError as error:
            flight.failure = error
            raise
        finally:
            del self._flights[key]
            flight.landed.set()

    async def _get(self, key: bytes) -> ChatReply | None:
        store = self._opened()
        try:
            return await _in_thread(lambda: store.get(key))
        except (sqlite3.Error, ValidationError) as error:
            log.warning("response cache %s could not be read: %s", self.path, type(error).__name__)
            return None

    async def _put(self, key: bytes, reply: ChatReply) -> None:
        store = self._opened()
        # A cancellation that comes now must not throw away an answer that has been paid for.
        with anyio.CancelScope(shield=True):
            try:
                await _in_thread(lambda: store.put(key, reply))
            except sqlite3.Error as error:
                log.warning("response cache %s could not be written: %s", self.path, type(error).__name__)

    def _opened(self) -> ResponseStore:
        if self._store is None:  # used without `async with`: opened now, closed with the process
            self._store = ResponseStore(self.path)
        return self._store


async def _in_thread(work: Callable[[], T]) -> T:
    """Do blocking work off the event loop, in no virtual time."""
    return await real_work(lambda: anyio.to_thread.run_sync(work))


def _served(reply: ChatReply, on_delta: DeltaHandler | None) -> ChatReply:
    if on_delta is not None:
        on_delta(reply.text)
    return replace(reply, cached=True)


def _copy(error: CallError) -> CallError:
    """The same failure for another waiter: one exception object must not be raised in several tasks."""
    return type(error)(str(error), retry_after_s=error.retry_after_s, charge=Charge(charged="no"))
