"""What MMLU and MMLU-Pro share: a question with options, how it is shown, what is wrong about it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from mar.errors import DataError
from mar.pool.simulated import SimItem, World, item_difficulties
from mar.runtime.sandbox import Sandbox
from mar.tasks.scoring.choices import LETTERS
from mar.tasks.scoring.formats import Choice, no_answer, scored
from mar.tasks.sources import Located
from mar.tasks.splits import of_split, shuffled
from mar.tasks.task import Score, Split
from mar.types import Domain, Query

ANSWERS = ("answer", "answer_index", "answer_idx", "label", "target")
"""What published files call the field of the right option: a letter, or a position from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionItem:
    """One question with lettered options."""

    id: str
    split: Split
    question: str
    options: tuple[str, ...]  # up to 10, in the order of their letters; a few published questions have only one
    gold: str  # the letter of the right one
    category: str  # its subject


def question_with_options(item: OptionItem) -> str:
    """The question and, on a line each, its options."""
    lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, item.options, strict=False)]
    return "\n".join([item.question, *lines])


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionTask(ABC):
    """Questions with options, scored by the letter chosen."""

    all_items: tuple[OptionItem, ...]
    source: str
    protocol: str

    # Each benchmark's own; no annotation, since they are no fields.
    name = ""
    final_role = ""  # the decider's role
    rho = 0.0  # correlation of difficulty with `complexity`, for the simulated pool
    domain: Domain = "Commonsense"

    @staticmethod
    @abstractmethod
    def complexity(item: OptionItem) -> float:
        """What makes a question hard, as far as that was found in recorded answers."""

    @property
    def notes(self) -> Mapping[str, str]:
        """Data source and protocol."""
        return {"data": self.source, "split": self.protocol, "metric": "right letter"}

    def items(self, split: Split) -> Sequence[OptionItem]:
        """Items of a split in the order of the files."""
        return of_split(self.all_items, split)

    def query(self, item: OptionItem) -> Query:
        """The question and its options."""
        return Query(
            id=f"{self.name}/{item.id}",
            domain=self.domain,
            text=question_with_options(item),
            answer_format=Choice(final_role=self.final_role, options=item.options),
        )

    async def score(self, item: OptionItem, answer: str | None, sandbox: Sandbox) -> Score:
        """Compare the letters."""
        return no_answer("option") if answer is None else scored(answer == item.gold)

    async def world(self, items: Sequence[OptionItem], sandbox: Sandbox) -> World:
        """Gold letters and the others in a fixed order; difficulties are ranks within the whole benchmark."""
        ids = [f"{self.name}/{i.id}" for i in self.all_items]
        complexity = [self.complexity(i) for i in self.all_items]
        levels = dict(zip(ids, item_difficulties(ids, complexity, rho=self.rho), strict=True))
        return World.of(
            (
                q,
                SimItem(
                    domain=self.domain,
                    benchmark=self.name,
                    difficulty=levels[q],
                    right=(item.gold,),
                    wrong=tuple(shuffled(set(LETTERS[: max(2, len(item.options))]) - {item.gold}, q)),
                    form="choice",
                ),
            )
            for q, item in ((f"{self.name}/{i.id}", i) for i in items)
        )


def option_texts(at: Located, *names: str) -> tuple[str, ...]:
    """The options of a row: a list under one of the names, or a field each called A, B, C and so on.

    Raises:
        DataError: The field is no list of 1 to 10 texts.
    """
    value: Any = at.value(*names)
    if value is None and "A" in at.row:
        value = [at.row[letter] for letter in LETTERS if at.row.get(letter) is not None]
    options: list[Any] = cast("list[Any]", value) if isinstance(value, list) else []
    if not 1 <= len(options) <= len(LETTERS) or not all(isinstance(o, str) for o in options):
        raise DataError(f"{at.where}: field {names[0]} is no list of 1 to {len(LETTERS)} texts")
    return tuple(cast("list[str]", options))


def gold_letter(at: Located, letters: str) -> str:
    """The letter of a row's answer.

    Raises:
        DataError: There is none, it is beyond the options, or the row's position of it is that of another letter.
    """
    stated = [(name, at.row[name]) for name in ANSWERS if at.row.get(name) is not None]
    if not stated:
        raise DataError(f"{at.where}: there is no field {' or '.join(ANSWERS)}; expected a letter or a position")
    read = [(name, letter_of(value, letters, at)) for name, value in stated]
    other = next((name for name, letter in read if letter != read[0][1]), None)
    if other is not None:
        raise DataError(
            f"{at.where}: fields {stated[0][0]} and {other} contradict each other: {stated[0][1]!r}, {at.row[other]!r}"
        )
    return read[0][1]


def letter_of(answer: Any, letters: str, at: Located) -> str:
    """The letter of an answer that is given as a letter or as a position from 0.

    Raises:
        DataError: It is neither, or beyond the options.
    """
    text = str(answer).strip().upper()
    if len(text) == 1 and text in letters:
        return text
    if text.isascii() and text.isdigit() and len(text) < 4 and int(text) < len(letters):
        return letters[int(text)]
    raise DataError(f"{at.where}: answer is {answer!r}; expected a letter from A to {letters[-1]}")
