"""Reads what judge and template reported into results per test."""

from __future__ import annotations

import json
import math
import signal
from dataclasses import dataclass
from typing import Any

from mar.runtime.sandbox.records import Limits, Outcome, TestResult

_EXIT_MEMORY = 77


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far one pair of judge and candidate came.

    Attributes:
        results: Verdicts by number of the test.
        broken_at: The test during which the pair ended; None if it did not end early.
        loading: The pair ended before the first test began.
        outcome: What to say of the test at `broken_at`.
        detail: Why.
    """

    results: dict[int, TestResult]
    broken_at: int | None
    loading: bool
    outcome: Outcome
    detail: str


def read_progress(written: str, report: dict[str, Any], tests: tuple[str, ...], start: int, limits: Limits) -> Progress:
    """Make sense of the judge's lines and of how the processes ended."""
    results: dict[int, TestResult] = {}
    loading = True
    for line in written.splitlines():
        record = json.loads(line)
        if record.get("stage") == "test":
            loading = False
        if "outcome" in record:
            number = int(record["number"])
            results[number] = TestResult(test=tests[number], outcome=record["outcome"], detail=record["detail"])
    broken = next((number for number in range(start, len(tests)) if number not in results), None)
    outcome, detail = how_it_ended(report, limits)
    return Progress(results=results, broken_at=broken, loading=loading, outcome=outcome, detail=detail)


def how_it_ended(report: dict[str, Any], limits: Limits) -> tuple[Outcome, str]:
    """The outcome of a candidate or program whose process did not end as it should."""
    status = report["candidate"]
    if report["overfull"]:
        return "crashed", f"more than {limits.scratch_mb} MiB, or too many files, in its scratch folder"
    if report["timed_out"]:
        return "timeout", f"more than {limits.wall_s:g} s"
    cpu_s = max(1, math.ceil(limits.cpu_s))
    killed = (-signal.SIGKILL, -signal.SIGXCPU)
    if status in killed and report["candidate_cpu_s"] > cpu_s - 0.5:
        return "timeout", f"more than {cpu_s} s of processor time"
    if status == _EXIT_MEMORY:
        return "memory", f"more than {limits.memory_mb} MiB"
    if report.get("judge") == "":
        return "crashed", "the judge's process ended"
    if status is None:
        return "crashed", "the candidate's process closed its channel or spoke no sense"
    if status < 0:
        return "crashed", f"the process was ended by {_name(-status)}"
    return "crashed", f"the process ended itself with status {status}"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most of the real-time signals have none
        return f"signal {number}"
