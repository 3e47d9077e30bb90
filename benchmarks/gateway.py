# pyright: basic
"""What the gateway adds to a server's time and what it costs, beside the server alone and LiteLLM's proxy, in one run.

    uv run python benchmarks/gateway.py                      (--part speed memory soak faults: some of it)
    uv run python benchmarks/gateway.py --litellm PYTHON     (of an environment with litellm[proxy], to stand beside)

Upstream: a server on loopback that answers after 20 ms, or streams 50 chunks from then on. One worker on one core;
load and upstream on another. Processor time is that of the worker's process, so it does not depend on what else the
machine does; the other figures do, and only their ratios count.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from _gateway_faults import faults
from _gateway_load import Client, at_rate, body, closed
from _gateway_upstream import Upstream
from _shared import machine

PARTS = ("speed", "memory", "soak", "faults")
CLIENTS, STREAMS = 32, 16  # at once
TEXT = "What is 17*23?"
MAR = str(Path(sys.executable).parent / "mar")
TICKS = os.sysconf("SC_CLK_TCK")
POOL = """
[[models]]
name = "small"
description = "Small general model, MMLU 70"
base_url = "http://127.0.0.1:{port}/v1"
price_in = 0.1
price_out = 0.1
context_tokens = 32768
max_output_tokens = 2048
concurrency = 1000

[[models]]
name = "large"
description = "Large general model, MMLU 85"
base_url = "http://127.0.0.1:{port}/v1"
price_in = 2.5
price_out = 10.0
context_tokens = 32768
max_output_tokens = 2048
concurrency = 1000
"""
SERVE = """
pool = "{folder}/pool.toml"
store = "{folder}/gateway.sqlite"
"""
LEARNED = """
[[controllers]]
name = "learned"
router = "{folder}/route/router.safetensors"

[[controllers]]
name = "static"
router = "{folder}/static/router.safetensors"
"""
LITELLM = """
model_list:
  - model_name: small
    litellm_params: {{model: openai/small, api_base: "http://127.0.0.1:{port}/v1", api_key: none}}
