"""What is done with messages apart from calling a model: code is run, shown tests are run, things are looked up.

That is what roles have done before and after their calls; tools that models call are in `mar.runtime.toolkit`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio.to_thread

from mar.clock import real_work
from mar.errors import LookupUnavailable, OutsideError
from mar.extensions import Registry
from mar.runtime.code import extract_code
from mar.runtime.lookup import Lookup, NoLookup
from mar.runtime.sandbox import Sandbox, TestJob
from mar.runtime.toolkit.builtin import builtin_tools
from mar.runtime.toolkit.kit import Toolkit
from mar.runtime.toolkit.records import Tool, ToolReport
from mar.types import AnswerFormat, Failure, Query

Check = Callable[[str, Query], ToolReport | None]
"""A check of one's own: what it finds out about a message, None: nothing. It is called in a thread."""
OUR_CHECKS = ("run_code", "run_tests", "lookup")
CHECKS = Registry[Check](
    "check",
    group="mar.checks",
    fits=callable,
    expected="a function of a text and a mar.Query that gives a mar.runtime.ToolReport or None",
)


def check_names() -> tuple[str, ...]:
    """Names of all checks, ours first."""
    return (*OUR_CHECKS, *CHECKS.names())


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """The tools of a run. Real work on virtual time: each use is charged a fixed virtual duration."""

    sandbox: Sandbox | None = None  # None: code is never run, and every attempt is a recorded Failure
    lookup: Lookup = field(default_factory=NoLookup)
    kit: Toolkit = field(default_factory=Toolkit)  # what roles may name beside mar's own
    sandbox_charge_s: float = 0.05
    lookup_charge_s: float = 0.5

    def offered(self, names: Sequence[str]) -> Mapping[str, Tool]:
        """The tools that a role names, by what models call them; those that can be used now."""
        if not names:
            return {}
        charges = {"sandbox_charge_s": self.sandbox_charge_s, "lookup_charge_s": self.lookup_charge_s}
        return self.kit.offered(names, builtin_tools(self.sandbox, self.lookup, **charges))

    async def check(self, name: str, text: str, query: Query) -> ToolReport | None:
        """What the check of that name finds out about a message; None: it does not apply.

        Raises:
            ConfigError: There is no such check.
        """
        match name:
            case "run_tests":
                return await self.run_tests(text, query)
            case "run_code":
                return await self.run_code(text)
            case "lookup":
                return await self.look_up(_search_words(text))
            case _:
                return await self._own(name, text, query)

    async def _own(self, name: str, text: str, query: Query) -> ToolReport | None:
        check = CHECKS.find(name)
        try:
            found: Any = await real_work(
                lambda: anyio.to_thread.run_sync(check, text, query), charge_s=self.sandbox_charge_s
            )
        except Exception as error:  # whatever a function of the user's raises
            return _failed_check(name, f"{type(error).__name__}: {error}")
        if found is None or isinstance(found, ToolReport):
            return found
        return _failed_check(name, f"it gave {found!r:.80}; expected a ToolReport or None")

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


def _search_words(text: str) -> str:
    """The key words on the line `Search: ...` that look-up roles write, else the last line."""
    lines = [line.strip() for line in text.strip().splitlines()] or [""]
    asked = next((line[7:] for line in reversed(lines) if line.lower().startswith("search:")), lines[-1])
    return asked.strip()


def _failed_check(name: str, why: str) -> ToolReport:
    failure = Failure(kind="check", reason=f"check {name}: {why}")
    return ToolReport(text="The check could not be made.", ok=False, failure=failure)


def _sandbox_failure(error: Exception) -> Failure:
    return Failure(kind="sandbox", reason=str(error))


def _no_sandbox() -> ToolReport:
    failure = Failure(kind="sandbox", reason="this run has no sandbox")
    return ToolReport(text="The code could not be run.", ok=False, failure=failure)
