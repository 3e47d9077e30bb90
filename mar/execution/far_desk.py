"""A worker's side of the desk (`mar.execution.desk`)."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio

from mar.environment import days_kept
from mar.errors import ConfigError, LimitReached, OutsideError
from mar.execution.desk import REPLY, Address, travelling
from mar.execution.wire import Wire
from mar.pool.cache import FileReplies, cached
from mar.pool.choose import configured_pool
from mar.pool.pool import Pool
from mar.runtime import Spent
from mar.runtime.ledger import Purse, Try
from mar.types import ZERO_USAGE, ChatReply

LOST = (
    "a worker has lost the driver of this run; what it had under way is booked at its worst: run the same command again"
)


@dataclass(slots=True, kw_only=True, eq=False)
class _Asked:
    """What a worker asked for."""

    answered: anyio.Event = field(default_factory=anyio.Event)
    refused: str | None = None  # why
    lost: bool = False  # whether nobody can answer any more
    heard: Any = None

    def answer(self, *, refused: str | None = None, lost: bool = False, heard: Any = None) -> None:
        """Let whoever asked go on."""
        self.refused, self.lost, self.heard = refused, lost, heard
        self.answered.set()


class FarDesk:
    """A worker's side: a purse whose money is the driver's, turns among all workers, the driver's response cache."""

    where = "the response cache of the driver"

    def __init__(self) -> None:
        self.wire = Wire(self._hear, self._end)
        self._numbers = itertools.count()
        self._asked: dict[int, _Asked] = {}
        self._over = False

    @asynccontextmanager
    async def hold(self, worst_usd: float | None, model: str) -> AsyncGenerator[Try]:
        """See `Purse`; it also takes one of the model's slots, wherever else it is called."""
        number = next(self._numbers)
        one = Try(worst=Spent.of(worst_usd, uncertain_usd=worst_usd or 0.0), usage=ZERO_USAGE)
        worst = worst_usd if worst_usd is None or math.isfinite(worst_usd) else None
        try:
            await self._heard("ask", number, model, worst)
            one.usage = None  # from here on it is made
            yield one
        finally:
            self.wire.say(*_ended(number, one))

    @asynccontextmanager
    async def turn(self, key: bytes) -> AsyncGenerator[None]:
        """See `mar.pool.cache.Turns`."""
        number = next(self._numbers)
        try:
            await self._heard("turn", number, key.hex())
            yield
        finally:
            self.wire.say("over", number)

    async def get(self, key: bytes) -> ChatReply | None:
        """See `mar.pool.cache.Replies`."""
        found = await self._heard("get", next(self._numbers), key.hex())
        return None if found is None else REPLY.validate_json(found)

    async def put(self, key: bytes, reply: ChatReply) -> None:
        """See `mar.pool.cache.Replies`. One that is too long for a word is not kept."""
        if (text := travelling(reply)) is not None:
            self.wire.say("put", next(self._numbers), key.hex(), text)

    async def _heard(self, what: str, number: int, *more: Any) -> Any:
        """What the desk says to a word.

        Raises:
            LimitReached: It refuses.
            OutsideError: There is none any more.
        """
        if self._over:
            raise OutsideError(LOST)
        asked = self._asked[number] = _Asked()
        self.wire.say(what, number, *more)
        try:
            await asked.answered.wait()
        finally:
            del self._asked[number]
        if asked.lost:
            raise OutsideError(LOST)
        if asked.refused is not None:
            raise LimitReached(asked.refused)
        return asked.heard

    def _hear(self, message: bytes) -> None:
        for what, number, *more in json.loads(message):
            if (asked := self._asked.get(number)) is not None:  # else it was called off meanwhile
                if what == "no":
                    asked.answer(refused=more[0])
                else:
                    asked.answer(heard=more[0] if more else None)

    def _end(self) -> None:
        self._over = True
        for asked in self._asked.values():
            if not asked.answered.is_set():
                asked.answer(lost=True)


@asynccontextmanager
async def far_desk(address: Address) -> AsyncGenerator[FarDesk]:
    """A worker's side of a desk.

    Raises:
        OSError: The driver cannot be reached.
    """
    desk = FarDesk()
    await asyncio.get_running_loop().create_connection(lambda: desk.wire, address.host, address.port)
    desk.wire.send(address.token.encode())
    try:
        yield desk
    finally:
        desk.wire.close()


@asynccontextmanager
async def far_pool(choice: str, address: Address) -> AsyncGenerator[tuple[Pool, Purse]]:
    """A live pool as workers use it: with the response cache of all of them; and the purse that it is paid from.

    Args:
        choice: As for `configured_pool`.
        address: Where the desk is.

    Raises:
        ConfigError: No live pool is configured here, or it cannot be used.
        OSError: The driver cannot be reached.
    """
    pool = configured_pool(choice)
    if pool is None:
        raise ConfigError(f"--pool {choice} is no live pool on this machine")
    async with far_desk(address) as desk:
        replies = FileReplies(days=days_kept()) if address.shares_files else desk
        yield cached(pool, replies, turns=desk), desk


def _ended(number: int, one: Try) -> tuple[Any, ...]:
    """What a worker says of a try that has ended."""
    if one.usage is None:
        return "lost", number
    return "cost", number, None if one.spent.unknown_calls else one.spent.usd, one.spent.uncertain_usd
