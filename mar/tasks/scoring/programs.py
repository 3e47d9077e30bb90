"""Answers that are programs: read from the text, judged by tests in the sandbox."""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mar.runtime.code import extract_code, same_code
from mar.runtime.code_names import bound, is_definition, parse
from mar.runtime.sandbox import TestReport
from mar.tasks.task import Score
from mar.types import Failure


@dataclass(frozen=True, slots=True)
class PythonFunction:
    """The answer format of tasks that ask for a Python function."""

    final_role: str = "MBPP"
    instruction: str = (
        "Answer with one fenced Python code block that holds the complete function, named as the tests call it, "
        "with every import it needs, and nothing that runs when it is loaded."
    )
    names: tuple[str, ...] = ()  # what the program is asked to define, as far as the query tells
    choices: None = None
    prompt: str = ""  # the head of the function that an answer may be the body of

    def extract(self, text: str) -> str | None:
        """The program in the text."""
        return _extracted(text, self.names, self.prompt)

    def equivalent(self, a: str, b: str) -> bool:
        """The same program up to formatting and comments."""
        return same_code(a, b)


@lru_cache(maxsize=256)  # whoever watches an episode reads its messages again at every step
def _extracted(text: str, names: tuple[str, ...], prompt: str) -> str | None:
    return extract_code(text, names=names, prompt=prompt)


def asked_names(tests: Sequence[str]) -> tuple[str, ...]:
    """What some tests call that is neither a builtin's nor a standard module's: what a program is asked to define."""
    calls = (n for test in tests for n in _nodes(test) if isinstance(n, ast.Call))
    names = dict.fromkeys(c.func.id for c in calls if isinstance(c.func, ast.Name))
    return tuple(n for n in names if not hasattr(builtins, n) and n not in sys.stdlib_module_names)


def entry_points(reference: str, tests: Sequence[str]) -> tuple[str, ...]:
    """The names that tests use and a reference solution defines: there a builtin's name means the answer's."""
    defined = set[str]().union(*(bound(s) for s in getattr(parse(reference), "body", []) if is_definition(s)))
    used = {n.id for test in tests for n in _nodes(test) if isinstance(n, ast.Name)}
    return tuple(sorted(defined & used))


def _nodes(test: str) -> Iterator[ast.AST]:
    tree = parse(test)
    return iter(()) if tree is None else ast.walk(tree)


def judged(report: TestReport) -> Score:
    """What a program is worth that went through its tests: 1 when it passed all of them."""
    wrong = next((r for r in report.results if r.outcome != "passed"), None)
    if wrong is None:
        return Score(value=1.0, solved=True)
    failure = None
    if wrong.outcome == "unsupported":
        failure = Failure(kind="sandbox", reason=f"the verdict is open: {wrong.detail}")
    return Score(value=0.0, solved=False, feedback=f"{wrong.outcome}: {wrong.detail}", failure=failure)
