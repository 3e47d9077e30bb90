"""Runs that are killed at random moments and resumed by the same command end with the bytes of one that was not.

    uv run python benchmarks/kills.py [--kills 20] [--writes 8] [--only mbpp cascal gmt system live] [--seed 0]

Every case is a small run of one of the scripts in `experiments/`. It is run whole once; then it is begun again in a
fresh folder with a cache that holds the vectors of texts and nothing else, killed (SIGKILL to its process group), and
started again by the same command until it ends. Kills fall at `--kills` moments drawn uniformly over the time that the
whole run took, and right after each of the last `--writes` files that it put in place, among them the writes with
which training ends. All files of the run folder are then compared byte by byte.

In the case `live` the pool is a local server that counts what it was asked. Answers take real time there, so moments
and durations (TIMES) are left out of the comparison, with the table that is printed from them, and so is the record of
what was paid; instead, what the server was asked more often than by the whole run must have been under way when the
kill came.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import mmap
import os
import random
import runpy
import shutil
import signal
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from _shared import ROOT, data_folder, machine

from mar.testing.chat_server import ChatServer, ServedRequest

for module in ("cascal_run", "experiment", "gmt.experiment", "system_run"):
    import_module(f"mar.evaluation.{module}")  # once, before the forks

TIMES = {  # fields that hold moments, durations, or who paid
    *("t", "latency_s", "latency_p50_s", "latency_p95_s", "ttft_s", "cached", "paid in this run"),
}
PAID = "spending.jsonl"  # see `mar.runtime.account`
PRINTED = "results.md"  # from results.json
DELAY_S = 0.03  # of an answer of the live server
UNSURE_S = 0.25  # before a kill: answered, but perhaps not yet kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A run that is killed."""

    name: str
    script: str
    options: Sequence[str]
    timed: bool = False  # its answers take real time


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of a case."""

    killed: int = 0
    same: int = 0
    paid_again: int = 0  # calls that the server was asked for again
    not_under_way: int = 0  # of them: those that were not under way at the kill
    problems: list[str] = field(default_factory=list[str])


def cases(work: Path, port: int) -> list[Case]:
    """All of them, small."""
    sample = ("--pool", "simulated", "--no-baselines")
    small = ("--epochs", "2", "--batch_size", "4", "--rollouts", "2", "--limit", "8")
    gmt = work / "gmt.yaml"
    gmt.write_text(
        "dataset: {name: mt_bench}\ntrain: {variant: published, epochs: 12, splits: 2}\ncheckpoint: {save_every: 2}\n"
    )
    pool = work / "pool.toml"
    card = '[[models]]\nname = "{0}"\nbase_url = "http://127.0.0.1:{1}/v1"\nprice_in = {2}\nprice_out = {2}\n'
    pool.write_text("".join(card.format(n, port, p) for n, p in (("cheap", 0.1), ("fair", 0.5), ("dear", 2.0))))
    live = ("--pool", str(pool), "--no-baselines", "--max_cost", "50", "--concurrency", "8")
    return [
        Case(name="mbpp", script="run_mbpp.py", options=(*sample, *small)),
        Case(
            name="cascal",
            script="run_cascal.py",
            options=("--pool", "simulated", "--num_training_questions", "60", "--test_limit", "12"),
        ),
        Case(name="gmt", script="run_gmt.py", options=("--config", str(gmt), "--data", str(data_folder()))),
        Case(
            name="system",
            script="train_system_router_mbpp.py",
            options=(
                "--episodes",
                "24",
                "--test_episodes",
                "8",
                "--limit",
                "6",
                "--arrival_rates",
                "60/min",
                "200/min",
            ),
        ),
        Case(name="live", script="run_mmlu.py", options=(*live, *small), timed=True),
    ]


# Processes ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended."""

    code: int  # negative: the signal
    seconds: float
    writes: int  # files that it put in place
    at: float  # moment of its end, on the monotonic clock


def run(case: Case, out: Path, cache: Path, *, after_s: float | None = None, after_writes: int | None = None) -> Ended:
    """Run a case's command in a process of its own; kill it after some time or right after some write."""
    writes = mmap.mmap(-1, 8)
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _become(case, out, cache, writes, after_writes)
    code = _wait(child, None if after_s is None else began + after_s)
    ended = time.monotonic()
    return Ended(code=code, seconds=ended - began, writes=int.from_bytes(writes[:8]), at=ended)


