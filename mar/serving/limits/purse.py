"""A key's money as a purse that tries of calls are paid from, whatever worker makes them.

It is the ledger of a key around the ledger of an episode, and holds each try on its own. A hold for a whole request
would have to be as large as the dearest course that its plan can take, so that a budget would look spent while most of
it is not; and where a request turned out dearer all the same, the limit would be overrun. What is held by other tries
is waited for, as in a ledger, one try of a key at a time in each worker.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from mar.errors import LimitReached, StoreUnavailable
from mar.runtime import Spent
from mar.runtime.ledger import Try
from mar.serving.keys.key import Key
from mar.serving.limits.base import Paid, Short, Take, Want
from mar.serving.limits.calendar import PERIODS, Money, Names
from mar.serving.limits.teller import Teller
from mar.serving.money import at_most, nearest, usd
from mar.types import ZERO_USAGE

POLL_S = 0.1  # after which a try that waits for what other workers hold asks again


@dataclass(slots=True, kw_only=True)
class Room:
    """Tries of one key that wait in one worker for what is held."""

    turn: anyio.Lock = field(default_factory=anyio.Lock)
    freed: anyio.Event = field(default_factory=anyio.Event)

    def free(self) -> None:
        """Something of the key has been settled."""
        self.freed.set()
        self.freed = anyio.Event()


class KeyPurse:
    """See `mar.runtime.Purse`."""

    def __init__(self, key: Key, teller: Teller, room: Room) -> None:
        self._key, self._teller, self._room = key, teller, room

    @asynccontextmanager
    async def hold(self, worst_usd: float | None, model: str) -> AsyncGenerator[Try]:
        """See `Purse`. A try belongs to the day on which it began."""
        worst = math.inf if worst_usd is None else worst_usd
        names = Names(key=self._key.id, now=self._teller.now())
        held = 0 if worst_usd is None else at_most(worst_usd)
        if worst_usd is None and self._key.terms.budgets:
            raise LimitReached(f"the key has a budget, and the next call to {model} has no known price")
        worker = await self._taken(names, held, model, worst)
        one = Try(worst=Spent.of(worst_usd, uncertain_usd=worst_usd or 0.0), usage=None)
        try:
            yield one
        finally:
            spent, uncertain = nearest(one.spent.usd), nearest(one.spent.uncertain_usd)
            if one.usage == ZERO_USAGE:
                spent = uncertain = 0
            paid = [
                Paid(name=names.money(period), kind="hold", held=held, spent=spent, uncertain=uncertain)
                for period in PERIODS
            ]
            self._teller.settle(worker, paid)
            self._room.free()

    async def _taken(self, names: Names, nano: int, model: str, worst: float) -> str:
        worker, short = await self._asked(names, nano)
        if short is not None and short.busy:
            async with self._room.turn:
                while short is not None and short.busy:
                    freed = self._room.freed
                    worker, short = await self._asked(names, nano)
                    if short is not None and short.busy:
                        with anyio.move_on_after(POLL_S):
                            await freed.wait()
        if short is None:
            return worker
        period: Money = next(p for p in PERIODS if names.money(p) == short.name)
        limit = self._key.terms.budgets[period]
        raise LimitReached(
            f"the key's budget ({period}) is {limit:g} USD; {usd(short.spent):.6f} are spent, and the next call to "
            f"{model} could cost {worst:.6f}"
        )

    async def _asked(self, names: Names, nano: int) -> tuple[str, Short | None]:
        budgets = self._key.terms.budgets
        wants = [
            Want(
                name=names.money(period),
                kind="hold",
                amount=nano,
                limit=nearest(budgets[period]) if period in budgets else None,
            )
            for period in PERIODS
        ]
        try:
            return await self._teller.take(Take(wants=tuple(wants)))
        except StoreUnavailable as down:
            raise LimitReached(f"what is paid cannot be written down: {down}") from None
