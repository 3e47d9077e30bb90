"""CASCAL as a controller: the best model alone, or the three best with a vote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from mar.controllers.base import Planned, PlanSpace
from mar.controllers.baselines import team_of
from mar.controllers.cascal.local import LocalSkills
from mar.controllers.cascal.responses import Floats
from mar.controllers.cascal.routing import Routes, RoutingSettings, route
from mar.controllers.cascal.skills import Skills, Vectors, add_model
from mar.controllers.embeddings import Encoder
from mar.errors import ConfigError
from mar.types import AgentSpec, ConfidenceScale, Domain, ModeSpec, Plan, Query

Top = Literal[1, 3]


@dataclass(frozen=True, slots=True, kw_only=True)
class CascalModel:
    """What a CASCAL controller knows: the artefact that training leaves."""

    learned: Skills | LocalSkills
    encoder: str  # name of the encoder of its vectors
    confidence: Mapping[str, ConfidenceScale] = field(default_factory=dict[str, ConfidenceScale])  # by model
    routing: RoutingSettings = field(default_factory=RoutingSettings)  # of skill centroids
    trained_on: Mapping[str, str] = field(default_factory=dict[str, str])  # data, consensus, pool, for tables
    simulated: bool = False  # whether the answers were made up by a simulator

    @property
    def models(self) -> tuple[str, ...]:
        """Models in the order of the scores."""
        return self.learned.models

    @property
    def overall(self) -> Floats:
        """Mean score of every model, shape (M,)."""
        return self.learned.overall

    def routes(self, vectors: Vectors) -> Routes:
        """Where questions with these vectors go."""
        if isinstance(self.learned, LocalSkills):
            return self.learned.route(vectors)
        return route(self.learned, vectors, self.routing)

    def with_model(self, name: str, scores: Floats, subjects: Sequence[str]) -> CascalModel:
        """One model more, from the scores of its answers to the training questions; the others are not touched.

        Raises:
            ConfigError: The name is known already.
            DataError: The scores are not those of the training questions.
        """
        learned = (
            self.learned.with_model(name, scores)
            if isinstance(self.learned, LocalSkills)
            else add_model(self.learned, name, scores, subjects)
        )
        return replace(self, learned=learned)


class Cascal:
    """Routes by skills that were learned without labels.

    Args:
        model: What was learned.
        encoder: The encoder of its vectors.
        top: 1: the best model answers alone. 3: the three best answer and vote; where all differ, the answer with the
            highest z-scored log-probability wins, or the best model's where no log-probabilities are known.
        domain: Whose roles agents take.

    Raises:
        ConfigError: The encoder is another one.
    """

    def __init__(self, model: CascalModel, encoder: Encoder, *, top: Top = 1, domain: Domain = "Commonsense") -> None:
        if encoder.name != model.encoder:
            raise ConfigError(f"CASCAL was trained on embeddings of {model.encoder}; this encoder is {encoder.name}")
        self.model = model
        self.encoder = encoder
        self.top: Top = top
        self.domain: Domain = domain

    @property
    def name(self) -> str:
        """How tables call it."""
        return f"CASCAL top-{self.top}"

    def plan(self, queries: Sequence[Query], space: PlanSpace) -> list[Planned]:
        """One plan per query. Models that the space does not have are passed over.

        Raises:
            ConfigError: The space has none of the models that skills were learned of.
        """
        if not queries:
            return []
        offered = {card.name for card in space.cards}
        known = [i for i, name in enumerate(self.model.models) if name in offered]
        if not known:
            raise ConfigError(f"the pool has no model that CASCAL knows; it knows {', '.join(self.model.models)}")
        routes = self.model.routes(self.encoder.encode([q.text for q in queries]))
        order: list[list[int]] = np.argsort(-routes.scores[:, known], axis=1, kind="stable").tolist()
        ranked = [[self.model.models[known[k]] for k in row] for row in order]
        return [
            Planned(
                plan=self._plan(models[: self.top], query.domain or self.domain),
                alternatives=tuple(models[1:]) if self.top == 1 else (),
                notes=_notes(routes, i),
            )
            for i, (query, models) in enumerate(zip(queries, ranked, strict=True))
        ]

    def _plan(self, models: Sequence[str], domain: Domain) -> Plan:
        role = team_of(domain)[0]
        agents = tuple(AgentSpec(role=role, model=m, confidence=self.model.confidence.get(m)) for m in models)
        if len(agents) == 1:
            return Plan(mode=ModeSpec(name="IO"), domain=domain, agents=agents)
        return Plan(mode=ModeSpec(name="Vote"), domain=domain, agents=agents, decision="vote", tie_break="zscore")


def _notes(routes: Routes, i: int) -> dict[str, str]:
    """For the trace: the subject, how far the nearest known question or centroid is, and what decided."""
    said = {
        "skills": "learned skills",
        "far": "far from everything learned: partly the overall ranking",
        "overall": "nothing learned near this question: the overall ranking",
    }
    return {
        "subject": routes.subjects[i],
        "distance": f"{routes.distances[i]:.3f}",
        "routed by": said[routes.basis[i]],
    }
