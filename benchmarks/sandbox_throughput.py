"""How many MBPP candidates a second the sandbox judges, without memoisation.

    python benchmarks/sandbox_throughput.py [--workers 2] [--isolation auto] [--runs 974]

One run is one candidate (the reference solution) with all its asserts. Needs mbpp.jsonl under `MAR_DATA`, or under
`../shared/data` beside the checkout.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import anyio

from mar.runtime.sandbox import Sandbox, TestJob, TestReport

FILE = Path("benchmarks/mbpp/mbpp.jsonl")
_DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    task_id: int
    report: TestReport
    latency_ms: float


def load_jobs(path: Path) -> dict[int, TestJob]:
    jobs: dict[int, TestJob] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        jobs[row["task_id"]] = TestJob(
            code=row["code"], tests=tuple(row["test_list"]), setup=row["test_setup_code"], setup_after_code=True
        )
    return jobs


SLOW_MS = 1000.0  # a reference that computes for longer is a measure of itself, not of the sandbox


async def run_all(sandbox: Sandbox, jobs: list[tuple[int, TestJob]], workers: int) -> list[Run]:
    runs: list[Run] = []
    waiting = iter(jobs)

    async def work() -> None:
        for task_id, job in waiting:
            began = time.perf_counter()
            report = await sandbox.run_tests(job)
            runs.append(Run(task_id=task_id, report=report, latency_ms=1000 * (time.perf_counter() - began)))

    async with anyio.create_task_group() as group:
        for _ in range(workers):
            group.start_soon(work)
    return runs


async def main(workers: int, isolation: Literal["auto", "namespaces", "rlimits"], n_runs: int) -> None:
    jobs = list(load_jobs(Path(os.environ.get("MAR_DATA", _DEFAULT)) / FILE).items())[:n_runs]
    async with Sandbox(workers=workers, isolation=isolation, memo_size=1) as sandbox:
        await run_all(sandbox, jobs[:20], workers)
        began = time.perf_counter()
        runs = await run_all(sandbox, jobs, workers)
        elapsed_s = time.perf_counter() - began
        cuts = statistics.quantiles([run.latency_ms for run in runs], n=20)
        print(f"isolation {sandbox.isolation}, {workers} workers, {os.cpu_count()} cores")
        print(f"{len(runs)} runs in {elapsed_s:.2f} s: {len(runs) / elapsed_s:.0f} a second")
        print(f"per run: p50 {cuts[9]:.1f} ms, p95 {cuts[18]:.1f} ms")
        slow = {run.task_id for run in runs if run.latency_ms > SLOW_MS}
        rest = [(task_id, job) for task_id, job in jobs if task_id not in slow]
        began = time.perf_counter()
        await run_all(sandbox, rest, workers)
        elapsed_s = time.perf_counter() - began
        print(f"without {len(slow)} that compute for over {SLOW_MS / 1e3:g} s: {len(rest) / elapsed_s:.0f} a second")
    wrong = [run for run in runs if not run.report.passed]
    print(f"{len(runs) - len(wrong)} of {len(runs)} references pass")
    for run in wrong:
        print(run.task_id, [(result.outcome, result.detail) for result in run.report.results])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--isolation", choices=("auto", "namespaces", "rlimits"), default="auto")
    parser.add_argument("--runs", type=int, default=974)
    options = parser.parse_args()
    mode = cast(Literal["auto", "namespaces", "rlimits"], options.isolation)
    anyio.run(main, options.workers, mode, options.runs)
