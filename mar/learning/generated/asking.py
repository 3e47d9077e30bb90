"""Asking a pool many questions: at once, in a journal, and going on where an earlier run was cut off."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar

from pydantic import BaseModel

from mar.concurrency import gather
from mar.errors import CallError, LimitReached
from mar.execution import Executor, Spec
from mar.execution.desk import Address, Desk
from mar.execution.far_desk import far_pool
from mar.learning.generated.records import Journal
from mar.learning.outage import Outage
from mar.learning.progress import Progress
from mar.pool.pool import Pool
from mar.runtime import Ledger, Meter
from mar.runtime.ledger import Purse
from mar.types import ChatReply, ChatRequest


class Failable(Protocol):
    """A record that says whether its call failed."""

    @property
    def failure(self) -> str:
        """Kind of the failure; empty for an answer."""
        ...


RecordT = TypeVar("RecordT", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call and what its record is called."""

    key: str
    request: ChatRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """A call that failed for good."""

    kind: str
    text: str


Answer = ChatReply | Unanswered | None
"""What a call came to; None: nothing more may be spent, and it was not made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Askers:
    """Who makes calls in place of this process."""

    executor: Executor
    pool: str  # as for `configured_pool`, a live one: workers open it anew


async def ask_all(
    pool: Pool,
    calls: Sequence[Call],
    journal: Journal,
    done: set[str],
    record: Callable[[Call, ChatReply | Unanswered], BaseModel],
    *,
    concurrency: int,
    progress: Progress,
    what: str,
    ledger: Ledger | None = None,
    askers: Askers | None = None,
) -> None:
    """Make the calls whose key is not done, and journal each as soon as it is answered or has failed for good.

    Args:
        pool: Who answers; opened and closed here.
        calls: All calls of the step, in order.
        journal: Where records go.
        done: Keys that need no call.
        record: Makes the record of a call from what it came to.
        concurrency: Calls under way at once.
        progress: Shows how far it is.
        what: What the bar says.
        ledger: What the calls may cost and have cost; None: there is no limit.
        askers: Who makes the calls; None: this process.

    Raises:
        LimitReached: Nothing more may be spent. What had begun by then was finished, and is in the journal.
        ConfigError: A model's key or name is wrong.
        PoolDown: A model answers no more; what was answered is in the journal.
    """
    ledger = ledger or Ledger()
    left = [c for c in calls if c.key not in done]
    if not left:
        return
    outage = Outage()
    with progress.bar(what, total=len(left)) as bar:

        def take(number: int, answer: Answer, standing: str) -> None:
            if answer is None:
                return
            call = left[number]
            journal.append(record(call, answer))
            if isinstance(answer, ChatReply):
                outage.answered(call.request.model)
            elif pool.kind == "live":
                outage.failed(call.request.model, answer.kind, answer.text)
            bar.advance(note=standing)

        async def one(number: int) -> None:
            take(number, await _asked(pool, left[number].request, ledger), "")

        if askers is None:
            async with pool:
                await gather([partial(one, n) for n in range(len(left))], limit=concurrency)
        else:
            desk = Desk(ledger, pool.cards)
            async with desk.open(askers.executor.host) as address:
                asking = Asking(pool=askers.pool, concurrency=concurrency, desk=address)
                await desk.run(askers.executor, asking, [call.request for call in left], take)
    if ledger.reached is not None:
        raise LimitReached(ledger.reached)


async def _asked(pool: Pool, request: ChatRequest, purse: Purse) -> Answer:
    try:
        return await pool.chat(replace(request, meter=Meter(pool.card(request.model), purse)))
    except LimitReached:
        return None
    except CallError as error:
        return Unanswered(kind=error.kind, text=str(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking(Spec[ChatRequest, Answer]):
    """Single calls of a live pool."""

    pool: str
    concurrency: int
    desk: Address

    @property
    def at_once(self) -> int | None:
        """See `Spec`."""
        return self.concurrency

    @property
    def repeatable(self) -> bool:
        """See `Spec`."""
        return False

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Callable[[ChatRequest], Awaitable[Answer]]]:
        """See `Spec`."""
        async with far_pool(self.pool, self.desk) as (pool, purse), pool:
            yield lambda request: _asked(pool, request, purse)
