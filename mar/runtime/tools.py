"""What is done with messages apart from calling a model: code is run, shown tests are run, things are looked up."""

from __future__ import annotations

from dataclasses import dataclass, field

from mar.clock import real_work
from mar.errors import LookupUnavailable, OutsideError
from mar.runtime.code import extract_code
from mar.runtime.lookup import Lookup, NoLookup
from mar.runtime.sandbox import Sandbox, TestJob
from mar.types import AnswerFormat, Failure, Feedback, Query


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolReport:
    """What a tool found out about one message."""

    text: str  # for the prompt
    ok: bool
    feedback: Feedback = ""
    failure: Failure | None = None  # why the tool itself could not do its work

    @property
    def summary(self) -> str:
        """The first line, for the trace."""
        return self.text.partition("\n")[0][:200]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """The tools of a run. Real work on virtual time: each use is charged a fixed virtual duration."""

    sandbox: Sandbox | None = None  # None: code is never run, and every attempt is a recorded Failure
    lookup: Lookup = field(default_factory=NoLookup)
    sandbox_charge_s: float = 0.05
    lookup_charge_s: float = 0.5

    async def run_tests(self, text: str, query: Query) -> ToolReport | None:
        """Run the tests that the query shows on the code in a message; None when there is no test or no code."""
        # The query's format knows more of what is asked than the text shows, such as the head of a mere body.
        answer = query.answer_format.extract(text)
        code = extract_code(answer or "") or extract_code(text)
        if code is None or not query.shown_tests.tests:
            return None
        if self.sandbox is None:
            return _no_sandbox()
        shown = query.shown_tests
        job = TestJob(code=code, tests=shown.tests, setup=shown.setup, setup_after_code=shown.setup_after_code)
        sandbox = self.sandbox
        try:
            report = await real_work(lambda: sandbox.run_tests(job), charge_s=self.sandbox_charge_s)
        except OutsideError as error:
            return ToolReport(text="The tests could not be run.", ok=False, failure=_sandbox_failure(error))
        if report.passed:
            return ToolReport(text="The code passes the shown tests.", ok=True, feedback="passed")
        lines = [f"{r.test}\n  {r.outcome}: {r.detail}" for r in report.results if r.outcome != "passed"]
        return ToolReport(text="The code fails shown tests:\n" + "\n".join(lines), ok=False, feedback="failed")

    async def run_code(self, text: str) -> ToolReport | None:
        """Run the program in a message and report what it prints; None when there is no code."""
        code = extract_code(text)
        if code is None:
            return None
        if self.sandbox is None:
            return _no_sandbox()
        sandbox = self.sandbox
        try:
            output = await real_work(lambda: sandbox.run_program(code), charge_s=self.sandbox_charge_s)
        except OutsideError as error:
            return ToolReport(text="The code could not be run.", ok=False, failure=_sandbox_failure(error))
        if output.outcome == "passed":
            printed = output.stdout.strip()[:2000]
            return ToolReport(text=f"The code runs and prints: {printed or '(nothing)'}", ok=True)
        detail = (output.stderr.strip().splitlines() or [""])[-1][:300]
        return ToolReport(text=f"The code does not run: {output.outcome}. {detail}".strip(), ok=False)

    async def look_up(self, words: str) -> ToolReport:
        """Ask the reference."""
        try:
            found = await real_work(lambda: self.lookup.search(words), charge_s=self.lookup_charge_s)
        except LookupUnavailable as error:
            failure = Failure(kind="lookup", reason=str(error))
            return ToolReport(text="Nothing could be looked up.", ok=False, failure=failure)
        return ToolReport(text=f"The reference says:\n{found}", ok=True)


def collect_hints(texts: list[str], form: AnswerFormat) -> str:
    """The answers that others propose, without repetition, in order."""
    answers: list[str] = []
    for text in texts:
        answer = form.extract(text)
        if answer is not None and not any(form.equivalent(answer, a) for a in answers):
            answers.append(answer)
    return ", ".join(a[:200] for a in answers)


def _sandbox_failure(error: Exception) -> Failure:
    return Failure(kind="sandbox", reason=str(error))


def _no_sandbox() -> ToolReport:
    failure = Failure(kind="sandbox", reason="this run has no sandbox")
    return ToolReport(text="The code could not be run.", ok=False, failure=failure)
