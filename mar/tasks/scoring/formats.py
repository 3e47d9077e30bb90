"""Answer formats of the tasks that ask for a number, an expression or an option, and the score of such an answer."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mar.runtime.json_reply import ANSWER, field_in_json
from mar.tasks.scoring.boxed import extract_expression
from mar.tasks.scoring.choices import LETTERS, extract_choice
from mar.tasks.scoring.expressions import compare
from mar.tasks.scoring.numbers import extract_number, same_number
from mar.tasks.task import Score
from mar.types import Failure

MAX_TEXT = 100_000  # characters looked at, from the end
_STATES = re.compile(r"\\f?boxed|\\framebox|\banswer\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Number:
    """The answer is one number."""

    final_role: str = "GSM8K"
    instruction: str = (
        'Work step by step, and end with one line that reads "The answer is N", where N is the number asked for, '
        "in digits, without a unit."
    )
    choices: int = 0

    def extract(self, text: str) -> str | None:
        """The number, in plain form."""
        return extract_number(said(text))

    def equivalent(self, a: str, b: str) -> bool:
        """The same value."""
        return same_number(a, b)


@dataclass(frozen=True, slots=True)
class Expression:
    """The answer is a LaTeX expression."""

    final_role: str = "MATH"
    instruction: str = (
        r"Work step by step, and end with the final answer alone in \boxed{}: one exact value or expression in LaTeX, "
        "simplified, without a unit."
    )
    choices: int = 0

    def extract(self, text: str) -> str | None:
        """The expression in the last box."""
        return extract_expression(said(text, boxed=True))

    def equivalent(self, a: str, b: str) -> bool:
        """The same value; not so when that cannot be decided within the limits."""
        return compare(a, b) == "equal"


@dataclass(frozen=True, slots=True)
class Choice:
    """The answer is the letter of one option. Options are part of the question, so the format may know them."""

    final_role: str = "MMLU"
    options: tuple[str, ...] = ()

    @property
    def choices(self) -> int:
        """How many options there are."""
        return len(self.options) or len(LETTERS)

    @property
    def instruction(self) -> str:
        """How to state the letter."""
        last = LETTERS[len(self.options) - 1] if self.options else "J"
        return (
            f'Reason briefly, and end with one line that reads "The answer is (X)", with X a letter from A to {last}.'
        )

    def extract(self, text: str) -> str | None:
        """The letter that is chosen."""
        return extract_choice(said(text), self.options)

    def equivalent(self, a: str, b: str) -> bool:
        """The same letter."""
        return a.strip().upper() == b.strip().upper()


def said(text: str, *, boxed: bool = False) -> str:
    """A reply in words: what its JSON gives as the answer is stated in the place of the JSON."""
    found = field_in_json(text[-MAX_TEXT:], ANSWER)
    if found is None:
        return text
    text = text[-MAX_TEXT:]
    answer = rf"\boxed{{{found.text}}}" if boxed and not _STATES.search(found.text) else f"Answer: {found.text}"
    return f"{text[: found.start]}\n{answer}\n{text[found.end :]}"


def scored(right: bool) -> Score:
    """Full marks or none; the feedback does not show the gold answer."""
    return Score(value=1.0, solved=True) if right else Score(value=0.0, solved=False, feedback="the answer is wrong")


def no_answer(what: str) -> Score:
    """The score of a text without a readable answer."""
    return Score(value=0.0, solved=False, feedback=f"no {what} in the answer")


def undecided() -> Score:
    """The score of an answer that could not be compared within the limits."""
    failure = Failure(kind="unreadable", reason="the answer could not be compared with the right one within the limits")
    return Score(value=0.0, solved=False, feedback=failure.reason, failure=failure)
