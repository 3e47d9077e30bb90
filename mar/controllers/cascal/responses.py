"""What a pool answered to questions with options: the only thing that CASCAL learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mar.errors import ConfigError

ABSTAINED = -1
"""The choice of a model whose answer could not be read: it votes for nothing and agrees with nobody."""

Floats = npt.NDArray[np.float64]
Choices = npt.NDArray[np.int8]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Responses:
    """Answers of M models to Q questions. No gold answers here."""

    questions: tuple[str, ...]  # ids, Q
    models: tuple[str, ...]  # names, M
    options: npt.NDArray[np.int64]  # number of options of each question, shape (Q,)
    choices: Choices  # position of the option chosen, or ABSTAINED, shape (Q, M)
    logprobs: Floats | None = None  # mean token log-probability, nats, NaN where unknown, shape (Q, M)

    def __post_init__(self) -> None:
        shape = (len(self.questions), len(self.models))
        if self.choices.shape != shape or self.options.shape != shape[:1]:
            raise ConfigError(
                f"responses have shapes {self.choices.shape} and {self.options.shape}; expected {shape} and {shape[:1]}"
            )
        if self.logprobs is not None and self.logprobs.shape != shape:
            raise ConfigError(f"log-probabilities have shape {self.logprobs.shape}; expected {shape}")
        if np.any(self.choices >= self.options[:, None]) or np.any(self.choices < ABSTAINED):
            raise ConfigError("a response chooses an option that its question does not have; expected an abstention")

    @property
    def readable(self) -> Flags:
        """Which answers could be read, shape (Q, M)."""
        return self.choices != ABSTAINED

    def take(self, rows: npt.NDArray[np.int64]) -> Responses:
        """Some questions, in the order given."""
        return replace(
            self,
            questions=tuple(self.questions[i] for i in rows),
            options=self.options[rows],
            choices=self.choices[rows],
            logprobs=None if self.logprobs is None else self.logprobs[rows],
        )

    def of(self, models: Sequence[str]) -> Responses:
        """Some models, in the order given.

        Raises:
            ConfigError: A model has no responses.
        """
        missing = [m for m in models if m not in self.models]
        if missing:
            raise ConfigError(f"no responses of model {missing[0]!r}; there are: {', '.join(self.models)}")
        columns = [self.models.index(m) for m in models]
        return replace(
            self,
            models=tuple(models),
            choices=self.choices[:, columns],
            logprobs=None if self.logprobs is None else self.logprobs[:, columns],
        )

    def with_model(self, name: str, choices: Choices, logprobs: Floats | None = None) -> Responses:
        """The same and one model more, answered apart from the others.

        Raises:
            ConfigError: The name is taken.
        """
        if name in self.models:
            raise ConfigError(f"model {name!r} has responses already")
        unknown = np.full(len(self.questions), np.nan)
        known = self.logprobs if self.logprobs is not None else np.full(self.choices.shape, np.nan)
        new = unknown if logprobs is None else logprobs
        without = self.logprobs is None and logprobs is None
        return replace(
            self,
            models=(*self.models, name),
            choices=np.column_stack([self.choices, choices]),
            logprobs=None if without else np.column_stack([known, new]),
        )


def agreement(choices: Choices) -> Flags:
    """Which models chose the same option, shape (Q, M, M); an abstention agrees with nobody, not even itself."""
    return (choices[:, :, None] == choices[:, None, :]) & (choices[:, :, None] != ABSTAINED)


def ballots(responses: Responses, width: int | None = None) -> Floats:
    """Votes as 0 and 1, shape (Q, M, width); default width: the most options that a question has."""
    columns = int(responses.options.max(initial=1)) if width is None else width
    return (responses.choices[:, :, None] == np.arange(columns)).astype(np.float64)
