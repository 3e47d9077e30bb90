"""Asking a pool many questions: at once, in a journal, and going on where an earlier run was cut off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from pydantic import BaseModel

from mar.concurrency import gather
from mar.errors import CallError, LimitReached
from mar.learning.generated.records import Journal
from mar.learning.outage import Outage
from mar.learning.progress import Progress
from mar.pool.pool import Pool
from mar.runtime import Ledger, Meter
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


async def ask_all(
    pool: Pool,
    calls: Sequence[Call],
    journal: Journal,
    done: set[str],
    record: Callable[[Call, ChatReply | CallError], BaseModel],
    *,
    concurrency: int,
    progress: Progress,
    what: str,
    ledger: Ledger | None = None,
) -> None:
    """Make the calls whose key is not done, and journal each as soon as it is answered or has failed for good.

    Args:
        pool: Who answers; opened and closed here.
        calls: All calls of the step, in order.
        journal: Where records go.
        done: Keys that need no call.
        record: Makes the record of a call from its reply or from the error that ended it.
        concurrency: Calls under way at once.
        progress: Shows how far it is.
        what: What the bar says.
        ledger: What the calls may cost and have cost; None: there is no limit.

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

        async def one(call: Call) -> None:
            meter = Meter(pool.card(call.request.model), ledger)
            try:
                reply = await pool.chat(replace(call.request, meter=meter))
            except LimitReached:
                return
            except CallError as error:
                journal.append(record(call, error))
                if pool.kind == "live":
                    outage.failed(call.request.model, error.kind, str(error))
            else:
                journal.append(record(call, reply))
                outage.answered(call.request.model)
            bar.advance()

        async with pool:
            await gather([lambda c=c: one(c) for c in left], limit=concurrency)
    if ledger.reached is not None:
        raise LimitReached(ledger.reached)