litellm_settings: {{num_retries: 0, telemetry: false, set_verbose: false}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A proxy under way."""

    port: int
    pid: int  # of its one worker, or of who watches over several

    def cpu_s(self) -> float:
        """Seconds of the processor that its processes have taken."""
        fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.pids()]
        return sum(int(f[11]) + int(f[12]) for f in fields) / TICKS

    def memory_mb(self) -> float:
        """Resident memory of its processes."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids())
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def pids(self) -> list[int]:
        """Its processes."""
        found, rest = [self.pid], [self.pid]
        while rest:
            children = Path(f"/proc/{rest[0]}/task/{rest[0]}/children")
            below = [int(p) for p in children.read_text().split()]
            found, rest = [*found, *below], [*rest[1:], *below]
        return found


@asynccontextmanager
async def server(argv: Sequence[str], port: int, folder: Path, **env: str) -> AsyncGenerator[Server]:
    """Start a proxy on the first core, and wait until it listens."""
    said = (folder / f"{port}.log").open("wb")
    process = subprocess.Popen(  # noqa: ASYNC220
        ["taskset", "-c", "0", *argv],
        stdout=subprocess.DEVNULL,
        stderr=said,
        env={**os.environ, "OMP_NUM_THREADS": "1", **env},
    )
    try:
        for _ in range(1200):
            if (await Client(port).post(b"{}", "/healthz")).status:
                break
            if process.poll() is not None:
                raise SystemExit(f"{argv[0]} ended: {Path(said.name).read_text()[-1000:]}")  # noqa: ASYNC240
            await asyncio.sleep(0.1)
        yield Server(port=port, pid=process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def mar(folder: Path, port: int, *more: str, settings: str = "serve") -> list[str]:
    """The command of the gateway."""
    return [MAR, "serve", "--config", f"{folder}/{settings}.toml", "--port", str(port), *more]


def prepare(folder: Path, port: int, *, learned: bool) -> None:
    """Write a pool and settings, and where it is wanted a learned router to one of the pool's two models."""
    (folder / "pool.toml").write_text(POOL.format(port=port))
    (folder / "plain.toml").write_text(SERVE.format(folder=folder))
    (folder / "serve.toml").write_text((SERVE + LEARNED * learned).format(folder=folder))
    if learned:
        learn(folder, "route", "all-MiniLM-L6-v2")
        learn(folder, "static", "static")


def learn(folder: Path, out: str, encoder: str) -> None:
    """Learn a router that reads with an encoder."""
    with (folder / "scores.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["prompt", "small", "large", "small|total_cost", "large|total_cost"])
        for n in range(60):
            sums = n % 2
            text = f"What is {n} plus {n * 7 % 31}?" if sums else f"Which of these is a city in country {n}: A, B or C?"
            rows.writerow([text, 1 - sums, 1, 1e-5, 1e-3])
    command = [MAR, "route", "--table", "scores.csv", "--out", out, "--pool", "pool.toml", "--embedding", encoder]
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"no router was learned: {done.stdout[-1000:]}{done.stderr[-1000:]}")


# Speed ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """One way through."""

    requests_s: float
    cpu_ms: float | None  # of a request
    p50_ms: float  # at 20 requests a second
    ttft_ms: float  # at 10 streams a second
    streams_s: float
    stream_cpu_ms: float | None
    wrong: int  # requests and streams that were not answered


async def speed(
    port: int, model: str, seconds: float, proxy: Server | None, text: Callable[[int], str] = lambda _: TEXT
) -> Speed:
    """Measure one way through."""

    def whole(n: int) -> bytes:
        return body(model, text(n))

    def streamed(n: int) -> bytes:
        return body(model, text(n), stream=True)

    await closed(port, whole, clients=4, requests=40)
    before = 0.0 if proxy is None else proxy.cpu_s()
    answered, took = await closed(port, whole, clients=CLIENTS, seconds=seconds)
    between = 0.0 if proxy is None else proxy.cpu_s()
    streams, streaming = await closed(port, streamed, clients=STREAMS, seconds=seconds)
    after = 0.0 if proxy is None else proxy.cpu_s()
    alone = await at_rate(port, whole, rate=20, requests=200)
    firsts = await at_rate(port, streamed, rate=10, requests=100)
    return Speed(
        requests_s=len(answered) / took,
        cpu_ms=None if proxy is None else 1e3 * (between - before) / len(answered),
        p50_ms=1e3 * statistics.median(o.all_s for o in alone),
        ttft_ms=1e3 * statistics.median(o.first_s for o in firsts),
        streams_s=len(streams) / streaming,
        stream_cpu_ms=None if proxy is None else 1e3 * (after - between) / len(streams),
        wrong=sum(o.status != 200 or b"word" not in o.body for o in [*streams, *firsts])
        + sum(o.status != 200 or b"42" not in o.body for o in [*answered, *alone]),
    )


async def stall(port: int, model: str) -> tuple[float, float]:
    """How long others wait while new texts are decided on: p50 and p99 of a health check, ms."""
    probing = True
    waits: list[float] = []

    async def probe() -> None:
        client = Client(port)
        while probing:
            waits.append((await client.post(b"{}", "/healthz")).all_s)
            await asyncio.sleep(0.01)

    task = asyncio.ensure_future(probe())
    await at_rate(port, lambda n: body(model, f"Which is the {n}th letter of word {n * n}?"), rate=20, requests=200)
    probing = False
    await task
    waits.sort()
    return 1e3 * waits[len(waits) // 2], 1e3 * waits[int(len(waits) * 0.99)]


def show_speed(found: dict[str, Speed]) -> None:
    """The table, with ratios to LiteLLM where it is there."""
    direct, other = found["upstream alone"], found.get("LiteLLM")
    print("\n| through | requests/s | CPU ms | added p50 ms | added TTFT ms | streams/s | CPU ms | not answered |")
    print("|---|---|---|---|---|---|---|---|")
    for name, s in found.items():
        cpu = "" if s.cpu_ms is None else f"{s.cpu_ms:.2f}"
        stream_cpu = "" if s.stream_cpu_ms is None else f"{s.stream_cpu_ms:.2f}"
        added = "" if s is direct else f"{s.p50_ms - direct.p50_ms:.1f}"
        first = "" if s is direct else f"{s.ttft_ms - direct.ttft_ms:.1f}"
        cells = [name, f"{s.requests_s:.0f}", cpu, added, first, f"{s.streams_s:.0f}", stream_cpu, str(s.wrong)]
        print(f"| {' | '.join(cells)} |")
    if other is not None and other.cpu_ms and other.stream_cpu_ms:
        print(
            "\n| against LiteLLM | requests/s | CPU of a request | streams/s | CPU of a stream |\n|---|---|---|---|---|"
        )
        for name, s in found.items():
            if s.cpu_ms and s.stream_cpu_ms and s is not other:
                cells = [f"{s.requests_s / other.requests_s:.1f} x", f"1/{other.cpu_ms / s.cpu_ms:.1f}"]
                cells += [f"{s.streams_s / other.streams_s:.1f} x", f"1/{other.stream_cpu_ms / s.stream_cpu_ms:.1f}"]
                print(f"| {name} | {' | '.join(cells)} |")


async def speeds(folder: Path, upstream: Upstream, litellm: Path | None, seconds: float, parts: Sequence[str]) -> None:
    """The parts that need one worker: speed, memory."""
    found: dict[str, Speed] = {}
    memory: dict[str, float] = {}
    if "speed" in parts:
        found["upstream alone"] = await speed(upstream.port, "small", seconds, None)
    if "memory" in parts:  # a worker that has no learned controller, nor their packages
        async with server(mar(folder, 8131, settings="plain"), 8131, folder) as proxy:
            await closed(8131, lambda _: body("mar", TEXT), clients=CLIENTS, requests=2000)
            memory["mar, by card"] = proxy.memory_mb()
    if {"speed", "memory"} & set(parts):
        async with server(mar(folder, 8131), 8131, folder) as proxy:
            if "speed" in parts:
                found["mar, a model by name"] = await speed(8131, "small", seconds, proxy)
                found["mar, by card"] = await speed(8131, "mar", seconds, proxy)
                found["mar, learned, known text"] = await speed(8131, "mar/learned", seconds, proxy)
                texts = iter(range(10**9))
                new = await speed(8131, "mar/learned", seconds, proxy, lambda _: f"What is {next(texts)} plus 7?")
                found["mar, learned, new texts"] = new
                new = await speed(8131, "mar/static", seconds, proxy, lambda _: f"What is {next(texts)} plus 7?")
                found["mar, learned, new texts, static encoder"] = new
                middle, most = await stall(8131, "mar/learned")
            else:
                await closed(8131, lambda _: body("mar/learned", TEXT), clients=CLIENTS, requests=2000)
            memory["mar, a learned controller"] = proxy.memory_mb()
        if litellm is not None:
            (folder / "litellm.yaml").write_text(LITELLM.format(port=upstream.port))
            argv = [str(litellm.parent / "litellm"), "--config", f"{folder}/litellm.yaml"]
            env = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR"}
            env["LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"] = "true"  # as mar here, it asks for no key
            async with server([*argv, "--port", "8132", "--num_workers", "1"], 8132, folder, **env) as proxy:
                if "speed" in parts:
                    found["LiteLLM"] = await speed(8132, "small", seconds, proxy)
                else:
                    await closed(8132, lambda _: body("small", TEXT), clients=CLIENTS, requests=500)
                memory["LiteLLM"] = proxy.memory_mb()
    if "speed" in parts:
        show_speed(found)
        print(f"\nA health check while 20 new texts a second are decided on: p50 {middle:.1f} ms, p99 {most:.1f} ms")
    if "memory" in parts:
        print("\nResident memory of a worker: " + ", ".join(f"{n} {m:.0f} MB" for n, m in memory.items()))


async def soak(folder: Path, requests: int) -> None:
    """The part that runs one worker for long."""
    async with server(mar(folder, 8131, settings="plain"), 8131, folder) as proxy:
        await soaked(proxy, requests)


async def soaked(proxy: Server, requests: int, step: int = 10_000, settled: int = 20_000) -> None:
    """Many requests; memory after every step, and how far it moved once it had settled."""
    print(f"\nSoak, {requests:,} requests by card\n\n| requests | resident memory, MB |\n|---|---|")
    wrong, memory = 0, list[float]()
    for number in range(1, max(requests, settled) // step + 1):
        outcomes, _ = await closed(proxy.port, lambda n: body("mar", f"{TEXT} {n % 5000}"), clients=64, requests=step)
        wrong += sum(o.status != 200 for o in outcomes)
        memory.append(proxy.memory_mb())
        print(f"| {number * step:,} | {memory[-1]:.1f} |", flush=True)
    base, after = memory[settled // step - 1], memory[settled // step - 1 :]
    moved = max(abs(mb / base - 1) for mb in after)
    print(f"\nSince {settled:,} it has moved by {moved:.1%} at the most; not answered: {wrong}")


# Faults -----------------------------------------------------------------------------------------------------------


def two_workers(folder: Path, store: Path, limits: Path) -> AbstractAsyncContextManager[Server]:
    """A gateway of two workers that asks for keys."""
    argv = mar(folder, 8133, "--workers", "2", "--store", str(store), "--limits", str(limits))
    return server(argv, 8133, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--litellm", type=Path, help="Python of an environment with litellm[proxy]")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each closed loop")
    parser.add_argument("--requests", type=int, default=10_000, help="of the part faults")
    parser.add_argument("--soak", type=int, default=200_000, help="requests of the part soak; at least 20,000")
    options = parser.parse_args()
    os.sched_setaffinity(0, {1})

    async def run() -> None:
        with tempfile.TemporaryDirectory(prefix="mar-gateway-") as name:
            async with Upstream() as upstream:
                folder = Path(name)
                prepare(folder, upstream.port, learned=not {"speed", "memory"}.isdisjoint(options.part))
                await speeds(folder, upstream, options.litellm, options.seconds, options.part)
                if "soak" in options.part:
                    await soak(folder, options.soak)
                if "faults" in options.part:
                    await faults(two_workers, MAR, folder, upstream, requests=options.requests)

    print(f"{machine()}; {time.strftime('%Y-%m-%d')}")
    import uvloop

    uvloop.run(run())


if __name__ == "__main__":
    main()
