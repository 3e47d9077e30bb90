# pyright: basic
"""Answers of a whole pool to many questions with options, each model asked once and alone, and what may be right.

A *slot* is an option of a question that somebody chose, or all that nobody chose, which look the same and are counted.
A *row* is a hypothesis about a question: which slot holds the right option and which the popular mistake. So a question
of ten options is as small as one of the few that were chosen, and the sum over rows is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

NOBODY = -1  # instead of an option: nothing readable; of a slot: all options that nobody chose


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Q questions, M models, S slots, H rows, C readable answers."""

    choices: torch.Tensor  # option chosen, or NOBODY, (Q, M)
    options: torch.Tensor  # of each question, (Q,)
    place: torch.Tensor  # slot of each answer, or NOBODY, (Q, M)
    question: torch.Tensor  # of each slot, (S,)
    option: torch.Tensor  # of each slot, or NOBODY, (S,)
    right: torch.Tensor  # slot of each row, (H,)
    popular: torch.Tensor  # slot of each row, (H,)
    share: torch.Tensor  # logarithm of the row's prior, (H,)
    answers: tuple[torch.Tensor, torch.Tensor]  # question and model of each readable answer, (C,) each
    silent: tuple[torch.Tensor, torch.Tensor]  # question and model of the others

    @classmethod
    def of(cls, choices: npt.NDArray[np.integer], options: npt.NDArray[np.integer]) -> Table:
        """The table of choices (Q, M), NOBODY for an unreadable answer, and numbers of options (Q,)."""
        choices, options = choices.astype(np.int64), options.astype(np.int64)
        width = int(options.max(initial=1))
        chosen = (choices[:, :, None] == np.arange(width)).any(axis=1)
        question, option = np.nonzero(chosen)
        rest = options - chosen.sum(axis=1)
        some = np.flatnonzero(rest > 0)
        question, option = np.r_[question, some], np.r_[option, np.full(len(some), NOBODY)]
        order = np.argsort(question, kind="stable")
        question, option = question[order], option[order]
        size = np.where(option == NOBODY, rest[question], 1)
        right, popular, weight = _pairs(question, size, len(options))
        left = np.maximum(options - 1, 1)[question[right]]
        place = np.full((len(options), width), NOBODY)
        named = option != NOBODY
        place[question[named], option[named]] = np.flatnonzero(named)
        where = np.where(choices == NOBODY, NOBODY, np.take_along_axis(place, np.maximum(choices, 0), axis=1))
        said = torch.from_numpy(choices)
        return cls(
            choices=said,
            options=torch.from_numpy(options),
            place=torch.from_numpy(where),
            question=torch.from_numpy(question),
            option=torch.from_numpy(option),
            right=torch.from_numpy(right),
            popular=torch.from_numpy(popular),
            share=torch.from_numpy(np.log(weight / (options[question[right]] * left))).float(),
            answers=_where(choices != NOBODY),
            silent=_where(choices == NOBODY),
        )

    def __len__(self) -> int:
        return len(self.options)

    @property
    def about(self) -> torch.Tensor:
        """Question of each row, (H,)."""
        return self.question[self.right]

    @property
    def chosen(self) -> torch.Tensor:
        """Slot of each readable answer, (C,)."""
        return self.place[self.answers]


def _where(marked: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    question, model = np.nonzero(marked)
    return torch.from_numpy(question), torch.from_numpy(model)


def _pairs(question: np.ndarray, size: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every pair of slots of a question that can hold the right option and another, and how many pairs of options.

    A question of one option has no wrong one; there both are the same.
    """
    slots = np.bincount(question, minlength=count)
    first = np.cumsum(slots) - slots
    right = np.repeat(np.arange(len(question)), slots[question])
    begin = np.cumsum(slots[question]) - slots[question]
    popular = first[question[right]] + np.arange(len(right)) - np.repeat(begin, slots[question])
    options = np.bincount(question, size, minlength=count)[question[right]]
    weight = size[right] * np.where(right == popular, np.where(options == 1, 1, size[right] - 1), size[popular])
    kept = weight > 0
    return right[kept], popular[kept], weight[kept]
