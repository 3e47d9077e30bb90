# pyright: basic
"""What spreading work costs and gains: overhead a job, speed-up of two workers, and where one driver saturates.

    uv run python benchmarks/cluster.py          (parts: overhead speed-up simulation; --ray adds a local cluster)

Overheads are processor time of the driver, so they can be measured on a busy machine; speed-ups are wall time and need
two idle cores. The simulation puts the measured overheads into a queue on virtual time: 64 and more workers that exist
nowhere, whose episodes last as long as is stated.
"""

from __future__ import annotations

import argparse
import gc
import random
import secrets
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import numpy as np
from _shared import machine

from mar import clock
from mar.clock import ticks
from mar.concurrency import gather
from mar.evaluation.routereval.construct import RoutingSet
from mar.evaluation.routereval.keep import problems
from mar.evaluation.routereval.run import Job, Measuring, RoutingOptions
from mar.evaluation.routereval.table import OutcomeTable
from mar.execution import Executor, InProcess, Spec, Workers, executor
from mar.execution.desk import Address, Desk
from mar.execution.far_desk import far_desk
from mar.runtime import Account, Ledger
from mar.runtime.sandbox import Limits, Sandbox, TestJob
from mar.types import Usage

JOBS = 2000  # of the overhead
TRIES = 2000  # of the desk, by each of two workers
AT_ONCE = (1, 64)  # tries under way at a worker
OUTCOME = 6000  # bytes of an episode of four calls as it travels, about
TABLE = (6000, 8, 384)  # prompts, LLMs, width of an embedding
SLOW = ("svm", "mlp")  # routers whose fit takes long there
PROGRAMS, PROGRAM_S = 80, 0.25  # programs to judge, and how long each computes
EPISODE_S, CALLS = 8.0, 4  # of the simulated episodes: mean seconds, calls of models


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo(Spec[str, str]):
    """Answers at once with as much as an episode is."""

    async def _answer(self, job: str) -> str:
        return job

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Callable[[str], Awaitable[str]]]:
        yield self._answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Paying(Spec[tuple[int, int], None]):
    """Makes tries that take no time, each in a turn of its own: so many at once, each so many, one after the other."""

    desk: Address
    turns: bool

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Callable[[tuple[int, int]], Awaitable[None]]]:
        async with far_desk(self.desk) as desk:

            async def one_after_the_other(tries: int) -> None:
                for _ in range(tries):
                    turn = desk.turn(secrets.token_bytes(32)) if self.turns else nullcontext()
                    async with turn, desk.hold(0.001, "m") as one:
                        one.usage = Usage(calls=1, cost_usd=0.0005)

            async def pay(job: tuple[int, int]) -> None:
                at_once, tries = job
                await gather([partial(one_after_the_other, tries)] * at_once)

            yield pay


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring(Spec[int, bool]):
    """Judges programs that compute, one at a time."""

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Callable[[int], Awaitable[bool]]]:
        async with Sandbox(workers=1, limits=Limits(wall_s=60, cpu_s=60)) as sandbox:

            async def score(number: int) -> bool:
                code = f"def f():\n    import time\n    end = time.process_time() + {PROGRAM_S}\n"
                code += f"    while time.process_time() < end:\n        pass\n    return {number}\n"
                report = await sandbox.run_tests(TestJob(code=code, tests=(f"assert f() == {number}",)))
                return all(result.outcome == "passed" for result in report.results)

            yield score


# Overhead -----------------------------------------------------------------------------------------------------


def cpu_of(work: Callable[[], object]) -> float:
    """Processor seconds of this process, without clearing up after what came before."""
    gc.collect()
    before = time.process_time()
    work()
    return time.process_time() - before


def overhead(places: Sequence[tuple[str, Workers]]) -> dict[str, float]:
    """The driver's processor time a job, by place, and the desk's a try."""
    found, jobs = dict[str, float](), ["x" * OUTCOME] * JOBS
    for name, where in places:
        with executor(where) as workers:
            spec = Echo()
            workers.run(spec, jobs[:1])  # they are started
            found[_job(name)] = cpu_of(partial(workers.run, spec, jobs)) / JOBS

    async def pay(at_once: int, turns: bool) -> float:
        with tempfile.TemporaryDirectory() as folder:
            ledger = Ledger(1e9, account=Account(Path(folder) / "spending.jsonl"))  # as a run has it
            desk = Desk(ledger, {})
            async with desk.open() as address:
                with executor(Workers(workers=2)) as workers:
                    spec, each = Paying(desk=address, turns=turns), TRIES // at_once
                    await desk.run(workers, spec, [(1, 1)] * 2)
                    before = time.process_time()
                    await desk.run(workers, spec, [(at_once, each)] * 2)
                    return (time.process_time() - before) / (2 * at_once * each)

    for at_once in AT_ONCE:
        for turns in (False, True):
            found[_tries(at_once, turns)] = anyio.run(pay, at_once, turns)
    return found


def _job(place: str) -> str:
    return f"a job, {place}"


def _tries(at_once: int, turns: bool) -> str:
    return f"a try at the desk{' and its turn' * turns}, {at_once} at once at each of 2 workers"


# Speed-up -----------------------------------------------------------------------------------------------------


Work = tuple[Spec, Sequence]  # and its jobs


def wall_of(workers: Executor, work: Work, warm: Work) -> float:
    """Seconds, with workers that have been started and have done something before."""
    workers.run(*warm)
    before = time.perf_counter()
    workers.run(*work)
    return time.perf_counter() - before


