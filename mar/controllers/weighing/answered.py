"""The aggregator among RouterEval's routers: it sees what every LLM answered, and says how probably each is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mar.controllers.routers.base import Examples, Floats, Prompts
from mar.controllers.weighing.aggregator import Aggregator, AggregatorSettings
from mar.controllers.weighing.options import SILENT, Answers, Flags, Ints, Marks, Shown, log_odds
from mar.controllers.weighing.skills import Skills
from mar.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredPrompts(Prompts):
    """Prompts and what every LLM answered."""

    shown: Shown


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredExamples(Examples):
    """Prompts, what every LLM answered, and which option is right."""

    shown: Shown
    right: Ints  # (n,)


@dataclass(kw_only=True)
class WeighedAnswers:
    """Skills from the text, marks from the answers, and the aggregator over both."""

    families: Sequence[str]  # of each LLM
    settings: AggregatorSettings = field(default_factory=AggregatorSettings)
    skills_: Skills = field(init=False, repr=False)
    marks_: Marks = field(init=False, repr=False)
    aggregator_: Aggregator = field(init=False, repr=False)

    def fit(self, train: Examples, validation: Examples) -> Answers:
        """Learn from both: nothing is left to choose.

        Returns:
            The answers that were learned from, with skills estimated without each question's own outcome.

        Raises:
            ConfigError: The examples carry no answers.
        """
        if not (isinstance(train, AnsweredExamples) and isinstance(validation, AnsweredExamples)):
            raise ConfigError("examples without answers; expected AnsweredExamples")
        shown = train.shown.followed_by(validation.shown)
        both = Examples(
            vectors=np.concatenate([train.vectors, validation.vectors]),
            texts=train.texts + validation.texts,
            scores=np.concatenate([train.scores, validation.scores]),
        )
        self.skills_, self.marks_ = Skills(), Marks()
        lengths = shown.lengths()
        usual = np.nan_to_num(np.nanmean(lengths, axis=0))
        lengths = np.where(np.isnan(lengths), usual, lengths)
        expected = self.skills_.fit(both, np.hstack([both.scores, lengths]).astype(np.float32))
        answers = self._answers(shown, expected, self.marks_.fit(shown, expected[:, shown.choices.shape[1] :]))
        self.aggregator_ = Aggregator(families=tuple(self.families), settings=self.settings)
        self.aggregator_.fit(answers, np.concatenate([train.right, validation.right]))
        return answers

    def read(self, prompts: AnsweredPrompts | AnsweredExamples) -> Answers:
        """New questions as the aggregator sees them."""
        expected = self.skills_.expect(prompts)
        marks = self.marks_.read(prompts.shown, expected[:, prompts.shown.choices.shape[1] :])
        return self._answers(prompts.shown, expected, marks)

    def score(self, prompts: Prompts) -> Floats:
        """How probably the answer of each LLM is right, given all of them, (n, m); 0 where it cannot be read.

        Raises:
            ConfigError: The prompts carry no answers.
        """
        if not isinstance(prompts, (AnsweredPrompts, AnsweredExamples)):
            raise ConfigError("prompts without answers; expected AnsweredPrompts")
        choices = prompts.shown.choices
        everybody: Flags = np.ones(choices.shape, dtype=np.bool_)
        chances = self.aggregator_.posterior(self.read(prompts), everybody)
        found = np.take_along_axis(chances, np.maximum(choices, 0), axis=1)
        return np.where(choices == SILENT, 0.0, found).astype(np.float32)

    @staticmethod
    def _answers(shown: Shown, expected: Floats, marks: Floats) -> Answers:
        return Answers(
            options=shown.options,
            choices=shown.choices,
            skills=log_odds(expected[:, : shown.choices.shape[1]]),
            marks=marks,
            backing=shown.backing,
            wording=shown.wording,
        )
