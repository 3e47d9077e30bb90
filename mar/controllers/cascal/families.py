# pyright: basic
"""Scores of answers that the agreement of relatives does not fool: the posterior of `mar.controllers.belief`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mar.controllers.belief import Crowd, Table
from mar.controllers.cascal.responses import Floats, Responses
from mar.numerics import one_thread


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilySettings:
    """How the likelihood is fitted."""

    questions: int = 1200  # at most so many, drawn with the seed; all get scores
    iterations: int = 30  # of L-BFGS
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyFit:
    """What was learned about models, and what follows for every answer."""

    crowd: Crowd
    scores: Floats  # posterior probability that an answer is right, 0 for an abstention, shape (Q, M)

    @property
    def copying(self) -> dict[str, float]:
        """Share of answers that a family's members take over, by family of two or more."""
        names, shares = sorted(set(self.crowd.beliefs.families)), torch.sigmoid(self.crowd.repeats).tolist()
        return {names[i]: shares[i] for i in self.crowd.related.tolist()}


@one_thread()
def family_scores(responses: Responses, families: Sequence[str], settings: FamilySettings | None = None) -> FamilyFit:
    """Fit the likelihood and score every answer. Where which model is good is for those to find who smooth the scores.

    Args:
        responses: Answers, Q x M.
        families: Family of each model.
        settings: Default: the settings of every figure in docs/results/labels.md.
    """
    settings = settings or FamilySettings()
    rows = np.flatnonzero(responses.options >= 3)
    if len(rows) > settings.questions:
        rows = np.sort(np.random.default_rng(settings.seed).choice(rows, settings.questions, replace=False))
    crowd = Crowd.vague(responses.models, families, int(responses.options.max(initial=1)))
    crowd.fit(Table.of(responses.choices[rows], responses.options[rows]), iterations=settings.iterations)
    return FamilyFit(crowd=crowd, scores=crowd.weigh(responses.choices, responses.options))
