# pyright: basic
"""A batch of 16 queries over a real HTTP server on loopback that answers every call after 200 ms.

    uv run python benchmarks/critical_path.py

The batch should take little longer than its critical path: the longest chain of calls that must follow each other.
The published code makes its 98-108 calls one at a time, 25-29 s, which is 20 times the critical path.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from functools import partial
from multiprocessing.connection import Connection

import anyio
import anyio.to_thread
from _shared import machine

from mar import clock
from mar.concurrency import gather
from mar.controllers.base import PlanSpace
from mar.controllers.baselines import RandomPlans
from mar.pool.cards import ModelCard
from mar.pool.openai_client import OpenAIModel
from mar.pool.pool import Pool
from mar.runtime import PromptLibrary, RunIdentity, Runtime
from mar.testing import ChatServer
from mar.types import Query

DELAY_S, QUERIES, ROUNDS = 0.2, 16, 8
NAMES = ("a", "b", "c", "d")


def serve(address: Connection) -> None:
    """The server, in a process of its own as a real one would be: says where it is, and serves until told to stop."""

    async def main() -> None:
        async with ChatServer(delay_s=DELAY_S, models=NAMES) as server:
            address.send(server.base_url)
            await anyio.to_thread.run_sync(address.recv)

    clock.run(main, virtual=False)


async def main(base_url: str) -> None:
    prompts = PromptLibrary.load()
    cards = [ModelCard(name=n, base_url=base_url, price_in=1.0, price_out=1.0, concurrency=256) for n in NAMES]
    async with Pool(cards, OpenAIModel(cards), kind="live") as pool:
        runtime = Runtime(pool, prompts=prompts)
        space = PlanSpace.of(pool, prompts)
        print(f"{machine()}; {DELAY_S * 1e3:.0f} ms a call, {QUERIES} queries a batch")
        ratios: list[float] = []
        for k in range(ROUNDS + 1):
            queries = [Query(id=f"{k}/{i}", text=f"question {i}") for i in range(QUERIES)]
            plans = [p.intent for p in RandomPlans("Commonsense", seed=k).plan(queries, space)]
            began = time.perf_counter()
            work = [
                partial(runtime.run, q, p, identity=RunIdentity(seed=k)) for q, p in zip(queries, plans, strict=True)
            ]
            episodes = await gather(work)
            took = time.perf_counter() - began
            path = max(runtime.bound(p).stages for p in plans) * DELAY_S
            calls = sum(e.usage.calls for e in episodes)
            ratios.append(took / path)
            print(
                f"batch {k}: {calls} calls, critical path {path:.1f} s, took {took:.2f} s = {took / path:.2f} x; "
                f"one at a time {calls * DELAY_S:.1f} s{' (warm-up)' if k == 0 else ''}"
            )
        print(f"median of {ROUNDS} batches: {statistics.median(ratios[1:]):.2f} x the critical path (aim 1.25)")


if __name__ == "__main__":
    here, there = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    try:
        clock.run(partial(main, here.recv()), virtual=False)
    finally:
        here.send("stop")
        server.join(5)
