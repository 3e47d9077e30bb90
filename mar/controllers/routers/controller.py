"""A fitted router as a controller: every query goes to one agent on one LLM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mar.controllers.base import Planned, PlanSpace
from mar.controllers.baselines import team_of
from mar.controllers.embeddings import Encoder, at_hand
from mar.controllers.routers.base import Floats, Prompts, Router, choose
from mar.errors import ConfigError
from mar.types import AgentSpec, Domain, ModeSpec, Option, Plan, Query, Why

SHOWN = 4  # options that a reason names


@dataclass(kw_only=True)
class RouterController:
    """Single-agent plans on the LLM that a router scores highest, less its price, among those the pool has."""

    router: Router
    models: tuple[str, ...]  # the names of the router's columns
    ties: Floats  # (m,) mean training scores, which break ties
    encoder: Encoder  # the one whose embeddings the router was fitted on
    name: str = "router"
    domain: Domain = "Commonsense"  # of queries that do not state theirs
    costs: Floats | None = None  # (m,) mean USD of an answer in training; None: not known, and money plays no part
    rate: float = 0.0  # utility per USD; scores must then be in units of quality

    @property
    def cost_rate(self) -> float:
        """Utility per USD. It may be set where costs are known: every price is served."""
        return self.rate

    @cost_rate.setter
    def cost_rate(self, rate: float) -> None:
        if self.costs is None:
            raise ConfigError(f"the {self.name} was fitted without costs, so a cost rate has no meaning for it")
        self.rate = rate

    def quick(self, query: Query) -> bool:
        """Whether the text's vector is at hand: scoring it takes little besides."""
        return at_hand(self.encoder, query.text)

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
        scores: Floats = np.asarray(self.router.score(Prompts(vectors=self.encoder.encode(texts), texts=texts)))
        quality, usd = scores, dict[str, float | None]()
        if self.costs is not None:
            usd = {self.models[j]: float(self.costs[j]) for j in there}
            scores = np.asarray(scores - self.rate * self.costs, dtype=np.float32)
        right: list[list[float]] = quality[:, there].tolist()
        scores = scores[:, there]
        chosen: list[int] = choose(scores, self.ties[there]).tolist()
        ranks: list[list[int]] = np.argsort(-scores, axis=1, kind="stable").tolist()
        return [
            Planned(
                plan=self._plan(query, self.models[there[j]]),
                alternatives=tuple(self.models[there[k]] for k in ranked if k != j),
                right=dict(zip(usd, estimates, strict=True)) if usd else {},
                usd=usd,
                notes={"score": f"{row[j]:.4f}"},
                why=self._why(there, row, [j, *(k for k in ranked if k != j)]),
            )
            for query, row, estimates, ranked, j in zip(queries, scores, right, ranks, chosen, strict=True)
        ]

    def _why(self, there: Sequence[int], scores: Floats, ranked: Sequence[int]) -> Why:
        """What was compared: scores, less the price of money."""
        best = ranked[:SHOWN]
        options = (Option(action=f"ask {self.models[there[k]]}", utility=float(scores[k])) for k in best)
        return Why(because="the highest score", options=tuple(options))

    def _plan(self, query: Query, model: str) -> Plan:
        domain = query.domain or self.domain
        agents = (AgentSpec(role=team_of(domain)[0], model=model),)
        return Plan(mode=ModeSpec(name="IO"), domain=domain, agents=agents)