def _become(case: Case, out: Path, cache: Path, writes: mmap.mmap, last: int | None) -> None:
    """Be the command. Imports are shared with the parent, everything else is as in a shell."""
    os.setsid()
    out.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(out.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.chdir(out.parent)
    os.environ |= {"MAR_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    os.environ.pop("MAR_DATA", None)
    replace = os.replace

    def counted(source: Any, target: Any, **how: Any) -> None:
        replace(source, target, **how)
        if Path(target).is_relative_to(out):
            count = int.from_bytes(writes[:8]) + 1
            writes[:8] = count.to_bytes(8)
            if count == last:
                os.killpg(0, signal.SIGKILL)

    os.replace = counted
    script = ROOT / "experiments" / case.script
    sys.argv = [str(script), *case.options, "--out", str(out)]
    code = 1
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.stdout.flush()
        os._exit(code)


def _wait(child: int, deadline: float | None) -> int:
    while True:
        ended, status = os.waitpid(child, os.WNOHANG if deadline else 0)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if deadline is not None and time.monotonic() >= deadline:
            os.killpg(child, signal.SIGKILL)
            deadline = None
        else:
            time.sleep(0.002)


# The server of the live pool ------------------------------------------------------------------------------------


def serve() -> tuple[int, int]:
    """Start the counting server in a process of its own; gives its process id and its port."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        asyncio.run(_serve(writing))
        os._exit(0)
    os.close(writing)
    return child, int(os.read(reading, 16))


async def _serve(writing: int) -> None:
    asked: list[tuple[str, float]] = []

    def answer(request: ServedRequest) -> str:
        key = hashlib.blake2b(json.dumps(request.body, sort_keys=True).encode(), digest_size=16).hexdigest()
        asked.append((key, time.monotonic()))
        return f"The answer is ({'ABCD'[int(key, 16) % 4]})."

    async with ChatServer(answer=answer, delay_s=DELAY_S, metrics=lambda: json.dumps(asked)) as server:
        os.write(writing, str(server.port).encode())
        await asyncio.Event().wait()


def asked(port: int) -> list[tuple[str, float]]:
    """All that the server was asked: what, and when it answered."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as reply:
        return [(key, at) for key, at in json.load(reply)]


# Comparing ------------------------------------------------------------------------------------------------------


def differences(whole: Path, other: Path, *, timed: bool) -> list[str]:
    """Names of files that are there only once, or that differ."""
    files = {p.relative_to(f).as_posix() for f in (whole, other) for p in f.rglob("*") if p.is_file()}
    read: Callable[[Path], object] = _without_times if timed else Path.read_bytes
    left_out = {PAID, PRINTED} if timed else set[str]()
    return [
        name
        for name in sorted(files - left_out)
        if not ((whole / name).is_file() and (other / name).is_file()) or read(whole / name) != read(other / name)
    ]


def _without_times(path: Path) -> object:
    if path.suffix not in {".json", ".jsonl"}:
        return path.read_bytes()
    text = path.read_text()
    return [_stripped(json.loads(line)) for line in (text.splitlines() if path.suffix == ".jsonl" else [text])]


def _stripped(value: Any) -> Any:
    match value:
        case dict():
            return {k: _stripped(v) for k, v in cast("dict[str, Any]", value).items() if k not in TIMES}
        case list():
            return [_stripped(v) for v in cast("list[Any]", value)]
        case _:
            return value


# A case ---------------------------------------------------------------------------------------------------------


def trial(case: Case, whole: Path, work: Path, port: int, bought: Counter[str], tally: Tally, **moment: Any) -> bool:
    """Kill once and resume; False when the run ended before the moment came."""
    out, cache = work / "run", work / "cache"
    shutil.rmtree(work, ignore_errors=True)
    cache.mkdir(parents=True)
    for known in (whole.parent / "cache").glob("embeddings.sqlite*"):
        shutil.copy(known, cache)
    before = len(asked(port)) if case.timed else 0
    ended = run(case, out, cache, **moment)
    if ended.code >= 0:
        if ended.code > 0:
            tally.problems.append(f"exit status {ended.code} without a kill")
        return False
    tally.killed += 1
    resumed = run(case, out, cache)
    if resumed.code:
        tally.problems.append(f"{moment}: resumed with exit status {resumed.code}")
    found = differences(whole, out, timed=case.timed)
    tally.same += not found and not resumed.code
    tally.problems += [f"{moment}: {name}" for name in found]
    if case.timed:
        mine = asked(port)[before:]
        again = Counter(key for key, _ in mine) - bought
        under_way = Counter(key for key, at in mine if ended.at - UNSURE_S <= at <= ended.at + 2 * DELAY_S)
        tally.paid_again += again.total()
        tally.not_under_way += (again - under_way).total()
    return True


def measure(case: Case, work: Path, port: int, options: argparse.Namespace) -> Tally:
    """A whole run, then all kills."""
    tally, rng = Tally(), random.Random(f"{options.seed}/{case.name}")
    before = len(asked(port)) if case.timed else 0
    whole = run(case, work / "whole" / "run", work / "whole" / "cache")
    if whole.code:
        raise SystemExit(f"{case.name}: exit status {whole.code}; see {work / 'whole' / 'run.log'}")
    bought = Counter(key for key, _ in asked(port)[before:]) if case.timed else Counter[str]()
    folder = work / "whole" / "run"
    print(f"{case.name}: whole in {whole.seconds:.1f} s, {whole.writes} files put in place", flush=True)
    last = range(max(1, whole.writes - options.writes + 1), whole.writes + 1)
    for number in last:
        trial(case, folder, work / "killed", port, bought, tally, after_writes=number)
    while tally.killed < options.kills + len(last):
        trial(case, folder, work / "killed", port, bought, tally, after_s=rng.uniform(0.02, whole.seconds))
    return tally


def main() -> None:
    """Run the cases and print a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--writes", type=int, default=8)
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    server, port = serve()
    try:
        with tempfile.TemporaryDirectory() as folder:
            print(machine())
            for case in cases(Path(folder), port):
                if options.only is not None and case.name not in options.only:
                    continue
                tally = measure(case, Path(folder) / case.name, port, options)
                paid = f"; paid again {tally.paid_again}, not under way {tally.not_under_way}" if case.timed else ""
                print(
                    f"{case.name}: {tally.same} of {tally.killed} the same{paid}",
                    *tally.problems,
                    sep="\n  ",
                    flush=True,
                )
    finally:
        os.kill(server, signal.SIGKILL)


if __name__ == "__main__":
    main()
