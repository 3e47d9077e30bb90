# pyright: basic
"""Does the queueing model of the simulated pool describe a real vLLM server? The same arrivals on both.

    scripts/vllm/install_cpu.sh && uv run python benchmarks/queueing_against_vllm.py

One tiny model is served by vLLM's CPU build with 8 slots. Its speed is measured first, in a closed loop: 1, 2, 4 and 8
clients ask one request after another, and least squares over all of them give what a request takes, and a token alone
and with others beside it. Then Poisson arrivals of lognormal lengths, at three shares of the capacity that these
figures imply, go to the real server and to the simulated one, and the distributions of latencies are compared:
Kolmogorov-Smirnov distance, ratios of the median and of the 95th percentile. Nothing is fitted to the arrivals.
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import httpx
import numpy as np
from _shared import machine
from scipy.optimize import nnls
from scipy.stats import ks_2samp

from mar.concurrency import gather
from mar.learning.arrivals import Arrivals
from mar.learning.openloop import open_loop
from mar.pool import ModelCard
from mar.pool.simulated.catalogue import Serving
from mar.pool.simulated.serving import Job, Server
from mar.testing.tinypool import serve_tiny_pool

SLOTS = 8
PROMPT = "Capital of Peru?"
PROMPT_TOKENS = 40  # with the chat template, about; a byte is a token
CLIENTS = (1, 2, 4, 8)  # that ask in a closed loop while the speed is measured
TURNS = 10  # requests of each of them
MEDIAN_TOKENS, SIGMA = 150, 0.5
MOST_TOKENS = 600
LOADS = (0.5, 0.8, 1.2)  # share of the capacity; above 1 the queue grows as long as arrivals last
REQUESTS = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What was measured: seconds of a request = overhead_s + tokens * (base_s + slope_s * requests at once)."""

    base_s: float
    slope_s: float
    overhead_s: float

    def token_s(self, at_once: int) -> float:
        """Of each of so many requests."""
        return self.base_s + self.slope_s * at_once

    def serving(self) -> Serving:
        """As the simulator takes it."""
        return Serving(
            slots=SLOTS,
            prefill_tokens_per_s=1e6,  # the prompt's part is in the overhead
            tpot_base_s=self.base_s,
            tpot_slope_s=self.slope_s,
            overhead_s=self.overhead_s,
            kv_tokens=10**9,
            source="measured",
        )


def patient_client() -> httpx.AsyncClient:
    """One that waits, and keeps no connection, which a slow server may close just when it is used again."""
    return httpx.AsyncClient(timeout=600, limits=httpx.Limits(max_connections=None, max_keepalive_connections=0))


async def ask(client: httpx.AsyncClient, card: ModelCard, tokens: int) -> float:
    """One request of so many tokens; its latency."""
    body = {
        "model": card.name,
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": tokens,
        "ignore_eos": True,
    }
    began = time.perf_counter()
    (await client.post(f"{card.base_url}/chat/completions", json=body)).raise_for_status()
    return time.perf_counter() - began


async def measure_speed(card: ModelCard, seed: int) -> Speed:
    """Least squares over requests of clients that each ask one after another."""
    rng, rows, seconds = random.Random(seed), list[tuple[float, float, float]](), list[float]()

    async def asks(client: httpx.AsyncClient, at_once: int) -> None:
        for _ in range(TURNS):
            tokens = length(rng)
            seconds.append(await ask(client, card, tokens))
            rows.append((1.0, tokens, tokens * at_once))

    async with patient_client() as client:
        await ask(client, card, MEDIAN_TOKENS)  # warm
        for at_once in CLIENTS:
            await gather([partial(asks, client, at_once)] * at_once)
    (overhead, base, slope), _ = nnls(np.array(rows), np.array(seconds))
    return Speed(overhead_s=float(overhead), base_s=max(float(base), 1e-6), slope_s=float(slope))


def length(rng: random.Random) -> int:
    """Tokens of an answer, lognormal."""
    return min(MOST_TOKENS, max(1, round(MEDIAN_TOKENS * math.exp(SIGMA * rng.gauss(0, 1)))))


async def real(card: ModelCard, times: Sequence[float], tokens: Sequence[int]) -> list[float]:
    """Latencies on the real server."""
    async with patient_client() as client:
        found = await open_loop(times, lambda i: ask(client, card, tokens[i]))
    return [x for x in found if x is not None]


def simulated(serving: Serving, times: Sequence[float], tokens: Sequence[int]) -> list[float]:
    """Latencies on the simulated server."""
    server, took = Server(serving), dict[int, float]()
    for number, (at, n) in enumerate(zip(times, tokens, strict=True)):
        _note(server, took, at)
        job = Job(
            id=f"{number:06d}",
            model="m",
            priority=0,
            arrival=at,
            prompt_tokens=PROMPT_TOKENS,
            completion_tokens=n,
            number=number,
        )
        server.submit([job], at)
    while math.isfinite(server.due):
        _note(server, took, server.due)
    return [took[i] for i in range(len(times))]


def _note(server: Server, took: dict[int, float], to: float) -> None:
    for mark in server.advance(to):
        took[mark.job.number] = mark.time - mark.job.arrival


async def compare(card: ModelCard, seed: int) -> None:
    """All loads on one server."""
    speed = await measure_speed(card, seed)
    full = speed.token_s(SLOTS)
    print(
        f"seconds per token: {speed.token_s(1):.5f} alone, {full:.5f} with {SLOTS}; {speed.overhead_s:.3f} a request\n"
    )
    print("| load | requests/s | KS distance | p50 real s | ratio | p95 real s | ratio |")
    print("|---|---|---|---|---|---|---|")
    rng = random.Random(seed)
    mean = MEDIAN_TOKENS * math.exp(SIGMA**2 / 2)
    for load in LOADS:
        rate = load * SLOTS / (mean * full + speed.overhead_s)
        times = Arrivals(rate=rate).times(REQUESTS, seed=seed)
        tokens = [length(rng) for _ in times]
        measured, modelled = await real(card, times, tokens), simulated(speed.serving(), times, tokens)
        p50, p95 = ([float(np.quantile(x, q)) for x in (measured, modelled)] for q in (0.5, 0.95))
        distance = float(ks_2samp(measured, modelled)[0])  # pyright: ignore
        print(
            f"| {load:g} | {rate:.2f} | {distance:.2f} | {p50[0]:.2f} | {p50[1] / p50[0]:.2f} | {p95[0]:.2f} | "
            f"{p95[1] / p95[0]:.2f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"{machine()}; vLLM's CPU build, tiny-atlas, {REQUESTS} requests at each load")
    with tempfile.TemporaryDirectory() as folder, serve_tiny_pool(Path(folder), ("tiny-atlas",)) as tiny:
        (card,) = tiny.cards()
        anyio.run(compare, card, options.seed)


if __name__ == "__main__":
    main()
