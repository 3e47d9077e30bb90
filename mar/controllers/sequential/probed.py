"""A model that was asked a few questions enters a mind, as one that was heard.

Its place among the models that the mind knows is that of its accuracy among theirs, on the same questions: a log-odds
of accuracy is worth `SCALE` of skill, as where a card states a score. What it may be especially good at is not known;
the mind's coordinates of texts tell nothing about it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from mar.controllers.belief.probing import Estimate
from mar.controllers.sequential.mind import SCALE, Mind
from mar.errors import ConfigError
from mar.pool.cards import ModelCard
from mar.types import Domain


def joined(
    minds: Sequence[Mind], card: ModelCard, domain: Domain, found: Estimate, others: Mapping[str, float]
) -> list[Mind]:
    """The minds with a probed model in those of the domain of what it was asked.

    Args:
        minds: Of a controller.
        card: The model's.
        domain: Of the questions.
        found: Its accuracy on a table of questions.
        others: Accuracies of other models there, by name.

    Raises:
        ConfigError: No mind is of the domain and knows any of the others, or one of them knows the model.
    """
    able = [m for m in minds if m.domain == domain and set(m.beliefs.models) & set(others)]
    if not able:
        raise ConfigError(f"the controller knows none of {', '.join(list(others)[:8])} on questions of {domain}")
    if any(card.name in m.beliefs.models for m in able):
        raise ConfigError(f"the controller knows {card.name} already; expected one learned without it")
    kinds = {m.kind for m in able}
    return [_with(m, card, found, others) if m.kind in kinds else m for m in minds]


def _with(mind: Mind, card: ModelCard, found: Estimate, others: Mapping[str, float]) -> Mind:
    shared = [(i, others[name]) for i, name in enumerate(mind.beliefs.models) if name in others]
    skills = [float(mind.beliefs.theta[i]) - SCALE * _logit(accuracy) for i, accuracy in shared]
    theta = sum(skills) / len(skills) + SCALE * _logit(found.mean)
    doubt = SCALE * (_logit(found.high) - _logit(found.low)) / (2 * 1.96)
    known = mind.knowing([card])
    b = known.beliefs
    level = theta - float(b.overall)

    def last(values: torch.Tensor, value: float) -> torch.Tensor:
        return torch.cat([values[:-1], torch.tensor([value], dtype=values.dtype)])

    beliefs = replace(b, theta=last(b.theta, theta), level=last(b.level, level), doubt=last(b.doubt, max(doubt, 0.01)))
    return replace(known, beliefs=beliefs)


def _logit(p: float) -> float:
    p = min(max(p, 0.005), 0.995)
    return math.log(p / (1 - p))
