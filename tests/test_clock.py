"""Two clocks: virtual time jumps over sleep, and real work does not disturb it."""

from __future__ import annotations

import math
import time

import anyio
import anyio.to_thread
import pytest
import trio

from mar import clock
from mar.clock import real_work
from mar.concurrency import task_group

REAL_S = 0.02  # how long work really takes; nothing here depends on the figure


async def really():
    """Wait in a thread: to the event loop that looks like idleness."""
    await anyio.to_thread.run_sync(time.sleep, REAL_S)
    return "done"


def timed(main):
    async def measured():
        begin = anyio.current_time()
        return await main(), anyio.current_time() - begin

    return clock.run(measured, virtual=True)


def test_a_day_of_virtual_time_takes_no_time():
    began = time.monotonic()
    assert timed(lambda: anyio.sleep(86_400)) == (None, 86_400)
    assert time.monotonic() - began < 10


def test_the_virtual_clock_is_known_where_there_is_one():
    async def main():
        return clock.virtual_clock()

    assert isinstance(clock.run(main, virtual=True), trio.testing.MockClock)
    assert clock.run(main, virtual=False) is None


@pytest.mark.parametrize("charge", [0.0, 0.25])
def test_real_work_takes_the_virtual_time_it_is_charged(charge):
    assert timed(lambda: real_work(really, charge_s=charge)) == ("done", charge)


def test_on_the_wall_clock_nothing_is_charged():
    async def main():
        begin = anyio.current_time()
        await real_work(really, charge_s=3600)
        return anyio.current_time() - begin

    assert clock.run(main, virtual=False) < 60


def test_the_clock_does_not_jump_past_a_deadline_while_work_is_under_way():
    """Work that is charged one second meets a deadline of two, however long it really takes."""

    async def main():
        with anyio.move_on_after(2) as scope:
            await real_work(really, charge_s=1)
        return scope.cancelled_caught

    assert timed(main) == (False, 1)


def test_overlapping_work_holds_the_clock_until_the_last_is_done():
    seen = []

    async def work(times, charge):
        for _ in range(times):
            await real_work(really, charge_s=charge)
        seen.append((charge, anyio.current_time()))

    async def main():
        async with task_group() as tasks:
            tasks.start_soon(work, 1, 1.0)
            tasks.start_soon(work, 2, 0.25)

    timed(main)
    assert sorted(seen) == [(0.25, 0.5), (1.0, 1.0)]


def test_work_that_fails_is_charged_and_lets_the_clock_go():
    async def fail():
        await really()
        raise KeyError("x")

    async def main():
        with pytest.raises(KeyError):
            await real_work(fail, charge_s=1)
        held = clock.virtual_clock().autojump_threshold == math.inf
        await anyio.sleep(10)
        return held

    assert timed(main) == (False, 11)


def test_work_that_is_cancelled_lets_the_clock_go():
    async def main():
        async with task_group() as tasks:
            tasks.start_soon(real_work, anyio.sleep_forever)
            await real_work(really)  # the other is under way now, and holds the clock
            tasks.cancel_scope.cancel()
        await anyio.sleep(10)

    assert timed(main) == (None, 10)


@pytest.mark.parametrize("virtual", [True, False])
def test_errors_come_out_as_they_are(virtual):
    async def main():
        async with task_group() as tasks, anyio.create_task_group():
            tasks.start_soon(really)
            raise KeyError("x")

    with pytest.raises(KeyError):
        clock.run(main, virtual=virtual)


@pytest.mark.parametrize("virtual", [True, False])
def test_an_interrupt_comes_out_as_one_whatever_cleaning_up_after_it_raises(virtual):
    async def main():
        async with task_group() as tasks:
            tasks.start_soon(anyio.sleep_forever)
            try:
                raise KeyboardInterrupt
            finally:
                raise OSError("the file is closed already")

    with pytest.raises(KeyboardInterrupt):
        clock.run(main, virtual=virtual)


def test_tasks_of_one_instant_on_virtual_time_go_on_in_the_order_of_their_start():
    order = []

    async def one(i):
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
            order.append(i)

    async def main():
        async with anyio.create_task_group() as tasks:
            for i in range(3):
                tasks.start_soon(one, i)

    clock.run(main, virtual=True)
    assert order == [0, 1, 2] * 20
