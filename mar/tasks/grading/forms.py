"""Letters, numbers and programs: what can be checked without anybody's judgement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from mar.errors import DataError
from mar.pool.simulated import AnswerForm
from mar.runtime.code import parses
from mar.runtime.sandbox import Sandbox
from mar.tasks.grading.base import CustomItem
from mar.tasks.options import letter_of
from mar.tasks.scoring.choices import LETTERS
from mar.tasks.scoring.formats import Choice, Number, no_answer, scored
from mar.tasks.scoring.numbers import plain, read_number
from mar.tasks.scoring.programs import PythonFunction, asked_names, judged
from mar.tasks.sources import Located
from mar.tasks.splits import shuffled
from mar.tasks.task import Score
from mar.types import AnswerFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """The letter of an option."""

    form: AnswerForm = "choice"

    @property
    def notes(self) -> Mapping[str, str]:
        """The metric."""
        return {"metric": "right letter"}

    def read_gold(self, value: str, at: Located, options: Sequence[str]) -> str:
        """A letter, or a position from 0."""
        return letter_of(value, LETTERS[: len(options)], at)

    def answer_format(self, item: CustomItem) -> AnswerFormat:
        """One letter."""
        return Choice(options=item.options)

    def wrong(self, item: CustomItem, golds: Sequence[str]) -> tuple[str, ...]:
        """The other letters."""
        return tuple(shuffled(set(LETTERS[: max(2, len(item.options))]) - {item.gold}, item.id))

    async def grade(self, item: CustomItem, answer: str, sandbox: Sandbox) -> Score:
        """Compare the letters."""
        return scored(answer == item.gold)


@dataclass(frozen=True, slots=True, kw_only=True)
class Numeric:
    """The same number."""

    tolerance: float  # relative
    form: AnswerForm = "number"

    @property
    def notes(self) -> Mapping[str, str]:
        """The metric."""
        return {"metric": f"number within {self.tolerance:g} of its size"}

    def read_gold(self, value: str, at: Located, options: Sequence[str]) -> str:
        """A number, with or without a unit."""
        number = read_number(value)
        if number is None:
            raise DataError(f"{at.where}: the answer is {value!r}; expected a number")
        return plain(number)

    def answer_format(self, item: CustomItem) -> AnswerFormat:
        """One number."""
        return Number()

    def wrong(self, item: CustomItem, golds: Sequence[str]) -> tuple[str, ...]:
        """Slips: the double, one too many, one too few, ten times as much."""
        gold = _number(item.gold)
        slips = dict.fromkeys((gold * 2, gold + 1, gold - 1, gold * 10))
        return tuple(plain(s) for s in slips if not self._same(s, gold))

    async def grade(self, item: CustomItem, answer: str, sandbox: Sandbox) -> Score:
        """Compare the numbers."""
        number = read_number(answer)
        return no_answer("number") if number is None else scored(self._same(number, _number(item.gold)))

    def _same(self, a: Fraction, b: Fraction) -> bool:
        return abs(a - b) <= Fraction(self.tolerance) * max(abs(a), abs(b))


def _number(gold: str) -> Fraction:
    value = read_number(gold)
    assert value is not None
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeTests:
    """A program that passes the row's tests; the row's answer is a reference solution."""

    form: AnswerForm = "code"

    @property
    def notes(self) -> Mapping[str, str]:
        """The metric."""
        return {"metric": "all tests pass"}

    def read_gold(self, value: str, at: Located, options: Sequence[str]) -> str:
        """A Python program."""
        if not parses(value):
            raise DataError(f"{at.where}: the answer is no Python program; expected a reference solution")
        return value

    def answer_format(self, item: CustomItem) -> AnswerFormat:
        """A Python function."""
        return PythonFunction(names=asked_names(item.tests[:1]))

    def wrong(self, item: CustomItem, golds: Sequence[str]) -> tuple[str, ...]:
        """None: wrong programs are made by edits that the tests catch, see `mar.tasks.wrong_code`."""
        return ()

    async def grade(self, item: CustomItem, answer: str, sandbox: Sandbox) -> Score:
        """Run the tests."""
        return judged(await sandbox.run_tests(item.job(answer)))
