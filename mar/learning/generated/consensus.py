"""From responses to scores and from scores to a router: the choices that `run_cascal` offers, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from mar.controllers.belief import families_of
from mar.controllers.cascal import (
    ABSTAINED,
    CascalModel,
    FamilySettings,
    Responses,
    SkillSettings,
    agreement_shares,
    consensus_scores,
    dawid_skene,
    family_scores,
    location_and_scale,
    train_local,
    train_skills,
)
from mar.controllers.cascal.consensus import PUBLISHED_LETTERS
from mar.controllers.cascal.responses import Floats
from mar.controllers.cascal.skills import Vectors
from mar.errors import ConfigError
from mar.pool.cards import ModelCard
from mar.types import ConfidenceScale

Consensus = Literal["families", "consensus", "majority", "dawid_skene", "published"]
CONSENSUS: tuple[Consensus, ...] = get_args(Consensus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Scores without labels, and what they say about families."""

    scores: Floats  # of every answer, (Q, M)
    copying: dict[str, float]  # share of answers that a family's members take over, where it was estimated


def score_responses(
    responses: Responses,
    kind: Consensus,
    *,
    families: Sequence[str] | None = None,
    seed: int = 0,
) -> Scored:
    """Score every answer without a label.

    Args:
        responses: Answers.
        kind: families (difficulty, popular mistakes and families: this project's), consensus (the paper's), majority,
            dawid_skene, or published (the published code's, mistakes included).
        families: Family of each model; default: from the names.
        seed: Of all draws.

    Raises:
        ConfigError: There is no such consensus.
    """
    if kind == "families":
        fit = family_scores(responses, families or families_of(responses.models), FamilySettings(seed=seed))
        return Scored(scores=fit.scores, copying=fit.copying)
    if kind == "published":
        filled = as_published(responses, seed, letters=PUBLISHED_LETTERS)
        return Scored(scores=consensus_scores(filled, letters=PUBLISHED_LETTERS), copying={})
    plain = {"consensus": consensus_scores, "majority": agreement_shares, "dawid_skene": dawid_skene}
    if kind not in plain:
        raise ConfigError(f"consensus {kind!r}; expected {', '.join(CONSENSUS)}")
    return Scored(scores=plain[kind](responses), copying={})


def as_published(responses: Responses, seed: int, *, letters: int) -> Responses:
    """The published code's responses: an unreadable answer is a random letter, seeded here.

    Args:
        responses: Answers.
        seed: Of the letters.
        letters: How many may be drawn: A to T where answers are scored, A to D where skills are learned.
    """
    drawn = np.random.default_rng([seed, letters]).integers(0, letters, responses.choices.shape).astype(np.int8)
    filled = np.where(responses.choices == ABSTAINED, drawn, responses.choices)
    return replace(responses, choices=filled, options=np.full(len(responses.options), PUBLISHED_LETTERS))


def learn(
    responses: Responses,
    scored: Scored,
    kind: Consensus,
    subjects: Sequence[str],
    vectors: Vectors,
    *,
    encoder: str,
    settings: SkillSettings | None = None,
    simulated: bool = False,
) -> CascalModel:
    """Turn scores into a router: smoothed local skills for `families`, the paper's skill centroids for all others."""
    if kind == "families":
        learned = train_local(responses.models, scored.scores, subjects, vectors)
    elif kind == "published":
        wrong = replace(settings or SkillSettings(), share_ties=True, same_leader=False)
        learned = train_skills(as_published(responses, wrong.seed, letters=4), scored.scores, subjects, vectors, wrong)
    else:
        learned = train_skills(responses, scored.scores, subjects, vectors, settings)
    return CascalModel(
        learned=learned,
        encoder=encoder,
        confidence=confidence_scales(responses),
        trained_on={"consensus": kind, "questions": str(len(responses.questions))},
        simulated=simulated,
    )


def confidence_scales(responses: Responses) -> dict[str, ConfidenceScale]:
    """Median and scaled MAD of every model's log-probabilities, where there are any that vary."""
    if responses.logprobs is None:
        return {}
    centre, scale = location_and_scale(responses.logprobs)
    return {
        name: ConfidenceScale(centre=float(c), spread=float(s))
        for name, c, s in zip(responses.models, centre, scale, strict=True)
        if np.isfinite(c) and np.isfinite(s) and s > 0
    }


def families_of_cards(cards: Sequence[ModelCard]) -> tuple[str, ...]:
    """The family that a card's tag `family:NAME` states, else the one that its name suggests."""
    stated = {c.name: t.partition(":")[2] for c in cards for t in c.tags if t.startswith("family:")}
    return families_of([c.name for c in cards], stated)
