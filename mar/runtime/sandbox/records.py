"""What goes into the sandbox and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Isolation = Literal["namespaces", "rlimits"]
Outcome = Literal["passed", "failed", "error", "timeout", "memory", "crashed", "unsupported"]
"""How a test or program went.

* `passed`: the test ran to its end; the program exited with status 0.
* `failed`: an `AssertionError` ended the test. Never the outcome of a program.
* `error`: any other exception ended it (also `SystemExit`, a syntax error, a name that is not defined); the program
  exited with another status.
* `timeout`: the wall clock or the processor time ran out, during this test or before it could run.
* `memory`: a `MemoryError` ended it.
* `crashed`: the candidate's process ended (a signal, `os._exit`) or no longer spoke the protocol.
* `unsupported`: the test needs a value or comparison that cannot be carried or judged soundly. This says nothing about
  the candidate, except that it has not passed.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """What stood between the code and the machine.

    Attributes:
        isolation: The kind of fence.
        gaps: What it does not hold on this machine, a phrase each; empty where nothing is known to get through.
        instead: Why it is not the stronger kind, which was tried first; empty if it is, or was not to be tried.
    """

    isolation: Isolation
    gaps: tuple[str, ...] = ()
    instead: str = ""

    def __str__(self) -> str:
        fallen_back = f", since there is {self.instead}" if self.instead else ""
        return self.isolation + fallen_back + "".join(f"; not held: {gap}" for gap in self.gaps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one job.

    Attributes:
        wall_s: Seconds of wall clock for the whole job, all tests together.
        cpu_s: Seconds of processor time per process, rounded up to whole ones.
        memory_mb: Address space of each process beyond what the warm template takes (about 100 MiB).
        output_bytes: Kept of each of stdout and stderr of a program, half from the start and half from the end; what
            lies between is read and dropped.
        scratch_mb: Size of the scratch directory (without namespaces: of each file), in MiB.
        processes: Processes and threads of the candidate at once. Without namespaces always 1.
    """

    wall_s: float = 3.0
    cpu_s: float = 3.0
    memory_mb: int = 512
    output_bytes: int = 16_384
    scratch_mb: int = 16
    processes: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TestJob:
    """A candidate and the tests it has to pass.

    Attributes:
        code: The candidate's program text, a module.
        tests: Program texts, each a test: it passes when it runs to its end. Each sees names of its own.
        setup: Text that the tests need. Before the code, it runs on both sides, so that the code may use it too.
        setup_after_code: Run the setup on the judge's side only, after the code, whose names it may use.
        entry_points: Names the tests are about. Needed only if one is a builtin's name and the tests also mention
            other names that the code defines; HumanEval and MBPP do without.
    """

    __test__ = False  # no test class for pytest

    code: str
    tests: tuple[str, ...]
    setup: str = ""
    setup_after_code: bool = False
    entry_points: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """What became of one test.

    Attributes:
        test: The test's text.
        outcome: See `Outcome`.
        detail: One line on why it did not pass, at most 300 characters; it may quote the candidate.
    """

    __test__ = False

    test: str
    outcome: Outcome
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TestReport:
    """What became of a job, one result per test in their order.

    Attributes:
        results: One per test.
        wall_s: Seconds the job took in the sandbox.
        fence: What the job was held by.
        memoised: The verdict is that of an earlier, identical job. For a timeout this matters: it was not tried again.
    """

    __test__ = False

    results: tuple[TestResult, ...]
    wall_s: float
    fence: Fence
    memoised: bool = False

    @property
    def passed(self) -> bool:
        """Whether there are tests and every one passed."""
        return bool(self.results) and self.n_passed == len(self.results)

    @property
    def n_passed(self) -> int:
        """How many tests passed."""
        return self.count("passed")

    def count(self, outcome: Outcome) -> int:
        """How many tests had this outcome."""
        return sum(result.outcome == outcome for result in self.results)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramOutput:
    """What a program did.

    Attributes:
        outcome: See `Outcome`; never `failed` or `unsupported`.
        stdout: What it printed, capped.
        stderr: The same for the error stream; an uncaught exception's traceback is at its end.
        wall_s: Seconds it took.
        fence: What it was held by.
    """

    outcome: Outcome
    stdout: str
    stderr: str
    wall_s: float
    fence: Fence
