"""An open loop: work begins at given times, whether or not earlier work has ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

from mar.clock import ticks
from mar.concurrency import task_group

T = TypeVar("T")


async def open_loop(
    times: Sequence[float], begin: Callable[[int], Awaitable[T]], *, most: int = 10_000
) -> list[T | None]:
    """Begin work `i` at `times[i]` seconds from now and return all results in order.

    Memory is bounded however far arrivals outrun answers: while `most` pieces of work are under way, further ones are
    turned away. They are None in the result.

    Args:
        times: Seconds, ascending.
        begin: Does piece `i`.
        most: Pieces under way at once.
    """
    started = anyio.current_time()
    results: list[T | None] = [None] * len(times)
    under_way = 0

    async def one(i: int) -> None:
        nonlocal under_way
        try:
            results[i] = await begin(i)
        finally:
            under_way -= 1

    async with task_group() as tasks:
        for i, at in enumerate(times):
            await anyio.sleep_until(started + ticks(at))
            if under_way < most:
                under_way += 1
                tasks.start_soon(one, i)
    return results
