# pyright: basic
"""Scores of answers that relatives' agreement does not fool (`likelihood`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mar.controllers.cascal.likelihood import FamilyFit, FamilyLikelihood, FamilySettings, Terms
from mar.controllers.cascal.responses import Floats, Responses


def family_scores(
    responses: Responses,
    families: Sequence[str],
    divisions: Sequence[np.ndarray] = (),
    settings: FamilySettings | None = None,
) -> FamilyFit:
    """Fit the likelihood and score every answer.

    The likelihood is fitted without regions, then once more with those of each division, from where the fit before
    ended. Scores are the mean over these fits.

    Args:
        responses: Answers, Q x M.
        families: Family of each model.
        divisions: Each gives every question a region from 0 (a cluster, say), within which skills may differ.
        settings: Default: the settings of every figure in docs/results.md.
    """
    settings = settings or FamilySettings()
    whole = np.zeros(len(responses.questions), dtype=np.int64)
    rows = np.flatnonzero(responses.options >= 3)
    if len(rows) > settings.questions:
        rows = np.sort(np.random.default_rng(settings.seed).choice(rows, settings.questions, replace=False))
    model = FamilyLikelihood(responses, families, settings)
    scores: list[Floats] = []
    for number, regions in enumerate((whole, *divisions)):
        model.divide(int(regions.max(initial=0)) + 1)
        terms = Terms.of(responses.choices[rows], responses.options[rows], regions[rows])
        model.fit(terms, settings.iterations if number == 0 else settings.further_iterations)
        scores.append(_posteriors(model, responses, regions))
    return model.summary(np.mean(scores, axis=0))


def _posteriors(model: FamilyLikelihood, responses: Responses, regions: np.ndarray, block: int = 4000) -> Floats:
    """Scores of all answers, in blocks that bound the memory."""
    found: list[Floats] = []
    for start in range(0, len(regions), block):
        part = slice(start, start + block)
        terms = Terms.of(responses.choices[part], responses.options[part], regions[part])
        found.append(model.posterior(terms))
    return np.concatenate(found)
