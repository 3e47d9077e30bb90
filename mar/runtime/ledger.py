"""What a run or an episode has paid, and the limit in USD that it is held to, to the last call.

Every try of a call is reserved before it is made, at the most that it can cost, and booked after it: at what it cost
where the server says so, at its worst where nobody can know (a time-out, a broken stream, a call that was cancelled).
Tries under way can therefore never overrun the limit together. One that does not fit beside them waits for them,
since most cost far less than reserved; one that would not fit alone is refused. Answers from the cache are no tries.

A `Ledger` is one such limit, perhaps within another one; a `Meter` takes the tries of one call through it. The pool's
clients make tries and know nothing of ledgers: they are handed the meter with the request.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol, runtime_checkable

import anyio

from mar.clock import now
from mar.errors import CallError, Charge, LimitReached, UserError
from mar.pool.cards import ModelCard
from mar.pool.costs import lost_usage, reply_usage, worst_cost
from mar.runtime.account import Account, Spent
from mar.types import ZERO_USAGE, ChatReply, ChatRequest, Message, ToolSpec, Usage

# Cautious for every script: English has about 4 letters of a byte each in a token, code fewer; a Chinese, Japanese or
# Korean character is about one token and three bytes.
BYTES_PER_TOKEN = 3.0
TOOLS_TOKENS = 200  # in which a chat template tells a model how to call tools


def estimate_tokens(messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> int:
    """A cautious estimate of a prompt's tokens, with the tools that are offered in it."""
    written = [*(m.written for m in messages), *(t.written for t in tools)]
    size = sum(len(text.encode(errors="surrogatepass")) for text in written)
    return math.ceil(size / BYTES_PER_TOKEN) + 8 * len(messages) + (TOOLS_TOKENS if tools else 0)


@dataclass(slots=True, kw_only=True)
class Try:
    """A try under way. Whoever makes it says what it used; unless that is said, it cost the most it can."""

    worst: Spent
    usage: Usage | None  # None: made, and nobody has said

    @property
    def spent(self) -> Spent:
        """What it is booked at."""
        usage = self.usage
        if usage is None or usage.cost_usd is None:
            return self.worst
        return Spent.of(usage.cost_usd, uncertain_usd=usage.uncertain_usd)


class Purse(Protocol):
    """Money that tries of calls are paid from."""

    def hold(self, worst_usd: float | None, model: str) -> AbstractAsyncContextManager[Try]:
        """Hold the most that a try can cost while it is under way, and book what it cost at the end.

        Args:
            worst_usd: The most that it can cost; None: nobody knows.
            model: Which model is asked, for messages.

        Raises:
            LimitReached: The try could take the spending over a limit; it must not be made.
        """
        ...


@runtime_checkable
class SaysLeft(Protocol):
    """A purse that can say what it has left; one whose counters others share may not."""

    @property
    def left_usd(self) -> float | None:
        """USD that may still be spent beside the tries under way; None: no limit."""
        ...


class Purses:
    """Several purses, each of which a try is paid from in full: the limits of a service and of who asks it."""

    def __init__(self, *purses: Purse) -> None:
        self.purses = purses

    @property
    def left_usd(self) -> float | None:
        """What the one with the least has left, as far as they say; see `SaysLeft`."""
        return _least(self.purses)

    @asynccontextmanager
    async def hold(self, worst_usd: float | None, model: str) -> AsyncGenerator[Try]:
        """See `Purse`."""
        one = Try(worst=Spent.of(worst_usd, uncertain_usd=worst_usd or 0.0), usage=ZERO_USAGE)
        async with AsyncExitStack() as stack:
            for purse in self.purses:
                held = await stack.enter_async_context(purse.hold(worst_usd, model))
                held.usage = ZERO_USAGE  # until it is made
                stack.callback(_book, one, held)
            one.usage = None
            yield one


def _least(purses: Iterable[Purse]) -> float | None:
    left = (purse.left_usd for purse in purses if isinstance(purse, SaysLeft))
    return min((usd for usd in left if usd is not None), default=None)


def _book(one: Try, held: Try) -> None:
    held.usage = one.usage


