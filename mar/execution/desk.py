"""Limits that hold over all workers: each of them asks the driver's desk before every try of a call.

A try holds what it holds in one process: one of its model's slots, its turn under the model's rate, and the most that
it can cost in the run's ledger; when it has ended, the desk is told what it cost. So a run's limit holds to the last
call for any number of workers, and what is written down about spending is written by the driver alone. A worker whose
connection ends (killed, a node removed) leaves its tries booked at their worst, since nobody can know.

A worker first shows the run's token, which it has from the driver. What it says then (`mar.execution.wire`):
["ask", number, model, USD at worst], and when the try has ended ["cost", number, USD, uncertain USD] or
["lost", number], which is its worst. It hears ["go", number] or ["no", number, why].
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import json
import math
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
import anyio.to_thread

from mar.clock import real_work
from mar.concurrency import task_group
from mar.errors import LimitReached
from mar.execution.spec import Executor, JobT, OnDone, OutcomeT, Spec
from mar.execution.wire import Wire
from mar.pool.cards import ModelCard
from mar.pool.limits import ModelLimits
from mar.runtime import Spent
from mar.runtime.ledger import Purse, Try
from mar.types import ZERO_USAGE, Usage

LOST = "the driver of this run is gone, and what is paid cannot be written down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a desk is found, and what shows that somebody belongs to its run."""

    host: str
    port: int
    token: str = field(repr=False)


@dataclass(slots=True, kw_only=True, eq=False)
class _Held:
    """A worker's try."""

    number: int
    model: str
    worst: float | None  # USD
    say: Callable[..., None]
    made: bool = False  # whether it may have been made
    usage: Usage | None = None  # None: nobody has said
    ended: anyio.Event = field(default_factory=anyio.Event)
    booked: anyio.Event = field(default_factory=anyio.Event)
    waiting: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    def end(self, usage: Usage | None) -> None:
        """It has ended, and used this."""
        self.usage = usage
        self.ended.set()
        if not self.made:
            self.waiting.cancel()


class Desk:
    """The driver's side.

    Args:
        purse: What is paid from.
        cards: Models with their limits.
    """

    def __init__(self, purse: Purse, cards: Mapping[str, ModelCard]) -> None:
        self._purse = purse
        self._limits = {
            name: ModelLimits(name, concurrency=card.concurrency, requests_per_minute=card.requests_per_minute)
            for name, card in cards.items()
        }
        self._held: set[_Held] = set()

    @asynccontextmanager
    async def open(self, host: str = "127.0.0.1") -> AsyncGenerator[Address]:
        """Serve workers for as long as the context lasts.

        Args:
            host: Address that they reach this machine by.
        """
        token = secrets.token_hex(16)
        async with task_group() as tasks:

            def hold(held: _Held) -> None:
                self._held.add(held)
                tasks.start_soon(self._hold, held)

            wires = list[Wire]()

            def visited() -> Wire:
                wires.append(_Visitor(token.encode(), hold).wire)
                return wires[-1]

            server = await asyncio.get_running_loop().create_server(visited, host, 0)
            try:
                yield Address(host=host, port=server.sockets[0].getsockname()[1], token=token)
            finally:
                server.close()
                for wire in wires:
                    wire.close()
                tasks.cancel_scope.cancel()  # what is held is booked at its worst

    async def run(
        self,
        executor: Executor,
        spec: Spec[JobT, OutcomeT],
        jobs: Sequence[JobT],
        on_done: OnDone[OutcomeT] | None = None,
    ) -> list[OutcomeT]:
        """Let workers do jobs that pay here, and see that every try that they made is booked. See `Executor.run`."""
        work = partial(executor.run, spec, jobs, on_done)
        outcomes = await real_work(lambda: anyio.to_thread.run_sync(work, abandon_on_cancel=True))
        for held in list(self._held):
            await held.booked.wait()
        return outcomes

    async def _hold(self, held: _Held) -> None:
        limits = self._limits.get(held.model)
        try:
            with held.waiting:
                async with AsyncExitStack() as stack:
                    if limits is not None:
                        await stack.enter_async_context(limits.slot())
                    one = await stack.enter_async_context(self._purse.hold(held.worst, held.model))
                    held.made = not held.ended.is_set()
                    if held.made:
                        held.say("go", held.number)
                        await held.ended.wait()
                    one.usage = held.usage if held.made else ZERO_USAGE  # it was called off
        except LimitReached as refused:
            held.say("no", held.number, str(refused))
        finally:
            self._held.remove(held)
            held.booked.set()


