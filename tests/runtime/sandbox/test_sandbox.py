"""The pool: programs, memo, cancellation, lost workers, isolation."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import anyio
import pytest

from mar.runtime.sandbox import Limits, Sandbox, TestJob
from mar.runtime.sandbox.memo import key_of

pytestmark = pytest.mark.anyio
SLOW = TestJob(code="import time\ndef f():\n    time.sleep(0.3)\n    return 1\n", tests=("assert f() == 1",))
QUICK = TestJob(code="def f(): return 1", tests=("assert f() == 1",))


async def test_a_program_gets_stdin_and_its_output_is_kept() -> None:
    async with Sandbox(workers=1, limits=Limits(output_bytes=100, wall_s=2)) as sandbox:
        echo = await sandbox.run_program("print(input()[::-1])\nimport sys\nprint('e', file=sys.stderr)", stdin="abc\n")
        assert (echo.outcome, echo.stdout, echo.stderr) == ("passed", "cba\n", "e\n")
        main = await sandbox.run_program("if __name__ == '__main__':\n    print('ran')")
        assert main.stdout == "ran\n"
        broken = await sandbox.run_program("x = 1\nx / 0\n")
        assert broken.outcome == "error"
        assert broken.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"
        assert "inside" not in broken.stderr
        flood = await sandbox.run_program("for _ in range(100_000): print('x' * 50)")
        assert flood.outcome == "passed"
        assert flood.stdout.startswith("x" * 50)
        assert flood.stdout.endswith("x" * 48 + "\n")
        assert "[5099900 bytes cut out]" in flood.stdout  # 100,000 lines of 51 bytes, less 100


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("raise SystemExit", "passed"),
        ("import sys; sys.exit(3)", "error"),
        ("exit('no')", "error"),
        ("def f(:", "error"),
        ("while True: pass", "timeout"),
        ("x = bytearray(1 << 40)", "memory"),  # at once: on a busy machine time would end before memory that grows
        ("import os; os.abort()", "crashed"),
        ("import threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=True).start()", "passed"),
    ],
)
async def test_the_outcome_of_a_program(code: str, outcome: str) -> None:
    async with Sandbox(workers=1, limits=Limits(wall_s=1)) as sandbox:
        if "threading" in code and sandbox.isolation == "rlimits":
            pytest.skip("no threads without namespaces")
        output = await sandbox.run_program(code)
    assert output.outcome == outcome, output


async def test_sets_are_ordered_alike_in_every_sandbox() -> None:
    # With hashes drawn by chance, two sandboxes would agree on the order of 12 names once in 479 million times.
    said: set[str] = set()
    for _ in range(2):
        async with Sandbox(workers=1) as sandbox:
            report = await sandbox.run_program("print(*{name for name in 'abcdefghijkl'})")
            said.add(report.stdout)
    assert len(said) == 1


async def test_a_large_input_and_a_large_program_cross() -> None:
    async with Sandbox(workers=1) as sandbox:
        program = "import sys\nprint(len(sys.stdin.read()))\n#" + "x" * 1_000_000
        assert (await sandbox.run_program(program, stdin="y" * 3_000_000)).stdout == "3000000\n"


async def test_identical_jobs_run_once_and_verdicts_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "memo" / "verdicts.sqlite"
    async with Sandbox(workers=2, memo_path=path) as sandbox:
        reports = []

        async def ask() -> None:
            reports.append(await sandbox.run_tests(SLOW))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(ask)
        assert sorted(report.memoised for report in reports) == [False, True, True, True, True]
    async with Sandbox(workers=1, memo_path=path) as sandbox:
        again = await sandbox.run_tests(SLOW)
        assert again.memoised
        assert again.passed


async def test_a_timeout_is_kept_and_says_so() -> None:
    job = TestJob(code="while True: pass", tests=("assert 1",))
    async with Sandbox(workers=1, limits=Limits(wall_s=0.2)) as sandbox:
        first, second = await sandbox.run_tests(job), await sandbox.run_tests(job)
    assert (first.memoised, second.memoised) == (False, True)
    assert first.results == second.results


def test_a_key_depends_on_everything_a_verdict_depends_on() -> None:
    jobs = [QUICK, SLOW, TestJob(code=QUICK.code, tests=QUICK.tests, setup="x = 1")]
    keys = {key_of(job, limits, "rlimits") for job in jobs for limits in (Limits(), Limits(wall_s=9))}
    assert len(keys | {key_of(QUICK, Limits(), "namespaces")}) == 7


async def test_cancelling_lets_go_at_once_and_harms_nobody() -> None:
    async with Sandbox(workers=1) as sandbox:
        with anyio.move_on_after(0.05) as scope:
            await sandbox.run_tests(TestJob(code="import time; time.sleep(60)", tests=("assert 1",)))
        assert scope.cancelled_caught
        assert (await sandbox.run_tests(QUICK)).passed


async def test_a_waiting_twin_takes_over_when_the_first_is_cancelled() -> None:
    async with Sandbox(workers=1) as sandbox, anyio.create_task_group() as group:
        first = anyio.CancelScope()

        async def cancelled_one() -> None:
            with first:
                await sandbox.run_tests(SLOW)

        group.start_soon(cancelled_one)
        await anyio.wait_all_tasks_blocked()

        async def cancel() -> None:
            first.cancel()

        group.start_soon(cancel)
        report = await sandbox.run_tests(SLOW)
        assert report.passed
        assert not report.memoised


async def test_a_lost_worker_is_replaced() -> None:
    async with Sandbox(workers=1) as sandbox:
        assert (await sandbox.run_tests(QUICK)).passed
        (worker,) = sandbox._idle  # pyright: ignore[reportPrivateUsage]
        os.kill(worker._process.pid, signal.SIGKILL)  # pyright: ignore[reportPrivateUsage]
        job = TestJob(code=QUICK.code, tests=(*QUICK.tests, "assert f()"))
        assert (await sandbox.run_tests(job)).passed


async def test_without_namespaces_the_weaker_isolation_says_so() -> None:
    async with Sandbox(workers=1, isolation="rlimits") as sandbox:
        assert sandbox.isolation == "rlimits"
        assert (await sandbox.run_tests(QUICK)).passed
        late = await sandbox.run_program("import sched, wsgiref.util; print(open('f', 'w').write('abc'))")
        assert (late.outcome, late.stdout) == ("passed", "3\n")


async def test_nothing_of_the_caller_is_visible(monkeypatch: pytest.MonkeyPatch, namespaces_work: bool) -> None:
    if not namespaces_work:
        pytest.skip("this machine forbids unprivileged namespaces")
    monkeypatch.setenv("MAR_SECRET", "1")
    look = """
import os, socket
print(sorted(os.environ), os.getcwd(), os.listdir(), os.getpid(), os.path.exists("/proc/self"), os.path.exists("/home"))
open_fds = []
for fd in range(64):
    try:
        os.fstat(fd)
        open_fds.append(fd)
    except OSError:
        pass
print(open_fds, socket.gethostname(), os.path.exists("/etc/passwd"))
"""
    async with Sandbox(workers=1, isolation="namespaces") as sandbox:
        output = await sandbox.run_program(look)
    lines = output.stdout.splitlines()
    assert lines[0] == "['LC_ALL', 'PYTHONHASHSEED', 'TZ'] /scratch [] 1 False False", output
    assert lines[1] == "[0, 1, 2] sandbox False"
