# pyright: basic
"""The controller: a mind for every kind of question, and the terms on which answers are bought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

from mar.controllers.base import Planned, PlanSpace
from mar.controllers.embeddings import Encoder
from mar.controllers.sequential.calls import form_of
from mar.controllers.sequential.mind import Mind
from mar.controllers.sequential.planner import Outlook
from mar.controllers.sequential.policy import SequentialPolicy, Terms, weighed
from mar.types import Domain, Query

TOGETHER = 64  # queries whose first step is weighed at once


class Sequential:
    """Decides while it looks.

    Args:
        minds: By kind of question; the first is taken where nothing fits better.
        encoder: Of texts; give a cached one.
        terms: What an answer may cost. Every price is served without learning anew.
        domain: Of queries that do not state one.
    """

    name = "sequential"

    def __init__(self, minds: Sequence[Mind], encoder: Encoder, terms: Terms, *, domain: Domain | None = None) -> None:
        self.minds, self.encoder, self.terms, self.domain = {m.kind: m for m in minds}, encoder, terms, domain

    def at(self, cost_rate: float) -> None:
        """Serve another price of money."""
        self.terms = replace(self.terms, cost_rate=cost_rate)

    def mind(self, query: Query) -> Mind:
        """The mind for a query: of its domain and form, else of its form, else of its domain, else the first."""
        form, domain = form_of(query), query.domain or self.domain
        minds = list(self.minds.values())
        ranked = sorted(minds, key=lambda m: -(2 * (m.beliefs.form == form) + (m.domain == domain)))
        return ranked[0]

    def plan(self, queries: Sequence[Query], space: PlanSpace) -> list[Planned]:
        """A policy for each query; texts are embedded together."""
        cards = {card.name: card for card in space.cards}
        vectors = torch.from_numpy(self.encoder.encode([q.text for q in queries]))
        groups: dict[tuple[str, bool], list[int]] = {}
        for i, query in enumerate(queries):
            groups.setdefault((self.mind(query).kind, bool(query.shown_tests.tests)), []).append(i)
        planned: dict[int, Planned] = {}
        for (kind, _), places in groups.items():
            mind = self.minds[kind].knowing(space.cards)
            for at in range(0, len(places), TOGETHER):
                some = places[at : at + TOGETHER]
                skill = mind.skill(vectors[some])
                first = weighed(mind, [queries[i] for i in some], [[] for _ in some], skill, reading=False)
                for row, i in enumerate(some):
                    opening = Outlook(right=first.right[row : row + 1], alone=first.alone[row : row + 1], reading=None)
                    make = partial(SequentialPolicy, mind, skill[row : row + 1], cards, self._within(space), opening)
                    planned[i] = Planned(policy=make, notes={"kind": kind})
        return [planned[i] for i in range(len(queries))]

    def _within(self, space: PlanSpace) -> Terms:
        """The terms as far as a pool can answer: recorded answers have read nobody."""
        if not space.alone:
            return self.terms
        return replace(self.terms, most_calls=min(self.terms.most_calls, space.max_agents), reading=False)
