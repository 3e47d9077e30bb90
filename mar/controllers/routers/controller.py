"""A fitted router as a controller: every query goes to one agent on one LLM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mar.controllers.base import Planned, PlanSpace
from mar.controllers.baselines import DEFAULT_TEAM
from mar.controllers.embeddings import Encoder
from mar.controllers.routers.base import Floats, Prompts, Router, choose
from mar.errors import ConfigError
from mar.types import AgentSpec, Domain, ModeSpec, Plan, Query


@dataclass(kw_only=True)
class RouterController:
    """Single-agent plans on the LLM that a router scores highest among those the pool has."""

    router: Router
    models: tuple[str, ...]  # the names of the router's columns
    ties: Floats  # (m,) mean training scores, which break ties
    encoder: Encoder  # the one whose embeddings the router was fitted on
    name: str = "router"
    domain: Domain = "Commonsense"  # of queries that do not state theirs

    def plan(self, queries: Sequence[Query], space: PlanSpace) -> list[Planned]:
        """One plan per query, all scored together.

        Raises:
            ConfigError: The pool has none of the router's LLMs.
        """
        if not queries:
            return []
        cards = {card.name for card in space.cards}
        there = [j for j, name in enumerate(self.models) if name in cards]
        if not there:
            raise ConfigError(
                f"the pool has none of the LLMs that {self.name} chooses from: {', '.join(self.models[:8])}"
            )
        texts = tuple(query.text for query in queries)
        scores: Floats = np.asarray(self.router.score(Prompts(vectors=self.encoder.encode(texts), texts=texts)))[
            :, there
        ]
        chosen: list[int] = choose(scores, self.ties[there]).tolist()
        return [
            Planned(plan=self._plan(query, self.models[there[j]]), notes={"score": f"{row[j]:.4f}"})
            for query, row, j in zip(queries, scores, chosen, strict=True)
        ]

    def _plan(self, query: Query, model: str) -> Plan:
        domain = query.domain or self.domain
        agents = (AgentSpec(role=DEFAULT_TEAM[domain][0], model=model),)
        return Plan(mode=ModeSpec(name="IO"), domain=domain, agents=agents)
