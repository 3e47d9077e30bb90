"""One worker's way to the counters: whatever changes wait go together, one round trip at a time.

A change that comes alone costs one round trip; a thousand that come at once cost a few, so that neither a disk nor a
network bounds how many requests a worker admits. Settling is waited for by nobody. While the store gives no answer a
batch is sent again, which it notices; after `PATIENCE_S` the changes in it are given up, and with them the worker's
name: what was held under it lapses at the most that it can have cost, and the worker goes on under a new name.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import anyio

from mar.concurrency import beside
from mar.errors import StoreUnavailable
from mar.serving.limits.base import Change, Counters, Paid, Settle, Short, Take

log = logging.getLogger(__name__)
LEASE_S = 20.0  # after which a worker that gives no sign of life counts as dead
BEATS = 4  # signs of life in a lease
MOST = 1000  # changes in a batch
PATIENCE_S = 5.0  # for a store that gives no answer
PAUSE_S = 0.1  # before it is asked again
CLOSING_S = 10.0  # for what waits at the end


@dataclass(slots=True, kw_only=True)
class _Waiting:
    """A change on its way to the store."""

    change: Change
    worker: str = ""  # who holds what it settles
    done: anyio.Event = field(default_factory=anyio.Event)
    short: Short | None = None
    error: StoreUnavailable | None = None
    left: bool = False  # whoever wanted it is gone


class Teller:
    """Takes from counters and settles, for one worker. Use it as `async with Teller(counters) as teller`.

    Args:
        counters: The store, which the teller does not close.
        lease_s: Seconds after which others may take this worker for dead.
    """

    def __init__(self, counters: Counters, *, lease_s: float = LEASE_S) -> None:
        self.counters = counters
        self.worker = ""  # its name; empty: it has none at the moment
        self._lease_s = lease_s
        self._number = 0
        self._queue: list[_Waiting] = []
        self._more = anyio.Event()
        self._idle = anyio.Event()
        self._entering = anyio.Lock()
        self._store_s, self._loop_s = 0.0, 0.0  # the store's time, and the loop's when that was said
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._enter()
        await self._stack.enter_async_context(beside(self._work, self._live))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.move_on_after(CLOSING_S, shield=True):
            while self._queue or not self._idle.is_set():
                await self._idle.wait()
            if self.worker:
                try:
                    await self.counters.leave(self.worker)
                except StoreUnavailable as down:
                    log.warning("%s; what this worker held lapses", down)
        await self._stack.__aexit__(None, None, None)

    def now(self) -> float:
        """The store's time, in seconds since 1970: that of all workers, whatever their machines' clocks say."""
        return self._store_s + (anyio.current_time() - self._loop_s)

    async def take(self, take: Take) -> tuple[str, Short | None]:
        """Take all of it or nothing.

        Returns:
            Under which name it is held, which settling it takes, and why nothing was taken; None: it was.

        Raises:
            StoreUnavailable: The store gives no answer.
        """
        waiting = _Waiting(change=take)
        self._put(waiting)
        try:
            await waiting.done.wait()
        except BaseException:
            waiting.left = True
            if waiting.done.is_set():
                self._undo(waiting)
            raise
        if waiting.error is not None:
            raise StoreUnavailable(str(waiting.error))
        return waiting.worker, waiting.short

    def settle(self, worker: str, paid: Sequence[Paid]) -> None:
        """Settle what is held under a name. Nobody waits for it; what cannot be settled lapses in the end."""
        self._put(_Waiting(change=Settle(paid=tuple(paid)), worker=worker))

    def _put(self, waiting: _Waiting) -> None:
        self._queue.append(waiting)
        self._idle = anyio.Event() if self._idle.is_set() else self._idle
        self._more.set()

    def _undo(self, waiting: _Waiting) -> None:
        """Give back what was taken for somebody who is gone."""
        if waiting.error is None and waiting.short is None and isinstance(waiting.change, Take):
            held = [want for want in waiting.change.wants if want.kind in ("hold", "seat")]
            self.settle(waiting.worker, [Paid(name=w.name, kind=w.kind, held=w.amount) for w in held])

    async def _work(self) -> None:
        while True:
            if not self._queue:
                self._idle.set()
                self._more = anyio.Event()
                await self._more.wait()
            batch = [w for w in self._queue[:MOST] if not w.left]
            del self._queue[:MOST]
            try:
                await self._send(batch)
            except StoreUnavailable as down:
                log.warning("%s", down)
                self.worker = ""
                for waiting in batch:
                    waiting.error = down
            for waiting in batch:
                waiting.done.set()
                if waiting.left:
                    self._undo(waiting)

    async def _send(self, batch: Sequence[_Waiting]) -> None:
        give_up = anyio.current_time() + PATIENCE_S
        while True:
            try:
                if await self._sent(batch):
                    return
            except StoreUnavailable:
                if anyio.current_time() > give_up:
                    raise
                await anyio.sleep(PAUSE_S)

    async def _sent(self, batch: Sequence[_Waiting]) -> bool:
        """Whether the store has taken a batch; else the worker needs a new name."""
        if not self.worker:
            await self._enter()
        worker = self.worker
        # What was held under an earlier name has lapsed, or will.
        mine = [w for w in batch if isinstance(w.change, Take) or w.worker == worker]
        if not mine:
            return True
        verdicts = await self.counters.change(worker, self._number + 1, [w.change for w in mine])
        if verdicts is None:
            self._lost(worker)
            return False
        self._number += 1
        for waiting, short in zip(mine, verdicts, strict=True):
            waiting.worker, waiting.short = worker, short
        return True

    def _lost(self, worker: str) -> None:
        if self.worker == worker:
            log.warning("the store took this worker for dead; what it held counts as spent")
            self.worker = ""

    async def _enter(self) -> None:
        async with self._entering:
            if not self.worker:
                name = secrets.token_hex(8)
                self._said(await self.counters.beat(name, self._lease_s, enters=True))
                self.worker, self._number = name, 0

    async def _live(self) -> None:
        while True:
            await anyio.sleep(self._lease_s / BEATS)
            try:
                if not self.worker:
                    await self._enter()
                    continue
                worker = self.worker
                now = await self.counters.beat(worker, self._lease_s)
            except StoreUnavailable as down:
                log.warning("%s", down)
                continue
            if now is None:
                self._lost(worker)
            else:
                self._said(now)

    def _said(self, now: float | None) -> None:
        if now is not None:
            self._store_s, self._loop_s = now, anyio.current_time()
