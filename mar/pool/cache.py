"""Every paid token is kept: a response cache around any chat model.

A request that was answered before, by this process or another, is answered from where replies are kept, with the
latency and the usage of the first time and `cached=True`, for as long as they are. Of identical requests that are under
way at once in one process, or in several that take turns (`Turns`), only the first calls the model. Failures are never
kept. A cache that cannot be read or written at the moment costs money but no answers: it is warned about, and the model
is called.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeVar

import anyio
import anyio.to_thread
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from mar.cachefile import FAILURES
from mar.clock import real_work
from mar.concurrency import OpensPerLoop
from mar.environment import DAYS_KEPT, cache_folder
from mar.errors import BrokenOff, CallError, Charge, ConfigError, StoreUnavailable
from mar.pool.asking import ReportsTelemetry, StatesCosts, ask, embed
from mar.pool.cache_store import RESPONSES, ResponseStore, cache_key
from mar.pool.cards import ModelCard
from mar.pool.openai_form import deltas
from mar.pool.pool import Pool
from mar.types import ChatModel, ChatReply, ChatRequest, Delta, DeltaHandler, ModelTelemetry

log = logging.getLogger(__name__)
T = TypeVar("T")
UNUSABLE = (
    *FAILURES,
    ValidationError,
    PydanticSerializationError,
    StoreUnavailable,
)  # of a file or a store, of what it holds, of what cannot be kept

# For whom alone the calls of the running task are answered; "": for everybody. It belongs to whoever asks, not to what
# is asked: models never see it.
_APART: ContextVar[str] = ContextVar("apart", default="")


@contextmanager
def apart(whose: str) -> Generator[None]:
    """What is asked inside, in tasks that are started there as well, is answered from what was kept for them alone."""
    before = _APART.set(whose)
    try:
        yield
    finally:
        _APART.reset(before)


class Replies(Protocol):
    """Where replies are kept, by key. What it raises of `UNUSABLE` costs money but no answers."""

    @property
    def where(self) -> str:
        """Which place it is, for messages."""
        ...

    async def get(self, key: bytes) -> ChatReply | None:
        """The reply kept under a key, as it was first given; None: none, or no longer."""
        ...

    async def put(self, key: bytes, reply: ChatReply) -> None:
        """Keep a reply."""
        ...


class Turns(Protocol):
    """Lets one of all who would ask the same ask it, in other processes, too."""

    def turn(self, key: bytes) -> AbstractAsyncContextManager[None]:
        """Wait until nobody else is at what has this key, and be at it for as long as the context lasts.

        Raises:
            LimitReached: Nobody can say any more whose turn it is.
        """
        ...


class FileReplies(OpensPerLoop[ResponseStore]):
    """Replies in a file that several processes may share. Use it as `async with replies:`.

    Args:
        path: The file; None: in the cache folder.
        days: For how long a reply is given.
    """

    def __init__(self, path: Path | str | None = None, *, days: float = DAYS_KEPT) -> None:
        self.path = cache_folder() / RESPONSES if path is None else Path(path)
        self.where = f"response cache {self.path}"
        self._days = days
        super().__init__(self.where)

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[ResponseStore]:
        store = await _in_thread(lambda: ResponseStore(self.path, days=self._days))
        try:
            yield store
        finally:
            store.close()

    @property
    def _store(self) -> ResponseStore:
        found = self._here.get()
        assert found is not None, "the file is not open"
        return found

    async def get(self, key: bytes) -> ChatReply | None:
        """See `Replies`."""
        store = self._store
        return await _in_thread(lambda: store.get(key))

    async def put(self, key: bytes, reply: ChatReply) -> None:
        """See `Replies`."""
        store = self._store
        await _in_thread(lambda: store.put(key, reply))


@dataclass(slots=True, kw_only=True)
class _Flight:
    """A call under way, which identical requests wait for."""

    landed: anyio.Event = field(default_factory=anyio.Event)
    reply: ChatReply | None = None
    failure: CallError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    """What is open in one event loop."""

    replies: Replies | None  # None: the place cannot be opened
    flights: dict[bytes, _Flight] = field(default_factory=dict[bytes, _Flight])


class CachedModel(OpensPerLoop[_Open]):
    """A chat model with a response cache in front. Use it as `async with model:`.

    Args:
        model: The model that answers what the cache does not hold.
        replies: Where replies are kept; the cache opens it where it has to be opened.
        cards: The models. What a card says about who answers is part of the key; without one it is the model's name.
        turns: Are taken before a model is asked, where others share the place; None: nobody else would ask the same.
    """

    books_tries = True

    def __init__(
        self, model: ChatModel, replies: Replies, *, cards: Iterable[ModelCard] = (), turns: Turns | None = None
    ) -> None:
        self.model, self.replies, self._turns = model, replies, turns
        self._cards = {card.name: card for card in cards}
        self._warned = False
        super().__init__("response cache")

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[_Open]:
        async with AsyncExitStack() as stack:
            replies: Replies | None = self.replies
            if isinstance(self.replies, AbstractAsyncContextManager):
                try:
                    await stack.enter_async_context(self.replies)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
                except ConfigError as error:
                    replies = None
                    self._warn(str(error))
            if isinstance(self.model, AbstractAsyncContextManager):
                await stack.enter_async_context(self.model)
            yield _Open(replies=replies)

    def telemetry(self) -> Mapping[str, ModelTelemetry]:
        """The wrapped model's figures."""
        return self.model.telemetry() if isinstance(self.model, ReportsTelemetry) else {}

    def stated_costs(self) -> frozenset[str]:
        """Models whose replies carry their own cost, as the wrapped model says."""
        return self.model.stated_costs() if isinstance(self.model, StatesCosts) else frozenset()

    async def embed(self, request: ChatRequest) -> ChatReply:
        """Vectors of texts, from the wrapped model. They are not kept.

        Raises:
            CallError: The call failed for good.
        """
        return await embed(self.model, request)

    async def chat(self, request: ChatRequest, on_delta: DeltaHandler | None = None) -> ChatReply:
        """Answer one request, from the cache where it can. A cached reply is streamed as one piece.

        Raises:
            ConfigError: This object is not open.
            CallError: The model's call failed.
        """
        here = self._here.get()
        if here is None:
            raise ConfigError("the response cache is not open; use it inside `async with`")
        key, whose = cache_key(request, self._cards.get(request.model)), _APART.get()
        if whose:
            key = hashlib.blake2b(key, key=hashlib.blake2b(whose.encode()).digest(), digest_size=32).digest()
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
            kept = await self._get(here.replies, key)
            if kept is None:
                async with nullcontext() if self._turns is None else self._turns.turn(key):
                    kept = None if self._turns is None else await self._get(here.replies, key)
                    if kept is None:
                        flight.reply = await ask(self.model, request, on_delta)
                        await self._put(here.replies, key, flight.reply)
                        return flight.reply
            flight.reply = kept
            return _served(kept, on_delta)
        except CallError as error:
            flight.failure = error
            raise
        finally:
            del here.flights[key]
            flight.landed.set()

    async def _get(self, replies: Replies | None, key: bytes) -> ChatReply | None:
        try:
            return None if replies is None else await replies.get(key)
        except UNUSABLE as error:
            self._warn(f"{self.replies.where} could not be read: {error}")
            return None

    async def _put(self, replies: Replies | None, key: bytes, reply: ChatReply) -> None:
        # A cancellation that comes now must not throw away an answer that has been paid for.
        with anyio.CancelScope(shield=True):
            try:
                if replies is not None:
                    await replies.put(key, reply)
            except UNUSABLE as error:
                self._warn(f"{self.replies.where} could not be written: {error}")

    def _warn(self, problem: str) -> None:
        if not self._warned:
            self._warned = True
            log.warning("%s; answers that are not kept have to be paid again", problem.splitlines()[0])


