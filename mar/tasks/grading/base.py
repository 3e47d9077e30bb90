"""What graders grade, and what a grader is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mar.pool.simulated import AnswerForm
from mar.runtime.sandbox import Sandbox, TestJob
from mar.tasks.scoring.programs import entry_points
from mar.tasks.sources import Located
from mar.tasks.task import Score, Split
from mar.types import AnswerFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomItem:
    """One row of one's own task, gold included."""

    id: str
    split: Split
    question: str
    gold: str  # the right answer as the grader compares it: text, letter, number or program
    options: tuple[str, ...] = ()  # of a question with options
    tests: tuple[str, ...] = ()  # assertions that a program has to pass

    def job(self, code: str) -> TestJob:
        """The tests of this item on a program."""
        return TestJob(code=code, tests=self.tests, entry_points=entry_points(self.gold, self.tests))


class Grader(Protocol):
    """Says what an answer is worth."""

    @property
    def form(self) -> AnswerForm:
        """How a simulated model writes an answer."""
        ...

    @property
    def notes(self) -> Mapping[str, str]:
        """What every table made with it must say."""
        ...

    def read_gold(self, value: str, at: Located, options: Sequence[str]) -> str:
        """The right answer of a row in the form that is compared.

        Raises:
            DataError: It cannot be one.
        """
        ...

    def answer_format(self, item: CustomItem) -> AnswerFormat:
        """How answers look."""
        ...

    def wrong(self, item: CustomItem, golds: Sequence[str]) -> tuple[str, ...]:
        """Plausible wrong answers for a simulated pool, given the right ones of all items."""
        ...

    async def grade(self, item: CustomItem, answer: str, sandbox: Sandbox) -> Score:
        """Judge an extracted answer."""
        ...
