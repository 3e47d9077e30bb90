"""Short texts: compared as they are, or by nobody."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mar.errors import DataError
from mar.pool.simulated import AnswerForm
from mar.runtime.sandbox import Sandbox
from mar.tasks.grading.base import CustomItem
from mar.tasks.scoring.formats import Choice, scored
from mar.tasks.sources import Located
from mar.tasks.splits import shuffled
from mar.tasks.task import Score
from mar.types import AnswerFormat, Failure

WRONG = 4  # wrong answers per item for the simulated pool

_ANSWER_IS = re.compile(r"\banswer\b\s*(?:is\b|:)\s*:?\s*([^\n]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ShortText:
    """The answer is a word or a few, stated at the end."""

    final_role: str = "Plain"
    instruction: str = (
        'End with one line that reads "The answer is X", where X is the answer alone, as short as possible.'
    )
    choices: int = 0

    def extract(self, text: str) -> str | None:
        """What the last phrase "the answer is" names, else the last line."""
        found = _ANSWER_IS.findall(text)
        lines = [line for line in text.splitlines() if line.strip()]
        said: str = found[-1] if found else lines[-1] if lines else ""
        return said.strip(" \t*_`\"'.") or None

    def equivalent(self, a: str, b: str) -> bool:
        """The same words."""
        return same_text(a, b)


def same_text(a: str, b: str) -> bool:
    """Equal up to case, white space and final punctuation."""
    return _words(a) == _words(b)


def _words(text: str) -> list[str]:
    return text.casefold().strip(" \t\n.!?\"'`*").split()


def other_texts(gold: str, golds: Sequence[str], seed: str) -> tuple[str, ...]:
    """Right answers of other items, which are plausible here and wrong."""
    others = {" ".join(_words(g)): g for g in golds if not same_text(g, gold)}
    return tuple(shuffled(others.values(), seed)[:WRONG]) or (f"not {gold}",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact:
    """The same text."""

    form: AnswerForm = "text"

    @property
    def notes(self) -> Mapping[str, str]:
        """The metric."""
        return {"metric": "exact text"}

    def read_gold(self, value: str, at: Located, options: Sequence[str]) -> str:
        """A text that can be stated at the end of an answer."""
        if not same_text(ShortText().extract(value) or "", value):
            raise DataError(f"{at.where}: the answer is {value!r}; expected a few words on one line")
        return value

    def answer_format(self, item: CustomItem) -> AnswerFormat:
        """A short text."""
        return ShortText()

    def wrong(self, item: CustomItem, golds: Sequence[str]) -> tuple[str, ...]:
        """Other items' answers."""
        return other_texts(item.gold, golds, item.id)

    async def grade(self, item: CustomItem, answer: str, sandbox: Sandbox) -> Score:
        """Compare the texts."""
        return scored(same_text(answer, item.gold))


@dataclass(frozen=True, slots=True, kw_only=True)
class Nobody:
    """Rows without answers: nothing is graded, and what is right has to be told from who agrees with whom."""

    form: AnswerForm = "text"

    @property
    def notes(self) -> Mapping[str, str]:
        """The metric."""
        return {"metric": "none, the rows have no answers"}

    def read_gold(self, value: str, at: Located, options: Sequence[str]) -> str:
        """There is none."""
        return ""

    def answer_format(self, item: CustomItem) -> AnswerFormat:
        """A letter where there are options, else a short text, so that answers can be compared."""
        return Choice(options=item.options) if item.options else ShortText()

    def wrong(self, item: CustomItem, golds: Sequence[str]) -> tuple[str, ...]:
        """None is known."""
        return ()

    async def grade(self, item: CustomItem, answer: str, sandbox: Sandbox) -> Score:
        """Nobody says."""
        failure = Failure(kind="unreadable", reason="the rows have no answers to grade by")
        return Score(value=0.0, solved=False, feedback="the answer was not graded", failure=failure)