class Ledger:
    """What has been paid, and how much may be.

    Args:
        limit_usd: USD that may be spent; a model of unknown price is then refused. None: no limit.
        of: Whose limit it is, for messages.
        within: What is spent here is spent there, too: the ledger of the run around an episode.
        account: Where spending is written down, so that the next process goes on from it.
    """

    def __init__(
        self,
        limit_usd: float | None = None,
        *,
        of: str = "the run",
        within: Purse | None = None,
        account: Account | None = None,
    ) -> None:
        self.limit_usd = limit_usd
        self.within = within
        self.spent = Spent() if account is None else account.before
        self.reached: str | None = None  # why the first try was refused, once one was
        self._of = of
        self._account = account
        self._reserved: list[float] = []  # the worst cost of each try under way
        self._freed: anyio.Event | None = None  # set when one of them has ended, for whoever waits for that

    @property
    def spent_usd(self) -> float:
        """USD that were spent, at the most where nobody stated it."""
        return self.spent.usd

    @property
    def unknown_calls(self) -> int:
        """Tries whose cost is not known at all, for want of a price."""
        return self.spent.unknown_calls

    @property
    def left_usd(self) -> float | None:
        """USD that may still be spent beside the tries under way, here and in the ledgers around; None: no limit."""
        here = None if self.limit_usd is None else self.limit_usd - self.spent.usd - sum(self._reserved)
        around = _least([] if self.within is None else [self.within])
        return here if around is None else around if here is None else min(here, around)

    def hold(self, worst_usd: float | None, model: str) -> AbstractAsyncContextManager[Try]:
        """Hold the most that a try can cost while it is under way, and book what it cost at the end.

        A try waits for room here before it waits in the ledger around this one, so no two can wait for each other.

        Raises:
            LimitReached: The try could take the spending over its limit, or cannot be written down.
        """
        return _Hold(self, worst_usd, model)

    async def begin(self, worst: Spent, model: str) -> int:
        """Reserve the most that a try can cost, once there is room; gives its number, for `end`. See `hold`."""
        if self.limit_usd is not None:
            await self._wait_for_room(self.limit_usd, math.inf if worst.unknown_calls else worst.usd, model)
        number = self._write_worst(worst)
        self._reserved.append(worst.usd)
        return number

    def end(self, number: int, one: Try) -> None:
        """Book a try that has ended."""
        self._reserved.remove(one.worst.usd)
        self.spent += one.spent
        self._write_spent(number, one.spent)
        if self._freed is not None:
            self._freed.set()
            self._freed = None

    async def _wait_for_room(self, limit: float, worst: float, model: str) -> None:
        while self.spent.usd + sum(self._reserved) + worst > limit:
            if self.spent.usd + worst > limit:
                next_call = "has no known price" if worst == math.inf else f"could cost {worst:.6f}"
                raise self._refusal(
                    f"{self._of} may cost {limit:g} USD; {self.spent.usd:.6f} are spent, and the next call to {model} "
                    f"{next_call}"
                )
            self._freed = self._freed or anyio.Event()
            await self._freed.wait()

    def _write_worst(self, worst: Spent) -> int:
        if self._account is None:
            return 0
        try:
            return self._account.begin(worst)
        except OSError as error:
            raise self._refusal(f"{self._account.path}: what is paid cannot be written down: {error}") from None

    def _write_spent(self, number: int, spent: Spent) -> None:
        if self._account is not None:
            with suppress(OSError):  # the line before the try stands, at its worst
                self._account.end(number, spent)

    def _refusal(self, reason: str) -> LimitReached:
        self.reached = self.reached or reason
        return LimitReached(reason)


class _Hold:
    """A try in a ledger, see `Ledger.hold`. Every call passes here, and a generator would take longer."""

    def __init__(self, ledger: Ledger, worst_usd: float | None, model: str) -> None:
        self._ledger, self._model, self._number = ledger, model, 0
        self._one = Try(worst=Spent.of(worst_usd, uncertain_usd=worst_usd or 0.0), usage=ZERO_USAGE)
        self._around = None if ledger.within is None else ledger.within.hold(worst_usd, model)
        self._theirs: Try | None = None  # in the purse around

    async def __aenter__(self) -> Try:
        self._number = await self._ledger.begin(self._one.worst, self._model)
        try:
            if self._around is not None:
                self._theirs = await self._around.__aenter__()
        except BaseException:
            self._ledger.end(self._number, self._one)
            raise
        self._one.usage = None  # from here on it is made
        return self._one

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._around is not None and self._theirs is not None:
                self._theirs.usage = self._one.usage
                await self._around.__aexit__(kind, error, trace)
        finally:
            self._ledger.end(self._number, self._one)


class Meter:
    """Takes the tries of one call of a model through a ledger."""

    def __init__(self, card: ModelCard, ledger: Purse) -> None:
        self.card = card
        self.ledger = ledger
        self.lost = ZERO_USAGE  # what the tries without an answer used and cost so far
        self.tries = 0  # that were made so far

    async def __call__(
        self, request: ChatRequest, attempt: Callable[[], Awaitable[ChatReply]], *, worst_usd: float | None = None
    ) -> ChatReply:
        """Make one try. The reply also says what the call's earlier tries cost.

        Args:
            request: What is asked.
            attempt: Makes the try.
            worst_usd: The most that it can cost, where whoever answers knows; None: by the model's card.

        Raises:
            LimitReached: The try could take what is spent over a limit; it was not made.
        """
        worst_usd = worst_cost(request, self.card) if worst_usd is None else worst_usd
        async with self.ledger.hold(worst_usd, self.card.name) as one:
            began = now()
            self.tries += 1
            try:
                reply = await attempt()
            except BaseException as error:
                one.usage = lost_usage(_charge(error), request, self.card, seconds=now() - began)
                self.lost += one.usage
                raise
            one.usage = ZERO_USAGE if reply.cached else reply_usage(reply, self.card)
        return reply if self.lost == ZERO_USAGE else replace(reply, lost=self.lost)


def _charge(error: BaseException) -> Charge:
    """What a provider takes for a try that ended so. Cancelled, it may all the same have been generated."""
    if isinstance(error, CallError):
        return error.charge
    return Charge(charged="no" if isinstance(error, UserError) else "unknown")
