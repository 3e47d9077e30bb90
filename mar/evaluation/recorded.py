"""Recorded answers of real models to MMLU-Pro: what routers without labels learn from, and the gold to judge them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mar.controllers.cascal import ABSTAINED, Responses
from mar.errors import DataError
from mar.evaluation.letters import PREDICTIONS, read_letters
from mar.tasks.scoring.choices import LETTERS

TRAIN, VALIDATION = 9600, 1200
"""Rows of a split: the first of numpy's default_rng(seed).permutation train, the next validate, the rest test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Questions with recorded answers. Gold and right answers are for judging only."""

    responses: Responses  # Q x M, models in ascending mean accuracy
    texts: tuple[str, ...]  # the questions without their options
    subjects: tuple[str, ...]
    gold: npt.NDArray[np.int64]  # position of the right option, shape (Q,)

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Which answers are right, shape (Q, M)."""
        return self.responses.choices == self.gold[:, None]

    def group(self, name: str) -> tuple[str, ...]:
        """Models of a group, strongest first: the five weakest, ten in the middle (the 9th to the 18th from below) or
        the five strongest.

        The published code's results depend on the order of the models; its figures were measured on this one.

        Raises:
            DataError: There is no such group.
        """
        ranks = {"weak": slice(0, 5), "middle": slice(8, 18), "strong": slice(-5, None)}
        if name not in ranks:
            raise DataError(f"group {name!r}; expected {', '.join(ranks)}")
        return self.responses.models[ranks[name]][::-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Rows of one split."""

    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]


def split_rows(count: int, seed: int) -> Parts:
    """A split of MMLU-Pro's rows; for fewer rows, the same shares."""
    order = np.random.default_rng(seed).permutation(count)
    train = TRAIN if count > TRAIN + VALIDATION else int(0.8 * count)
    validation = VALIDATION if count > TRAIN + VALIDATION else int(0.1 * count)
    return Parts(train=order[:train], validation=order[train : train + validation], test=order[train + validation :])


def read_recorded(data: Path) -> Recorded:
    """Read questions and recorded answers from a data folder.

    Raises:
        DataError: A file is missing, or a row names a question or a letter that cannot be.
    """
    found = read_letters(data)
    items, path = found.items, data / PREDICTIONS
    choices = np.array(
        [
            [_position(letter, len(item.options), path) for letter in row]
            for item, row in zip(items, found.letters.tolist(), strict=True)
        ],
        dtype=np.int8,
    )
    gold = np.array([LETTERS.index(i.gold) for i in items])
    accuracies = (choices == gold[:, None]).mean(axis=0)
    order: list[int] = np.argsort(accuracies, kind="stable").tolist()
    responses = Responses(
        questions=tuple(i.id for i in items),
        models=tuple(found.models[k] for k in order),
        options=np.array([len(i.options) for i in items]),
        choices=choices[:, order],
    )
    return Recorded(
        responses=responses,
        texts=tuple(i.question for i in items),
        subjects=tuple(i.category for i in items),
        gold=gold,
    )


def _position(letter: str, options: int, path: Path) -> int:
    """Position of a letter; one beyond the options, like an empty field, is no readable answer."""
    if not letter:
        return ABSTAINED
    position = LETTERS.find(letter)
    if len(letter) != 1 or position < 0:
        raise DataError(f"{path}: answer {letter!r}; expected a letter from A to {LETTERS[-1]}, or nothing")
    return position if position < options else ABSTAINED
