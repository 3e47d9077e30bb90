"""The sandbox as the rest of mar sees it: a pool of warm workers, a memo, two methods."""

from __future__ import annotations

import functools
import json
import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import anyio

from mar.errors import SandboxUnavailable
from mar.runtime.sandbox.memo import Memo, key_of
from mar.runtime.sandbox.records import (
    Fence,
    Isolation,
    Limits,
    Outcome,
    ProgramOutput,
    TestJob,
    TestReport,
    TestResult,
)
from mar.runtime.sandbox.verdicts import how_it_ended, read_progress
from mar.runtime.sandbox.worker import Worker, WorkerLost

log = logging.getLogger(__name__)

_LOST = "the sandbox's own process was lost"


class Sandbox:
    """Runs untrusted programs and judges them by tests.

    Args:
        workers: How many jobs run at once; each has a warm template process (about 20 MiB).
        limits: Bounds of every job.
        isolation: `auto` uses namespaces where the machine allows them, else rlimits, and logs a warning that says why.
            Naming one insists on it.
        memo_path: SQLite file to keep verdicts in; None keeps them in memory only.
        memo_size: How many verdicts are kept in memory.
        at_once: Whether the templates start on entering, or with the first job: many who enter have no code to run.

    Raises:
        SandboxUnavailable: On entering, or with the first job, when no isolation (or not the one insisted on) works on
            this machine.
    """

    def __init__(
        self,
        *,
        workers: int = 2,
        limits: Limits | None = None,
        isolation: Literal["auto", "namespaces", "rlimits"] = "auto",
        memo_path: Path | None = None,
        memo_size: int = 4096,
        at_once: bool = True,
    ) -> None:
        self._workers = workers
        self._limits = limits or Limits()
        self._wanted: Literal["auto", "namespaces", "rlimits"] = isolation
        self._fence: Fence | None = None
        self._memo_path, self._memo_size = memo_path, memo_size
        self._memo = Memo(None, memo_size)
        self._idle: deque[Worker] = deque()
        self._slots = anyio.Semaphore(workers)
        self._under_way: dict[str, anyio.Event] = {}
        self._at_once, self._begun, self._beginning = at_once, False, anyio.Lock()

    @property
    def isolation(self) -> Isolation:
        """Which isolation is in force; known once the sandbox has been entered."""
        return self.fence.isolation

    @property
    def fence(self) -> Fence:
        """What is in force and what it does not hold; known once the sandbox has been entered."""
        if self._fence is None:
            raise RuntimeError("the sandbox has not been entered")
        return self._fence

    @property
    def limits(self) -> Limits:
        """Bounds of every job."""
        return self._limits

    async def __aenter__(self) -> Self:
        if self._at_once:
            await self._begin()
        return self

    async def _begin(self) -> None:
        """Start the workers, unless they run."""
        async with self._beginning:
            if not self._begun:
                await self._start_all()
                self._begun = True

    async def _start_all(self) -> None:
        first = await self._start_first()
        self._idle.append(first)
        try:
            self._memo = Memo(self._memo_path, self._memo_size)
            async with anyio.create_task_group() as group:
                for _ in range(self._workers - 1):
                    group.start_soon(self._add_worker)
        except BaseException:
            self._stop()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        self._begun = False
        while self._idle:
            self._idle.pop().stop()
        self._memo.close()

    async def _start_first(self) -> Worker:
        instead = ""
        try:
            worker = await Worker.start("rlimits" if self._wanted == "rlimits" else "namespaces")
        except SandboxUnavailable as error:
            if self._wanted != "auto":
                raise
            instead = str(error)
            worker = await Worker.start("rlimits")
            _say_once(f"generated code runs behind the weaker fence: {replace(worker.fence, instead=instead)}")
        self._fence = replace(worker.fence, instead=instead)
        return worker

    async def _add_worker(self) -> None:
        self._idle.append(await Worker.start(self.isolation))

    async def run_tests(self, job: TestJob) -> TestReport:
        """Judge a candidate by its tests. Identical jobs run once, also when they are asked for at the same time.

        Raises:
            SandboxUnavailable: A lost worker could not be replaced.
        """
        await self._begin()
        key = key_of(job, self._limits, self.isolation)
        while True:
            known = self._memo.get(key)
            if known is not None:
                await anyio.lowlevel.checkpoint()
                return known
            if key not in self._under_way:
                break
            # When whoever runs it is cancelled or fails, one of those waiting takes over.
            await self._under_way[key].wait()
        self._under_way[key] = anyio.Event()
        try:
            report = await self._judge(job)
            if not any(result.detail == _LOST for result in report.results):
                self._memo.put(key, report)
            return report
        finally:
            self._under_way.pop(key).set()

    async def run_program(self, code: str, stdin: str = "") -> ProgramOutput:
        """Run a whole program with the given standard input. Never memoised.

        Raises:
            SandboxUnavailable: A lost worker could not be replaced.
        """
        await self._begin()
        request = self._request("program", self._limits.wall_s)
        try:
            report, written = await self._exchange(request, (code, stdin))
        except WorkerLost:
            return ProgramOutput(outcome="crashed", stdout="", stderr=_LOST, wall_s=0.0, fence=self.fence)
        stdout, stderr = json.loads(written)
        outcome = _program_outcome(report, self._limits)
        return ProgramOutput(outcome=outcome, stdout=stdout, stderr=stderr, wall_s=report["wall_s"], fence=self.fence)

    async def _judge(self, job: TestJob) -> TestReport:
        code, tests = _texts(job)
        results: dict[int, TestResult] = {}
        start, spent_s = 0, 0.0
        while start < len(job.tests):
            request = self._request("tests", self._limits.wall_s - spent_s) | {"start": start}
            try:
                report, written = await self._exchange(request, (code, tests))
            except WorkerLost:
                _fill(results, job, start, "crashed", _LOST)
                break
            spent_s += report["wall_s"]
            progress = read_progress(written, report, job.tests, start, self._limits)
            results |= progress.results
            if progress.broken_at is None:
                break
            start = progress.broken_at
            if progress.loading or progress.outcome == "timeout" or spent_s >= self._limits.wall_s:
                where = " while loading" if progress.loading else ""
                _fill(results, job, start, progress.outcome, f"{progress.detail}{where}")
                break
            # The candidate ended in this test; the next ones get a fresh process.
            results[start] = TestResult(test=job.tests[start], outcome=progress.outcome, detail=progress.detail)
            start += 1
        ordered = tuple(results[number] for number in range(len(job.tests)))
        return TestReport(results=ordered, wall_s=spent_s, fence=self.fence)

    def _request(self, mode: Literal["tests", "program"], wall_s: float) -> dict[str, Any]:
        return {"mode": mode, **asdict(self._limits), "wall_s": wall_s}

    async def _exchange(self, request: dict[str, Any], texts: tuple[str, str]) -> tuple[dict[str, Any], str]:
        """One exchange with a worker, and a second one with a fresh worker if the first is lost."""
        try:
            async with self._worker() as worker:
                return await worker.exchange(request, texts)
        except WorkerLost:
            async with self._worker() as worker:
                return await worker.exchange(request, texts)

    @asynccontextmanager
    async def _worker(self) -> AsyncGenerator[Worker, None]:
        async with self._slots:
            worker = self._idle.popleft() if self._idle else await Worker.start(self.isolation)
            try:
                yield worker
            except BaseException:
                # Cancelled or lost in the middle of a job: its state is unknown, so the next job gets a fresh one.
                worker.stop()
                raise
            self._idle.append(worker)


@functools.cache
def _say_once(text: str) -> None:
    log.warning(text)


def _texts(job: TestJob) -> tuple[str, str]:
    code = {"code": job.code, "setup": "" if job.setup_after_code else job.setup}
    tests = {
        "tests": job.tests,
        "setup": job.setup,
        "setup_after_code": job.setup_after_code,
        "entry_points": job.entry_points,
    }
    return json.dumps(code), json.dumps(tests)


def _fill(results: dict[int, TestResult], job: TestJob, start: int, outcome: Outcome, detail: str) -> None:
    """Give the test at `start` and all after it the same outcome."""
    for number in range(start, len(job.tests)):
        skipped = detail if number == start or "loading" in detail or detail == _LOST else f"not run: {detail} before"
        results[number] = TestResult(test=job.tests[number], outcome=outcome, detail=skipped)


def _program_outcome(report: dict[str, Any], limits: Limits) -> Outcome:
    status = report["candidate"]
    if status == 0:
        return "passed"
    outcome, _ = how_it_ended(report, limits)
    return "error" if outcome == "crashed" and status is not None and status > 0 else outcome
