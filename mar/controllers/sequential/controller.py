# pyright: basic
"""The controller: a mind for every kind of question, and the terms on which answers are bought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np
import torch

from mar.controllers.base import Planned, PlanSpace
from mar.controllers.careful import pool_doubt
from mar.controllers.embeddings import Encoder
from mar.controllers.sequential.calls import form_of
from mar.controllers.sequential.mind import SCALE, Mind
from mar.controllers.sequential.planner import Planner
from mar.controllers.sequential.policy import SequentialPolicy, Terms
from mar.types import Domain, Query


class Likes(Protocol):
    """What is known of who asks: the personal router's estimates (`GmtRouter.likes`), say."""

    def __call__(self, queries: Sequence[Query], space: PlanSpace) -> Sequence[Mapping[str, float]]:
        """For each query, by model: log-odds by which its answers serve this user better than others. Not named: 0."""
        ...


class Sequential:
    """Decides while it looks.

    Args:
        minds: By kind of question; the first is taken where nothing fits better.
        encoder: Of texts; give a cached one.
        terms: What an answer may cost. Every price is served without learning anew.
        domain: Of queries that do not state one.
        likes: Moves skills for queries that say who asks, before anything was heard; None: all users are alike.
    """

    def __init__(
        self,
        minds: Sequence[Mind],
        encoder: Encoder,
        terms: Terms,
        *,
        domain: Domain | None = None,
        likes: Likes | None = None,
    ) -> None:
        self.name = "sequential"
        self.minds, self.encoder, self.terms, self.domain = {m.kind: m for m in minds}, encoder, terms, domain
        self.likes = likes

    @property
    def cost_rate(self) -> float:
        """Utility per USD. It may be set: every price is served."""
        return self.terms.cost_rate

    @cost_rate.setter
    def cost_rate(self, rate: float) -> None:
        self.terms = replace(self.terms, cost_rate=rate)

    @property
    def time_rate(self) -> float:
        """Utility per second. It may be set: every price is served."""
        return self.terms.time_rate

    @time_rate.setter
    def time_rate(self, rate: float) -> None:
        self.terms = replace(self.terms, time_rate=rate)

    def mind(self, query: Query, vector: torch.Tensor) -> Mind:
        """The mind for a query: of its domain and form. A domain that is not known is that of the nearest questions; a
        mind for answers of another form lends what it knows of the models.

        Args:
            query: What is asked.
            vector: Its embedding, (E,).
        """
        form, domain = form_of(query), query.domain or self.domain
        if domain is None:
            domain = max(self.minds.values(), key=lambda m: float(m.topics.mean @ vector)).domain
        fits = sorted(self.minds.values(), key=lambda m: -(2 * (m.domain == domain) + (m.beliefs.form == form)))
        return fits[0].answering(form)

    as_published = False

    def doubts(self, queries: Sequence[Query], space: PlanSpace) -> list[str]:
        """Why the cards should decide in its place: a pool or prices that it knows nothing of, or a text far from all
        that it learned on. Answers of another form than it heard have to be nearer.
        """
        known = {name for mind in self.minds.values() for name in mind.beliefs.models}
        doubt = pool_doubt(space.cards, known, priced=self.terms.cost_rate > 0)
        if doubt:
            return [doubt] * len(queries)
        vectors = torch.from_numpy(self.encoder.encode([q.text for q in queries]))
        far = "the question is far from those that it learned from"
        return ["" if self._near(q, v) else far for q, v in zip(queries, vectors, strict=True)]

    def _near(self, query: Query, vector: torch.Tensor) -> bool:
        form, domain = form_of(query), query.domain or self.domain
        return any(
            mind.topics.near(vector) >= (mind.topics.edge if form == mind.beliefs.form else mind.topics.middle)
            for mind in self.minds.values()
            if domain in (None, mind.domain)
        )

    def plan(self, queries: Sequence[Query], space: PlanSpace) -> list[Planned]:
        """A policy for each query; texts are embedded together."""
        cards = {card.name: card for card in space.cards}
        vectors = torch.from_numpy(self.encoder.encode([q.text for q in queries]))
        liked = self._liked(queries, space)
        minds: dict[str, tuple[Mind, Planner]] = {}
        planned: list[Planned] = []
        for i, (query, vector) in enumerate(zip(queries, vectors, strict=True)):
            found = self.mind(query, vector)
            if found.kind not in minds:
                known = found.knowing(space.cards)
                minds[found.kind] = known, Planner(known.beliefs, telling=known.habits.telling)
            mind, planner = minds[found.kind]
            skill = (mind.skill(vector[None])[0] + _offset(liked.get(i, {}), mind)).numpy().astype(np.float64)
            make = partial(SequentialPolicy, mind, planner, skill, cards, self._within(space))
            planned.append(Planned(policy=make, notes={"kind": mind.kind}))
        return planned

    def _liked(self, queries: Sequence[Query], space: PlanSpace) -> dict[int, Mapping[str, float]]:
        """What users like, of the queries that say who asks."""
        known = [i for i, query in enumerate(queries) if query.user_id is not None]
        if self.likes is None or not known:
            return {}
        return dict(zip(known, self.likes([queries[i] for i in known], space), strict=True))

    def _within(self, space: PlanSpace) -> Terms:
        """The terms as far as a pool can answer: recorded answers have read nobody, and are the same again."""
        if not space.alone:
            return self.terms
        most = min(self.terms.most_calls, space.max_agents)
        return replace(self.terms, most_calls=most, reading=False, again=False)


def _offset(liked: Mapping[str, float], mind: Mind) -> torch.Tensor:
    """Of skills, (M,): so many log-odds of serving somebody better are worth as much as log-odds of accuracy."""
    return torch.tensor([SCALE * liked.get(name, 0.0) for name in mind.beliefs.models])