class _Visitor:
    """A worker at the desk."""

    def __init__(self, token: bytes, hold: Callable[[_Held], None]) -> None:
        self.wire = Wire(self._hear, self._leave)
        self._token, self._hold = token, hold
        self._known = False
        self._tries: dict[int, _Held] = {}

    def _hear(self, message: bytes) -> None:
        if self._known:
            for what, number, *more in json.loads(message):
                self._do(what, number, *more)
        elif hmac.compare_digest(message, self._token):
            self._known = True
        else:
            self.wire.close()

    def _do(self, what: str, number: int, *more: Any) -> None:
        if what == "ask":
            model, worst = more
            held = self._tries[number] = _Held(number=number, model=model, worst=worst, say=self.wire.say)
            self._hold(held)
        else:
            self._tries.pop(number).end(Usage(cost_usd=more[0], uncertain_usd=more[1]) if what == "cost" else None)

    def _leave(self) -> None:
        for held in self._tries.values():
            held.end(None)  # booked at its worst


@dataclass(slots=True, kw_only=True, eq=False)
class _Asked:
    """What a worker asked for."""

    answered: anyio.Event = field(default_factory=anyio.Event)
    refused: str | None = None  # why


class FarPurse:
    """A worker's side: a purse whose money is the driver's."""

    def __init__(self) -> None:
        self.wire = Wire(self._hear, self._end)
        self._numbers = itertools.count()
        self._asked: dict[int, _Asked] = {}
        self._over = False

    @asynccontextmanager
    async def hold(self, worst_usd: float | None, model: str) -> AsyncGenerator[Try]:
        """See `Purse`; it also takes one of the model's slots, wherever else it is called."""
        if self._over:
            raise LimitReached(LOST)
        number = next(self._numbers)
        one = Try(worst=Spent.of(worst_usd, uncertain_usd=worst_usd or 0.0), usage=ZERO_USAGE)
        asked = self._asked[number] = _Asked()
        worst = worst_usd if worst_usd is None or math.isfinite(worst_usd) else None
        self.wire.say("ask", number, model, worst)
        try:
            await asked.answered.wait()
            if asked.refused is not None:
                raise LimitReached(asked.refused)
            one.usage = None  # from here on it is made
            yield one
        finally:
            del self._asked[number]
            self.wire.say(*_ended(number, one))

    def _hear(self, message: bytes) -> None:
        for _, number, *why in json.loads(message):
            if (asked := self._asked.get(number)) is not None:  # else it was called off meanwhile
                asked.refused = why[0] if why else None
                asked.answered.set()

    def _end(self) -> None:
        self._over = True
        for asked in self._asked.values():
            if not asked.answered.is_set():
                asked.refused = LOST
                asked.answered.set()


@asynccontextmanager
async def far_purse(address: Address) -> AsyncGenerator[FarPurse]:
    """A purse of the money at a desk.

    Raises:
        OSError: The driver cannot be reached.
    """
    purse = FarPurse()
    await asyncio.get_running_loop().create_connection(lambda: purse.wire, address.host, address.port)
    purse.wire.send(address.token.encode())
    try:
        yield purse
    finally:
        purse.wire.close()


def _ended(number: int, one: Try) -> tuple[Any, ...]:
    """What a worker says of a try that has ended."""
    if one.usage is None:
        return "lost", number
    return "cost", number, None if one.spent.unknown_calls else one.spent.usd, one.spent.uncertain_usd
