"""How a cascade plays an episode: it asks models that read nothing, by number, until it takes one's answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, Self

from mar.controllers.base import Planned, PlanSpace
from mar.controllers.baselines import team_of
from mar.controllers.cascades.logistic import Floats
from mar.controllers.cascades.table import Table
from mar.controllers.embeddings import Encoder
from mar.controllers.sequential.calls import Asked, Call, in_view
from mar.types import AgentSpec, Domain, Move, Query, Settle, View, Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What was said so far about a question."""

    asked: Asked  # with the calls of those that spoke
    models: tuple[int, ...]  # whose calls these are
    order: tuple[int, ...] = ()  # everybody who was asked, those who failed too

    def call(self, model: int) -> Call | None:
        """What a model said; None: it failed, or was not asked."""
        pairs = zip(self.models, self.asked.calls, strict=True)
        return next((call for m, call in pairs if m == model), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Ask these models at once."""

    models: tuple[int, ...]
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """Take the answer of a model that spoke."""

    model: int
    why: Why


class Rule(Protocol):
    """How one query is worked on."""

    def ask(self, heard: Heard) -> Ask | None:
        """Whom to ask next; None: nobody."""
        ...

    def take(self, heard: Heard) -> Take:
        """Whose answer to take; somebody has spoken."""
        ...


class Method(Protocol):
    """A kind of cascade that was learned."""

    @property
    def name(self) -> str:
        """How tables call it."""
        ...

    @property
    def table(self) -> Table:
        """What it was learned from."""
        ...

    def at(self, cost_rate: float) -> Self:
        """The same at another price of money."""
        ...

    def rules(self, models: tuple[int, ...], most: int, texts: Floats) -> Sequence[Rule]:
        """A rule for each query.

        Args:
            models: That may be asked, the best alone first.
            most: Calls that may be made.
            texts: Coordinates of the queries' texts, (n, K).
        """
        ...


class CascadePolicy:
    """Plays one episode by a rule. While nobody has spoken, the next best model is asked."""

    plan = None  # what is done depends on what is heard

    def __init__(self, name: str, rule: Rule, names: Sequence[str], models: Sequence[int], domain: Domain, most: int):
        self.name, self.rule, self.names, self.models = name, rule, names, models
        self.domain: Domain = domain
        self.most = most

    async def next(self, view: View) -> Sequence[Move] | Settle:
        """Ask on, or settle."""
        if view.under_way:
            return ()
        heard = self._heard(view)
        if not view.over and len(view.said) < self.most and (ask := self._ask(heard)) is not None:
            return [self._move(view, i, model, ask.why) for i, model in enumerate(ask.models)]
        if not heard.models:
            return Settle(how="chosen", messages=tuple(s.id for s in view.said[-1:]))
        take = self.rule.take(heard)
        call = heard.call(take.model)
        assert call is not None  # a rule takes from those who spoke
        return Settle(how="chosen", messages=(call.message_id,), why=take.why)

    def _ask(self, heard: Heard) -> Ask | None:
        ask = self.rule.ask(heard)
        if ask is not None or heard.models:
            return ask
        left = next((m for m in self.models if m not in heard.order), None)
        return None if left is None else Ask(models=(left,), why=Why(because="nobody has answered"))

    def _heard(self, view: View) -> Heard:
        numbers = {s.id: self.names.index(s.move.agent.model or "") for s in view.said}
        calls = in_view(view)
        return Heard(
            asked=Asked.of(view.query, calls),
            models=tuple(numbers[call.message_id] for call in calls),
            order=tuple(numbers[s.id] for s in sorted(view.said, key=lambda s: s.move.index)),
        )

    def _move(self, view: View, place: int, model: int, why: Why) -> Move:
        return Move(
            agent=AgentSpec(role=team_of(self.domain)[0], model=self.names[model]),
            domain=self.domain,
            index=len(view.said) + place,
            check=bool(view.query.shown_tests.tests),
            logprobs=True,
            why=why if place == 0 else None,
        )


class Cascade:
    """A controller that works by a method. It was learned from a table of calls, and serves every price of money.

    Args:
        method: That was learned.
        encoder: Of texts; give a cached one.
        domain: Of queries that do not state one.
    """

    def __init__(self, method: Method, encoder: Encoder, domain: Domain) -> None:
        self.method, self.encoder = method, encoder
        self.domain: Domain = domain

    @property
    def name(self) -> str:
        """How tables call it."""
        return self.method.name

    @property
    def cost_rate(self) -> float:
        """Utility per USD. It may be set: what is chosen by it is chosen anew from the calls."""
        return self.method.table.cost_rate

    @cost_rate.setter
    def cost_rate(self, rate: float) -> None:
        self.method = self.method.at(rate)

    def plan(self, queries: Sequence[Query], space: PlanSpace) -> list[Planned]:
        """A policy for each query, of models in the space alone; texts are embedded together."""
        table = self.method.table
        models = table.among(space.cards)
        most = min(len(models), space.max_agents) if space.alone else len(models)
        texts = table.coordinates(self.encoder.encode([q.text for q in queries]))
        rules = self.method.rules(models, most, texts)
        return [
            Planned(
                policy=partial(CascadePolicy, self.name, rule, table.models, models, query.domain or self.domain, most)
            )
            for query, rule in zip(queries, rules, strict=True)
        ]
