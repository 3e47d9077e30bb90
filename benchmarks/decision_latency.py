# pyright: basic
"""How long MasRouter takes to decide, with embeddings already computed: one query, and a batch of 64.

    uv run python benchmarks/decision_latency.py

The published code takes 1,400 ms and 2,900 ms, nearly all of it encoding texts that never change.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import torch
from _shared import machine

from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import HashEncoder, Vectors
from mar.controllers.masrouter import MasRouter, NetworkSettings
from mar.pool.simulated import EMPTY_WORLD, simulated_pool
from mar.runtime import PromptLibrary
from mar.types import Query

REPEATS = 300


class Remembered(HashEncoder):
    """Vectors that are there already, as after the first decision: meaning does not matter for the time."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[tuple[str, ...], Vectors] = {}

    def encode(self, texts: Sequence[str]) -> Vectors:
        key = tuple(texts)
        if key not in self._known:
            self._known[key] = super().encode(texts)
        return self._known[key]


def main() -> None:
    torch.set_num_threads(1)
    pool, prompts = simulated_pool(EMPTY_WORLD), PromptLibrary.load()
    space = PlanSpace.of(pool, prompts)
    router = MasRouter(NetworkSettings(), Remembered(), cost_rate=20.0)
    print(f"{machine()}; {len(space.cards)} models, {len(space.modes)} modes, up to {space.max_agents} agents")
    for n, target in ((1, 2.0), (64, 5.0)):
        queries = [Query(text=f"question {i}") for i in range(n)]
        for _ in range(20):
            router.plan(queries, space)
        times: list[float] = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            router.plan(queries, space)
            times.append(1e3 * (time.perf_counter() - began))
        p50, p95 = statistics.median(times), sorted(times)[int(0.95 * len(times))]
        print(f"{n:3d} queries: p50 {p50:.2f} ms, p95 {p95:.2f} ms (aim: under {target:g} ms)")


if __name__ == "__main__":
    main()
