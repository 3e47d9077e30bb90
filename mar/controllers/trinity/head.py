# pyright: basic
"""What picks a model and a part: a matrix on coordinates of the query's text and a few facts about the conversation."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Part = Literal["thinker", "worker", "verifier"]
PARTS: tuple[Part, ...] = ("thinker", "worker", "verifier")


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """What a conversation has come to."""

    turns: float  # share of the turns that have been taken
    drafted: bool  # whether a worker has answered
    readable: bool = False  # whether the answer of the latest draft can be read
    passed: bool = False  # whether it passes the shown tests
    failed: bool = False
    contested: bool = False  # whether a verifier came to another answer
    thought: bool = False  # whether the latest turn was a thinker's

    @property
    def numbers(self) -> Floats:
        """As the head takes them, (CONVERSATION,)."""
        flags = (self.drafted, self.readable, self.passed, self.failed, self.contested, self.thought)
        return np.array([1.0, self.turns, *flags], dtype=np.float64)


CONVERSATION = len(Talk(turns=0.0, drafted=False).numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Scores of models and parts; the best of each is picked."""

    models: tuple[str, ...]
    weights: Floats  # (K + CONVERSATION, M + parts)

    @classmethod
    def of(cls, models: tuple[str, ...], parameters: Floats) -> Head:
        """From a flat vector."""
        return cls(models=models, weights=np.asarray(parameters).reshape(-1, len(models) + len(PARTS)))

    @staticmethod
    def size(models: int, coordinates: int) -> int:
        """How many parameters it has."""
        return (coordinates + CONVERSATION) * (models + len(PARTS))

    def pick(self, text: Floats, talk: Talk, models: Collection[str], parts: Collection[Part]) -> tuple[str, Part]:
        """A model and a part, of those that may be picked; of equals the first."""
        scores = np.concatenate([text, talk.numbers]) @ self.weights
        named = dict(zip((*self.models, *PARTS), scores.tolist(), strict=True))
        model = max((m for m in self.models if m in models), key=lambda m: named[m])
        return model, max((p for p in PARTS if p in parts), key=lambda p: named[p])