def cached(pool: Pool, replies: Replies, *, turns: Turns | None = None) -> Pool:
    """The same pool, whose models give an answer again. Arguments as for `CachedModel`."""
    cards = [*pool.cards.values(), *pool.embedders.values()]
    model = CachedModel(pool.model, replies, cards=cards, turns=turns)
    return Pool(cards, model, kind=pool.kind, virtual_time=pool.virtual_time, reach=pool.reach)


async def _in_thread(work: Callable[[], T]) -> T:
    """Do blocking work off the event loop, in no virtual time."""
    return await real_work(lambda: anyio.to_thread.run_sync(work))


def _served(reply: ChatReply, on_delta: DeltaHandler | None) -> ChatReply:
    if on_delta is not None:
        for delta in (Delta(text=reply.text),) if reply.verbatim is None else deltas(reply):
            on_delta(delta)
    return replace(reply, cached=True, learned=())


def _copy(error: CallError) -> CallError:
    """The same failure for another waiter: one exception object must not be raised in several tasks.

    A stream that broke off was shown to whoever asked first; who waited has seen nothing, and may ask others.
    """
    told = error.__cause__ if isinstance(error, BrokenOff) else error
    assert isinstance(told, CallError)
    return type(told)(str(told), retry_after_s=told.retry_after_s, charge=Charge(charged="no"))
