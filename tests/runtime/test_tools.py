"""What tools report."""

from __future__ import annotations

import threading

import anyio
import pytest

from mar import clock
from mar.errors import ConfigError, SandboxUnavailable
from mar.runtime import CHECKS, Tools
from mar.runtime.sandbox import Fence, ProgramOutput
from mar.runtime.tools import ToolReport, collect_hints
from mar.types import PlainText, Query, ShownTests
from tests.runtime.episodes import JudgeByWord

GOOD, BAD = "```python\ngood = 1\n```", "```python\nbad = 1\n```"
ASK = Query(
    text="?", shown_tests=ShownTests(setup="import math", tests=("assert good", "assert 1"), setup_after_code=True)
)


class Programs:
    def __init__(self, outcome="passed", stdout="", stderr=""):
        fence = Fence(isolation="namespaces")
        self.output = ProgramOutput(outcome=outcome, stdout=stdout, stderr=stderr, wall_s=0.0, fence=fence)

    async def run_program(self, code):
        return self.output


class Down:
    async def run_tests(self, job):
        raise SandboxUnavailable("no namespaces")

    async def run_program(self, code):
        raise SandboxUnavailable("no namespaces")


def use(call, sandbox, **charges):
    async def main():
        report = await call(Tools(sandbox=sandbox, **charges))
        return report, anyio.current_time()

    return clock.run(main, virtual=True)


def test_shown_tests_are_run_as_the_query_gives_them():
    judge = JudgeByWord()
    report, _ = use(lambda t: t.run_tests(GOOD, ASK), judge)
    assert (report.ok, report.feedback, report.failure) == (True, "passed", None)
    (job,) = judge.jobs
    assert (job.code, job.tests, job.setup, job.setup_after_code) == (
        "good = 1",
        ("assert good", "assert 1"),
        "import math",
        True,
    )


def test_a_failing_report_names_each_failing_test():
    report, _ = use(lambda t: t.run_tests(BAD, ASK), JudgeByWord())
    assert (report.ok, report.feedback) == (False, "failed")
    assert report.text == ("The code fails shown tests:\nassert good\n  failed: as told\nassert 1\n  failed: as told")
    assert report.summary == "The code fails shown tests:"


@pytest.mark.parametrize(("text", "query"), [("prose", ASK), (GOOD, Query(text="?"))])
def test_without_code_or_without_tests_nothing_is_run_or_said(text, query):
    judge = JudgeByWord()
    assert use(lambda t: t.run_tests(text, query), judge) == (None, 0.0)
    assert judge.jobs == []


@pytest.mark.parametrize(
    ("program", "text", "ok"),
    [
        (Programs(stdout="42\n"), "The code runs and prints: 42", True),
        (Programs(), "The code runs and prints: (nothing)", True),
        (Programs("error", stderr="Traceback\nValueError: x\n"), "The code does not run: error. ValueError: x", False),
        (Programs("timeout"), "The code does not run: timeout.", False),
    ],
)
def test_a_program_is_reported_by_what_it_prints(program, text, ok):
    report, _ = use(lambda t: t.run_code(GOOD), program)
    assert (report.text, report.ok, report.feedback) == (text, ok, "")  # running is not passing
    assert use(lambda t: t.run_code("prose"), program)[0] is None


@pytest.mark.parametrize(("sandbox", "reason"), [(None, "this run has no sandbox"), (Down(), "no namespaces")])
def test_a_sandbox_that_is_not_there_is_a_failure_and_no_verdict(sandbox, reason):
    for call in (lambda t: t.run_tests(GOOD, ASK), lambda t: t.run_code(GOOD)):
        report, _ = use(call, sandbox)
        assert (report.ok, report.feedback, report.failure.kind, report.failure.reason) == (
            False,
            "",
            "sandbox",
            reason,
        )


def test_each_use_is_charged_its_virtual_time():
    assert use(lambda t: t.run_tests(GOOD, ASK), JudgeByWord(), sandbox_charge_s=0.2)[1] == pytest.approx(0.2, abs=1e-9)
    assert use(lambda t: t.run_code(GOOD), Programs(), sandbox_charge_s=0.3)[1] == pytest.approx(0.3, abs=1e-9)
    assert use(lambda t: t.look_up("x"), None, lookup_charge_s=0.7)[1] == pytest.approx(0.7, abs=1e-9)


def test_hints_are_distinct_readable_and_short():
    assert collect_hints(["7", " ", "8", "7 "], PlainText()) == "7, 8"
    assert collect_hints(["x" * 999], PlainText()) == "x" * 200


def test_a_summary_is_one_line_of_200_characters_at_the_most():
    assert ToolReport(text="a\nb", ok=True).summary == "a"
    assert len(ToolReport(text="a" * 999, ok=True).summary) == 200


@pytest.mark.parametrize("virtual", [True, False])
def test_a_check_of_ones_own_is_called_in_a_thread_and_its_report_taken(registries, virtual):
    threads = []

    def long_enough(text, query):
        threads.append(threading.current_thread())
        return ToolReport(text=f"{len(text)} of {len(query.text)}", ok=True, feedback="passed")

    CHECKS.register("length", long_enough)
    report = clock.run(lambda: Tools().check("length", "abc", Query(text="?")), virtual=virtual)
    assert report == ToolReport(text="3 of 1", ok=True, feedback="passed")
    assert threads != [threading.main_thread()]


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        (lambda text, query: 1 / 0, "check own: ZeroDivisionError: division by zero"),
        (lambda text, query: "fine", "check own: it gave 'fine'; expected a ToolReport or None"),
    ],
)
def test_a_check_that_fails_is_a_recorded_failure(registries, check, reason):
    CHECKS.register("own", check)
    report = clock.run(lambda: Tools().check("own", "abc", Query(text="?")), virtual=True)
    assert (report.ok, report.failure.kind, report.failure.reason) == (False, "check", reason)


def test_a_check_that_there_is_not_is_named():
    with pytest.raises(ConfigError, match="unknown check 'cites'"):
        clock.run(lambda: Tools().check("cites", "abc", Query(text="?")), virtual=True)
