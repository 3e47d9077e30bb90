"""One engine, two clocks.

mar's asynchronous code takes time only from the event loop, so the same code runs on the wall clock (asyncio) and on
virtual time: trio with a clock that jumps to the next deadline as soon as every task is blocked. A load test of
hours then takes seconds.

Real work inside virtual time (the sandbox, SQLite, an encoder, a tensor pass) waits for a thread or a pipe. To the
loop that looks like idleness, and the clock would jump past the very deadline that the work should meet. So all such
work goes through `real_work`, which holds the jump while it is under way and then charges a configured virtual
duration. However long the work really takes, the virtual schedule is the same.

Virtual time has a tick. A float's last bits depend on how large it is, so the same two seconds would end a little
otherwise when they begin later, and a run that goes on after a kill begins earlier than the one that was not killed.
Whatever virtual time passes is therefore a whole number of ticks (`ticks`): sums and differences of such times are
exact for 97 days, and what took place does not depend on when.
"""

from __future__ import annotations

import asyncio
import math
import random
import threading
from collections.abc import Awaitable, Callable, MutableSequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread
import sniffio

from mar.concurrency import first_error, interrupted, task_group
from mar.garbage import rarely_collecting

if TYPE_CHECKING:  # only virtual time needs trio, and its import would make every command wait
    import trio
    import trio.testing

T = TypeVar("T")
TICKS_PER_S = 2**30


def run(main: Callable[[], Awaitable[T]], *, virtual: bool) -> T:
    """Run an asynchronous function to its end, on virtual time or on the wall clock.

    Raises:
        KeyboardInterrupt: It was interrupted, whatever else was raised while it ended for that.
    """
    try:
        with rarely_collecting(), first_error():
            if not virtual:
                return anyio.run(main, backend="asyncio")
            return anyio.run(main, backend="trio", backend_options={"clock": jumping_clock()})
    except Exception as error:
        if interrupted(error):
            raise KeyboardInterrupt from error
        raise
    raise AssertionError("unreachable")  # pragma: no cover


class _InOrder(random.Random):
    """What trio shuffles tasks with that are ready at once: not at all. It takes them from the end."""

    def shuffle(self, x: MutableSequence[Any]) -> None:
        """The order in which they were started."""
        x.reverse()


def jumping_clock() -> trio.testing.MockClock:
    """The clock of a loop on virtual time, in which tasks that are ready at once go on in the order of their start.

    trio tosses a coin for it, so that nobody relies on an order. But a rule that looks at queues sends the first of two
    agents that begin at the same instant to the shortest one, and the second finds it longer: by chance, what the same
    load test measures would be something else in each process.
    """
    import trio.testing
    from trio._core import _run  # pyright: ignore[reportPrivateUsage] # there is no public way

    _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # pyright: ignore
    _run._r = _InOrder()  # pyright: ignore[reportPrivateUsage]
    return trio.testing.MockClock(autojump_threshold=0)


def ticks(seconds: float) -> float:
    """A duration to the nearest tick, in seconds; whatever sleeps or is timed on virtual time is given in these."""
    return round(seconds * TICKS_PER_S) / TICKS_PER_S if math.isfinite(seconds) else seconds


def now() -> float:
    """Seconds on the clock of the running event loop.

    Raises:
        RuntimeError: None runs.
    """
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:  # trio's, of virtual time
        return anyio.current_time()


def time_of_loop() -> Callable[[], float]:
    """The clock of the running event loop, looked up once: asking each time costs more than most of what is timed."""
    return asyncio.get_running_loop().time if sniffio.current_async_library() == "asyncio" else anyio.current_time


def virtual_clock() -> trio.testing.MockClock | None:
    """The virtual clock that the current code runs on, or None on the wall clock."""
    if sniffio.current_async_library() != "trio":
        return None
    import trio.testing

    clock = trio.lowlevel.current_clock()
    return clock if isinstance(clock, trio.testing.MockClock) else None


async def real_work(work: Callable[[], Awaitable[T]], *, charge_s: float = 0.0) -> T:
    """Await work that takes real time; on virtual time it takes `charge_s` seconds, whatever it really takes."""
    clock = virtual_clock()
    if clock is None:
        return await work()
    holds = _holds()
    holds.set(holds.get() + 1)
    clock.autojump_threshold = math.inf
    try:
        return await work()
    finally:
        holds.set(holds.get() - 1)
        if holds.get() == 0:
            clock.autojump_threshold = 0
        await anyio.sleep(ticks(charge_s))


async def within(seconds: float, work: Callable[[], Awaitable[T]]) -> T:
    """Await real work for so many seconds of the wall clock at the most, whichever clock the loop runs on.

    Raises:
        TimeoutError: It took longer and was cancelled.
    """
    if virtual_clock() is None:
        with anyio.fail_after(seconds):
            return await work()
    # Virtual time stands still while real work is under way, so a thread watches the wall clock.
    ended, late = threading.Event(), False

    async def watch() -> None:
        nonlocal late
        wait = partial(ended.wait, seconds)
        late = not await anyio.to_thread.run_sync(wait, abandon_on_cancel=True)
        if late:
            tasks.cancel_scope.cancel()

    async with task_group() as tasks:
        tasks.start_soon(watch)
        try:
            return await work()
        finally:
            ended.set()
    raise TimeoutError


@cache
def _holds() -> trio.lowlevel.RunVar[int]:
    """How many pieces of real work hold the clock of the running loop."""
    from trio.lowlevel import RunVar

    return RunVar("mar_clock_holds", 0)
