# pyright: basic
"""Answers to questions with options, as observations: what was chosen, and what shows on an answer beside the choice.

Who knows an answer and who guesses often looks different. What shows on every answer is its length, compared with what
the question lets one expect of that model, and the place of its option: a model that says A, or that stands in a table
with G, whenever nothing else can be read, has not said much by it. `wording` adds what its text shows. Marks have mean
0 for each model in training, so an answer that has not been given yet is expected to have none.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

SILENT = -1  # the choice of a model whose answer could not be read
BRIEF = 30  # characters: no more than "The answer is (A)."
_STRAY = 20.0  # answers that a place's share of a model's answers is shrunk by


@dataclass(frozen=True, slots=True, kw_only=True)
class PerQuestion:
    """Arrays whose first axis is questions, and whose second is models but for those of options."""

    options: Ints  # number of options, (n,)
    wording: Floats  # what shows on each option, (n, o, p)

    def __len__(self) -> int:
        return len(self.options)

    def rows(self, at: Ints) -> Self:
        """Some of the questions, in this order."""
        return replace(self, **{f.name: getattr(self, f.name)[at] for f in fields(self)})

    def models(self, at: Ints) -> Self:
        """Some of the models, in this order."""
        shared = {f.name for f in fields(PerQuestion)}
        return replace(self, **{f.name: getattr(self, f.name)[:, at] for f in fields(self) if f.name not in shared})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers(PerQuestion):
    """What m models answered to n questions with at most o options."""

    options: Ints  # number of options, (n,)
    choices: Ints  # position of the option chosen, or SILENT, (n, m)
    skills: Floats  # log-odds that the model is right, from the question's text alone, (n, m)
    marks: Floats  # what shows on each answer, (n, m, f)
    backing: Floats  # what an answer shows for options that it does not choose, (n, m, o, b)
    wording: Floats  # what shows on each option, (n, o, p)

    @property
    def silent(self) -> Flags:
        """Which answers could not be read, (n, m)."""
        return self.choices == SILENT

    def __len__(self) -> int:
        return len(self.options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown(PerQuestion):
    """What a table records of answers, before anything is learned from it."""

    options: Ints  # (n,)
    choices: Ints  # (n, m)
    characters: Floats  # length of each answer, NaN where unknown, (n, m)
    texts: Floats  # marks of answers' texts, 0 where unknown, (n, m, t)
    backing: Floats  # what texts show for options that they do not choose, 0 where unknown, (n, m, o, b)
    wording: Floats  # marks of options, (n, o, p)

    def followed_by(self, other: Self) -> Self:
        """These questions and then others, of the same models."""
        pairs = {name.name: (getattr(self, name.name), getattr(other, name.name)) for name in fields(self)}
        return replace(self, **{name: np.concatenate(both) for name, both in pairs.items()})

    def lengths(self) -> Floats:
        """Logarithm of each answer's length, NaN where unknown, (n, m)."""
        return np.log(np.maximum(self.characters, 1.0))


def log_odds(chances: Floats) -> Floats:
    """Log-odds of estimates, which may lie outside 0 and 1."""
    bounded = np.clip(chances, 0.02, 0.98)
    return np.log(bounded / (1 - bounded))


@dataclass(kw_only=True)
class Marks:
    """Makes marks comparable: learned on training answers, the same for all that follow."""

    def fit(self, shown: Shown, expected: Floats) -> Floats:
        """Learn each model's habits, and return its marks, (n, m, f).

        Args:
            shown: The training answers.
            expected: Logarithmic length that was expected of each, (n, m).
        """
        places = np.arange(shown.wording.shape[1])
        said = (shown.choices[:, :, None] == places).sum(axis=0)  # (m, o)
        fair = ((places < shown.options[:, None]) / shown.options[:, None]).sum(axis=0)
        fair = fair * said.sum(axis=1, keepdims=True) / len(shown.options)
        self.habits_ = np.log((said + _STRAY) / (fair + _STRAY))
        self.scale_ = np.maximum(np.nanstd(shown.lengths() - expected, axis=0), 1e-6)
        marks = self._raw(shown, expected)
        self.mean_ = marks.mean(axis=0)
        return marks - self.mean_

    def read(self, shown: Shown, expected: Floats) -> Floats:
        """Marks of other answers of the same models, (n, m, f)."""
        return self._raw(shown, expected) - self.mean_

    def _raw(self, shown: Shown, expected: Floats) -> Floats:
        longer = np.nan_to_num((shown.lengths() - expected) / self.scale_)
        habit = np.take_along_axis(self.habits_, np.maximum(shown.choices, 0).T, axis=1).T
        habit = np.where(shown.choices == SILENT, 0.0, habit)
        common = (longer, longer**2, (shown.characters < BRIEF).astype(np.float64), habit)
        return np.concatenate([np.stack(common, axis=2), shown.texts], axis=2)
