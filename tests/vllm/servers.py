"""Waiting for real servers, and keeping them busy."""

import os
import signal
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random

import anyio
import httpx

from mar.concurrency import task_group
from mar.controllers.system_aware.rules import deadline_priority
from mar.pool import WatchSettings

# Patient, since a busy machine answers slowly: no limit here is a measurement.
CLOSE = WatchSettings(interval_s=0.1, timeout_s=10.0, stale_after_s=15.0, window_s=60.0)
DEVICE = os.environ.get("MAR_TINY_DEVICE", "cpu")  # what the tiny models are served on; cuda: the first GPU
AT_ONCE = 8  # requests that a server of the tiny pool computes at once; the others queue


async def until(condition, seconds=600):
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in a server
            await anyio.sleep(0.05)


def soon():
    """The priority of a call that is due in a second, as agents' calls have it."""
    return deadline_priority(anyio.current_time() + 1)


async def occupy(client, card, tokens, priority=0, prompt="Capital of Peru?"):
    """One request that takes its server so many tokens, whatever the model has to say."""
    body = {
        "model": card.name,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "ignore_eos": True,
        "priority": priority,
    }
    (await client.post(f"{card.base_url}/chat/completions", json=body)).raise_for_status()


def patient_client():
    """A client that waits for as long as it takes. A slow server may close a connection that is about to be used again,
    so none is.
    """
    return httpx.AsyncClient(timeout=600, limits=httpx.Limits(max_keepalive_connections=0))


@contextmanager
def engine_stopped(server):
    """A server takes requests and computes nothing until the block ends: what it then finds is a queue, however fast
    it is. (An engine is the child process that computes.)
    """
    children = (
        int(pid) for path in Path(f"/proc/{server.pid}/task").glob("*/children") for pid in path.read_text().split()
    )
    (engine,) = (pid for pid in children if "EngineCor" in Path(f"/proc/{pid}/comm").read_text())
    os.kill(engine, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(engine, signal.SIGCONT)


@asynccontextmanager
async def kept_busy(card, requests, *, reading=False):
    """So many requests are with a server, each followed by another, until the block ends; then the last are awaited.

    They write much; `reading`, they have much read. What a server has computed it also has to put into words, so that
    one that writes much may be done with everything and still answer nobody for a while.
    """
    over, random = False, Random(0)

    async def again(client):
        while not over:
            if reading:
                prompt = "".join(random.choices("abcdefgh ", k=900))
                await occupy(client, card, 8, priority=soon(), prompt=prompt)
            else:
                await occupy(client, card, 300)

    async with patient_client() as client, task_group() as tasks:
        for _ in range(requests):
            tasks.start_soon(again, client)
        yield
        over = True
