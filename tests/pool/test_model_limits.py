import math
import tracemalloc

import anyio
import pytest

from mar import clock
from mar.pool.limits import CallTiming, ModelLimits, RateLimit


def test_no_more_calls_run_at_once_than_allowed():
    limits = ModelLimits("m", concurrency=3)

    async def call():
        async with limits.slot():
            await anyio.sleep(1)

    async def main():
        async with anyio.create_task_group() as tasks:
            for _ in range(7):
                tasks.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            seen = limits.telemetry()
        return seen, anyio.current_time()

    began = {}

    async def timed():
        began["at"] = anyio.current_time()
        return await main()

    seen, ended = clock.run(timed, virtual=True)
    assert (seen.running, seen.waiting) == (3, 4)
    assert limits.most_running == 3
    assert limits.telemetry().running == 0
    assert ended - began["at"] == pytest.approx(3.0)  # 7 calls of 1 s, 3 at once: ceil(7/3) = 3 s


def starts_under(per_minute, count):
    async def main():
        rate, began, starts = RateLimit(per_minute), anyio.current_time(), []
        for _ in range(count):
            await rate.wait()
            starts.append(anyio.current_time() - began)
        return starts

    return clock.run(main, virtual=True)


def test_a_rate_limit_lets_a_burst_through_and_then_waits_for_the_window():
    assert starts_under(3, 7) == pytest.approx([0, 0, 0, 60, 60, 60, 120])


def test_a_rate_below_one_per_minute_widens_the_window():
    assert starts_under(0.5, 3) == pytest.approx([0, 120, 240])


@pytest.mark.parametrize("per_minute", [1, 2.5, 7, 30])
def test_no_window_holds_more_starts_than_the_rate(per_minute):
    starts = starts_under(per_minute, 40)
    for at in starts:
        inside = [s for s in starts if at <= s < at + 60 - 1e-6]
        assert len(inside) <= max(1, per_minute)


def test_means_are_over_the_recent_window_only():
    limits = ModelLimits("m", concurrency=1, window_s=10)

    async def main():
        now = anyio.current_time()
        limits.record(CallTiming(at=now, e2e_s=9, queue_s=9))
        await anyio.sleep(11)
        now = anyio.current_time()
        limits.record(CallTiming(at=now, e2e_s=2, queue_s=0, ttft_s=1, inter_token_s=0.25))
        limits.record(CallTiming(at=now, e2e_s=4, queue_s=1))
        return limits.telemetry()

    seen = clock.run(main, virtual=True)
    assert (seen.e2e_s, seen.queue_s, seen.ttft_s, seen.inter_token_s) == (3, 0.5, 1, 0.25)


def test_an_unused_model_has_unknown_latencies_and_no_load():
    seen = ModelLimits("m", concurrency=1).telemetry()
    assert (seen.running, seen.waiting, seen.e2e_s, seen.ttft_s) == (0, 0, None, None)


def test_a_cancelled_wait_gives_its_place_back():
    limits = ModelLimits("m", concurrency=1)

    async def main():
        async with limits.slot():
            with anyio.move_on_after(1):
                async with limits.slot():
                    raise AssertionError("there is one slot only")
        async with limits.slot() as waited:
            return waited

    assert clock.run(main, virtual=True) == 0
    assert limits.waiting == 0


def test_a_mean_is_that_of_the_window_whatever_has_passed_through_it():
    limits = ModelLimits("m", concurrency=1, window_s=100)
    values = [10.0 ** (i % 9 - 4) for i in range(10_000)]  # 0.1 ms to 3 h: sums of floats would lose the small ones

    def took(i):
        return CallTiming(at=float(i), e2e_s=values[i], queue_s=0.1, ttft_s=values[i] if i % 2 else None)

    for i in range(10_000):
        limits.record(took(i))
    seen = limits.telemetry()  # outside any event loop: as of the last call, at 9,999 s
    recent = range(9899, 10_000)  # 101 calls: from 9,899 s on
    assert seen.e2e_s == pytest.approx(math.fsum(values[i] for i in recent) / 101, rel=1e-15)
    assert seen.ttft_s == pytest.approx(math.fsum(values[i] for i in recent if i % 2) / 51, rel=1e-15)
    assert seen.queue_s == 0.1


def test_what_a_single_call_took_is_said_to_the_last_bit():
    limits = ModelLimits("m", concurrency=1)
    limits.record(CallTiming(at=0.0, e2e_s=0.1 + 0.2, queue_s=1e-7))
    assert (limits.telemetry().e2e_s, limits.telemetry().queue_s) == (0.1 + 0.2, 1e-7)


def test_what_is_remembered_of_recent_calls_does_not_grow_with_their_number():
    limits, size = ModelLimits("m", concurrency=1, window_s=60), 0
    tracemalloc.start()
    for i in range(20_000):
        limits.record(CallTiming(at=i / 1000, e2e_s=0.1, queue_s=0.1, ttft_s=0.1))
        if i == 100:
            size = tracemalloc.get_traced_memory()[0]
    grown = tracemalloc.get_traced_memory()[0] - size
    tracemalloc.stop()
    assert grown < 100_000  # bytes: a hundred sums, not 20,000 records
