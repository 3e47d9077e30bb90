"""The sandbox of this checkout against that of another one: throughput and start-up, measured in turns.

    git worktree add ../before COMMIT && python benchmarks/sandbox_before_after.py ../before [--rounds 10] [--runs 122]

A round times both checkouts, one right after the other, so that what else the machine does meets both;
printed are medians over the rounds, and of the ratios within a round. Needs mbpp.jsonl as `sandbox_throughput.py` does.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, cast

import anyio
from sandbox_throughput import FILE, load_jobs, run_all

from mar.runtime.sandbox import Sandbox

_HERE = Path(__file__).resolve().parents[1]
_DATA = os.environ.get("MAR_DATA", _HERE.parent / "shared" / "data")
_STARTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Jobs a second with two workers, and the time one worker takes to start."""

    jobs_per_s: float
    start_ms: float


async def measure(isolation: Literal["namespaces", "rlimits"], n_runs: int) -> Timing:
    starts: list[float] = []
    for _ in range(_STARTS):
        began = time.perf_counter()
        async with Sandbox(workers=1, isolation=isolation):
            starts.append(1000 * (time.perf_counter() - began))
    jobs = list(load_jobs(Path(_DATA) / FILE).items())[:n_runs]
    async with Sandbox(workers=2, isolation=isolation, memo_size=1) as sandbox:
        await run_all(sandbox, jobs[:20], 2)
        began = time.perf_counter()
        await run_all(sandbox, jobs, 2)
        return Timing(jobs_per_s=len(jobs) / (time.perf_counter() - began), start_ms=statistics.median(starts))


def measure_checkout(checkout: Path, isolation: str, n_runs: int) -> Timing:
    command = [sys.executable, __file__, str(checkout), "--only", isolation, "--runs", str(n_runs)]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "MAR_DATA": str(_DATA)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return Timing(**json.loads(done.stdout))


def compare(before: Path, isolation: str, rounds: int, n_runs: int) -> None:
    pairs: list[tuple[Timing, Timing]] = []
    for number in range(rounds):
        order = (before, _HERE) if number % 2 else (_HERE, before)
        timed = {checkout: measure_checkout(checkout, isolation, n_runs) for checkout in order}
        pairs.append((timed[before], timed[_HERE]))
    median = statistics.median
    speeds = [median(pair[side].jobs_per_s for pair in pairs) for side in (0, 1)]
    starts = [median(pair[side].start_ms for pair in pairs) for side in (0, 1)]
    ratio = median(after.jobs_per_s / before.jobs_per_s for before, after in pairs)
    later = median(after.start_ms - before.start_ms for before, after in pairs)
    print(f"{isolation}: {speeds[0]:.0f} jobs a second before, {speeds[1]:.0f} after: x {ratio:.2f} within a round;")
    print(f"  a worker starts in {starts[0]:.0f} ms before, {starts[1]:.0f} ms after: {later:+.0f} ms within a round")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--runs", type=int, default=122)
    parser.add_argument("--only", choices=("namespaces", "rlimits"), help="time what is imported, and print it as JSON")
    options = parser.parse_args()
    if options.only:
        isolation = cast(Literal["namespaces", "rlimits"], options.only)
        print(json.dumps(asdict(anyio.run(measure, isolation, options.runs))))
    else:
        for isolation in ("namespaces", "rlimits"):
            compare(options.before.resolve(), isolation, options.rounds, options.runs)
