"""Which generated questions are kept: the paper's two findings.

A question teaches something if its generator answers it as it said it would (twice, at the responding temperature), and
if the models of the pool do not all say the same. Both filters read answers only, never a gold answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mar.controllers.cascal import ABSTAINED
from mar.errors import ConfigError
from mar.learning.generated.records import Answered, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterSettings:
    """What a question must pass."""

    own_answers: int = 2  # times the generator answers its own question; 0: no check
    consistent: float = 1.0  # share of them that must be its stated answer
    separating: bool = True  # whether two models must differ

    def __post_init__(self) -> None:
        if self.own_answers < 0 or not 0 <= self.consistent <= 1:
            raise ConfigError(
                f"own_answers {self.own_answers}, consistent {self.consistent}: expected 0 or more, and a share"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Filtered:
    """What was kept and what was not."""

    kept: tuple[Question, ...]
    inconsistent: int  # the generator did not stand by its answer
    same: int  # all models of the pool say the same, or nothing


def consistent_questions(
    questions: Sequence[Question], own: Sequence[Sequence[Answered]], settings: FilterSettings
) -> Filtered:
    """Keep what the generator answers as it said.

    Args:
        questions: All questions.
        own: The generator's answers, one sequence per draw.
        settings: How often it must.
    """
    if not settings.own_answers:
        return Filtered(kept=tuple(questions), inconsistent=0, same=0)
    draws = [{a.question_id: a.choice for a in answers} for answers in own]
    kept = tuple(q for q in questions if _stands_by(q, draws, settings.consistent))
    return Filtered(kept=kept, inconsistent=len(questions) - len(kept), same=0)


def _stands_by(question: Question, draws: Sequence[Mapping[str, int]], least: float) -> bool:
    same = sum(d.get(question.question_id, ABSTAINED) == question.answer_index for d in draws)
    return bool(draws) and same / len(draws) >= least


def separating_questions(questions: Sequence[Question], answered: Sequence[Answered]) -> Filtered:
    """Keep questions that the pool's models do not all answer alike; who cannot answer differs from who can."""
    said: dict[str, set[int]] = {q.question_id: set() for q in questions}
    for a in answered:
        if a.question_id in said and not a.failure:
            said[a.question_id].add(a.choice)
    kept = tuple(q for q in questions if len(said[q.question_id]) > 1)
    return Filtered(kept=kept, inconsistent=0, same=len(questions) - len(kept))
