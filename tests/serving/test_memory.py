"""A worker's memory: what was freed between what is in use goes back to the machine."""

from pathlib import Path

import anyio
import pytest

from mar.controllers.cards import Cards
from mar.pool import scripted_pool
from mar.serving import memory
from tests.asking import served

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux says what is resident"),
]
PAGE, BLOCK, MIB = 4096, 20_000, 2**20


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def test_what_was_freed_between_what_is_in_use_is_given_back():
    blocks = [bytearray(BLOCK) for _ in range(60 * MIB // BLOCK)]
    kept = blocks[::2]
    del blocks
    holes = resident()
    memory.give_back()
    assert holes - resident() > 15 * MIB  # half of 60, but for the pages that holes have in part
    assert len(kept) * BLOCK > 25 * MIB


async def test_a_worker_gives_memory_back_again_and_again(monkeypatch):
    times, enough = 0, anyio.Event()

    def counted():
        nonlocal times
        times += 1
        if times == 3:
            anyio.from_thread.run_sync(enough.set)

    monkeypatch.setattr(memory, "EVERY_S", 0.01)
    monkeypatch.setattr(memory, "give_back", counted)
    async with served(scripted_pool(lambda _: "42"), {"mar": Cards()}):
        with anyio.fail_after(20):
            await enough.wait()
