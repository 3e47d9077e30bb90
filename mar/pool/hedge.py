"""Hedging: a call that takes long is made a second time, and whichever answers first is the answer.

Both are calls like any other: each holds a slot and money of its own, and the one that is beaten is cancelled and
booked before the answer is given, so that the answer knows what it cost. With a stream the first piece decides.
Source: J. Dean and L. A. Barroso, The Tail at Scale, Communications of the ACM 56 (2), 2013.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from mar.concurrency import task_group
from mar.errors import CallError, Charge, LimitReached
from mar.types import ChatReply, Delta, DeltaHandler


class Beaten(CallError):
    """An answer that came when another one had come already. It was paid for."""

    kind = "call"


class Race:
    """Two like calls."""

    def __init__(self) -> None:
        self.winner: int | None = None
        self.runs = [True, False]  # whether it has begun
        self.scopes = (anyio.CancelScope(), anyio.CancelScope())
        self.ended = (anyio.Event(), anyio.Event())

    def claim(self, me: int) -> bool:
        """Whether a call has won; the first to ask has, and the other one is cancelled."""
        if self.winner is None:
            self.winner = me
            self.scopes[1 - me].cancel()
        return self.winner == me


class Runner:
    """One call of a race."""

    def __init__(self, race: Race, me: int) -> None:
        self._race, self._me = race, me

    def listener(self, on_delta: DeltaHandler | None) -> DeltaHandler | None:
        """Hands on the pieces of the call that wins."""
        if on_delta is None:
            return None

        def hand_on(delta: Delta) -> None:
            if self._race.claim(self._me):
                on_delta(delta)

        return hand_on

    async def settle(self, reply: ChatReply) -> ChatReply:
        """The reply, once the other call has been ended.

        Raises:
            Beaten: The other call has won.
        """
        if not self._race.claim(self._me):
            spent = Charge(charged="yes", prompt_tokens=reply.prompt_tokens, completion_tokens=reply.completion_tokens)
            raise Beaten("another call has answered before", charge=spent)
        if self._race.runs[1 - self._me]:
            await self._race.ended[1 - self._me].wait()
        return reply


async def first_of_two(
    run: Callable[[Runner], Awaitable[ChatReply]], *, after_s: float, spare: Callable[[], bool]
) -> ChatReply:
    """The answer of a call, or of a second one like it where the first takes long.

    Args:
        run: Makes one call.
        after_s: How long the first may take.
        spare: Whether there is room for the second.

    Raises:
        CallError: Both failed, or the one that had begun to answer; of two failures the first call's.
        LimitReached: A limit forbids the first call. (The second is then not made.)
    """
    race, replies, errors = Race(), dict[int, ChatReply](), dict[int, CallError]()

    async def enter(me: int) -> None:
        try:
            with race.scopes[me]:
                replies[me] = await run(Runner(race, me))
        except CallError as error:
            errors[me] = error
        except LimitReached:
            if me == 0:
                raise
        finally:
            race.ended[me].set()

    async with task_group() as tasks:
        tasks.start_soon(enter, 0)
        with anyio.move_on_after(after_s):
            await race.ended[0].wait()
        if race.winner is None and not race.ended[0].is_set() and spare():
            race.runs[1] = True
            await enter(1)
    if race.winner in replies:
        return replies[race.winner]
    raise errors.get(0) or errors[1]