def routing_work(seeds: int) -> tuple[Work, Work]:
    """Fits of routers to a made-up table whose scores depend on the embeddings through a few directions.

    First two that only import what is needed.
    """
    n, m, width = TABLE
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((n, width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    logits = 12 * vectors[:, :6] @ rng.standard_normal((6, m)) + np.linspace(-1, 1, m)
    scores = (rng.random((n, m)) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    table = OutcomeTable(name="made up", models=tuple(f"m{j}" for j in range(m)), scores=scores, vectors=vectors)
    (problem,) = problems(table, (5,), ("all_strong",))
    (small,) = problems(table.rows(np.arange(300)), (5,), ("all_strong",))

    def work(problem: RoutingSet, routers: Sequence[str], seeds: int) -> Work:
        jobs = [Job(router=r, problem=problem.name, seed=s, state="") for r in routers for s in range(seeds)]
        return Measuring(options=RoutingOptions(), problem=problem), jobs

    return work(small, SLOW[:1], 2), work(problem, SLOW, seeds)


def speed_up(places: Sequence[tuple[str, Workers]], seeds: int) -> None:
    """Wall time of work that computes, here and at workers."""
    print("\n### Speed-up of work that computes, wall time; meaningful on idle cores only\n")
    print("| work | where | seconds | times as fast |\n|---|---|---|---|")
    fits, programs = routing_work(seeds), ((Scoring(), (-1, -2)), (Scoring(), range(PROGRAMS)))
    for what, (warm, work) in (
        (f"RouterEval table, {len(fits[1][1])} fits", fits),
        (f"{PROGRAMS} programs in the sandbox, one at a time each", programs),
    ):
        alone = wall_of(InProcess(), work, warm)
        print(f"| {what} | this process | {alone:.1f} | 1.00 |", flush=True)
        for name, where in places:
            with executor(where) as workers:
                seconds = wall_of(workers, work, warm)
            print(f"| {what} | {name} | {seconds:.1f} | {alone / seconds:.2f} |", flush=True)


# Simulation ---------------------------------------------------------------------------------------------------


def simulated(workers: int, at_once: int, job_s: float, try_s: float, *, episodes: int) -> float:
    """Episodes per second that one driver gets out of so many workers, on virtual time."""

    async def main() -> float:
        driver = anyio.CapacityLimiter(1)  # one process does all that the driver does, one thing after the other
        rng, ended = random.Random(0), list[float]()

        async def busy(seconds: float) -> None:
            await driver.acquire_on_behalf_of(token := object())
            try:
                await anyio.sleep(ticks(seconds))
            finally:
                driver.release_on_behalf_of(token)

        async def episode() -> None:
            await busy(job_s / 2)
            for _ in range(CALLS):
                await busy(try_s / 2)
                await anyio.sleep(ticks(rng.expovariate(CALLS / EPISODE_S)))
                await busy(try_s / 2)
            await busy(job_s / 2)
            ended.append(anyio.current_time())

        await gather([episode] * episodes, limit=workers * at_once)
        first, last = episodes // 3, 2 * episodes // 3  # in the middle: it neither begins nor ends
        return (last - first) / (ended[last] - ended[first])

    return clock.run(main, virtual=True)


def simulation(job_s: float, try_s: float) -> None:
    """Where the driver saturates."""
    each = job_s + CALLS * try_s
    print(f"\n### One driver, simulated on virtual time: episodes of {CALLS} calls and {EPISODE_S:g} s in the mean\n")
    print(f"{1e3 * job_s:.2f} ms of the driver an episode and {1e3 * try_s:.2f} ms a call, as measured above; so it is")
    print(f"saturated at {1 / each:.0f} episodes/s. Simulated: nothing here was run on so many machines.\n")
    print("| workers | episodes at once each | episodes/s | of what the workers could do, % |\n|---|---|---|---|")
    for workers, at_once in ((1, 8), (8, 8), (64, 32), (64, 128), (64, 256)):
        rate = simulated(workers, at_once, job_s, try_s, episodes=max(1000, 6 * workers * at_once))
        print(
            f"| {workers} | {at_once} | {rate:.0f} | {100 * rate * EPISODE_S / (workers * at_once):.0f} |", flush=True
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["overhead", "speed-up", "simulation"])
    parser.add_argument("--ray", action="store_true", help="measure a local Ray cluster, too")
    parser.add_argument("--seeds", type=int, default=6, help="of the RouterEval table's fits")
    arguments = parser.parse_args()
    print(machine())
    places = [("2 processes", Workers(workers=2))]
    places += [("2 Ray actors", Workers(workers=2, ray="local"))] if arguments.ray else []
    costs: dict[str, float] = {}
    if {"overhead", "simulation"} & set(arguments.parts):
        print(f"\n### Processor time of the driver: {JOBS} jobs of {OUTCOME} bytes there and back, {2 * TRIES} tries\n")
        print("| what | ms |\n|---|---|")
        costs = overhead([("this process", Workers()), *places])
        for name, seconds in costs.items():
            print(f"| {name} | {1e3 * seconds:.3f} |")
    if "speed-up" in arguments.parts:
        speed_up(places, arguments.seeds)
    if "simulation" in arguments.parts:
        simulation(
            costs[_job("2 processes")], costs[_tries(AT_ONCE[-1], True)]
        )  # where it saturates, many are under way


if __name__ == "__main__":
    import cluster  # by the name that workers find it by, since what travels is of its classes

    cluster.main()
