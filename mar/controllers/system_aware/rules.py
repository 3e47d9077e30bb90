"""Rules that choose an agent's model by the load of the moment, without learning: what learned executors must beat.

Every rule also gives the call its deadline as priority, so that servers which schedule by priority serve the earliest
deadline first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random

from mar.controllers.base import Controller, LateController, Moment, Planned, PlanSpace
from mar.controllers.baselines import team_of
from mar.controllers.system_aware.delay import Load, loads
from mar.errors import ConfigError
from mar.pool.cards import ModelCard
from mar.runtime.plan_policy import PlanPolicy
from mar.types import AgentSpec, Binding, Domain, ModeSpec, Move, Plan, Query, View

PRIORITIES_PER_S = 1000  # deadlines are told apart to the millisecond


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a rule sees of one step."""

    loads: Sequence[Load]  # of every model that may be used, in the pool's order
    prices: Sequence[float]  # USD per million tokens, prompt and completion together; infinite where unknown
    qualities: Sequence[float]  # share of queries that the model solves alone, measured beforehand; 1 where it was not
    remaining_s: float  # until the deadline; infinite without one
    random: Random  # seeded by the query and the step


@dataclass(slots=True, kw_only=True)
class Rule:
    """Applies one rule to every move of a plan, whatever model the plan names.

    Args:
        name: How tables call it.
        choose: Index of the model to use.
        cards: The models to choose from.
        qualities: Share of queries that each model solves alone, for the rules that weigh it.
    """

    name: str
    choose: Callable[[Situation], int]
    cards: Sequence[ModelCard]
    qualities: Mapping[str, float] = field(default_factory=dict[str, float])

    async def bind(self, move: Move, view: View) -> Binding:
        """The rule's model, and the deadline as priority."""
        situation = Situation(
            loads=loads(self.cards, view.telemetry),
            prices=[_price(card) for card in self.cards],
            qualities=[self.qualities.get(card.name, 1.0) for card in self.cards],
            remaining_s=math.inf if view.deadline is None else view.deadline - view.now,
            random=Random(f"{view.query.id}/{move.round}/{move.index}"),
        )
        model = self.cards[self.choose(situation)].name
        return Binding(model=model, strategy=move.agent.strategy, priority=deadline_priority(view.deadline))


def deadline_priority(deadline: float | None) -> int:
    """Earliest deadline first, as a server's priority (lower runs first); no deadline comes after all others."""
    return 0 if deadline is None else round(deadline * PRIORITIES_PER_S)


def least_loaded(at: Situation) -> int:
    """The model with the fewest calls per slot."""
    return _best(at, lambda i: -at.loads[i].share)


def shortest_expected_delay(at: Situation) -> int:
    """The model that would answer first."""
    return _best(at, lambda i: -at.loads[i].delay_s)


def power_of_two(at: Situation) -> int:
    """The less loaded of two models drawn at random (Mitzenmacher 2001)."""
    if len(at.loads) == 1:
        return 0
    first, second = at.random.sample(range(len(at.loads)), 2)
    return first if at.loads[first].share <= at.loads[second].share else second


def cheapest_feasible(at: Situation) -> int:
    """The cheapest model that would answer in time; the fastest where none would."""
    in_time = [i for i, load in enumerate(at.loads) if load.delay_s <= at.remaining_s]
    if not in_time:
        return shortest_expected_delay(at)
    return min(in_time, key=lambda i: (at.prices[i], i))


def best_feasible(at: Situation) -> int:
    """The best model alone that would answer in time; the fastest where none would."""
    in_time = [i for i, load in enumerate(at.loads) if load.delay_s <= at.remaining_s]
    if not in_time:
        return shortest_expected_delay(at)
    return max(in_time, key=lambda i: (at.qualities[i], -i))


def marginal_value(at: Situation) -> int:
    """The most value above what the server's time is worth to other queries.

    A slot-second of the pool is worth at most `rate` = max over models of quality * slots / service time, and it is
    scarce to the degree that the pool is full. So a model's value is quality if it answers in time, minus the share of
    full slots times rate times the slot-seconds that the call takes there.
    """
    full = min(1.0, sum(min(load.share, 1.0) * load.slots for load in at.loads) / sum(load.slots for load in at.loads))
    pairs = zip(at.qualities, at.loads, strict=True)
    rate = max((q * load.slots / load.service_s for q, load in pairs if load.answers), default=0.0)

    def value(i: int) -> float:
        load = at.loads[i]
        if not load.answers:
            return -math.inf
        in_time = at.qualities[i] if load.delay_s <= at.remaining_s else 0.0
        return in_time - full * rate * load.service_s / load.slots

    return _best(at, value)


RULES: Mapping[str, Callable[[Situation], int]] = {
    "least-loaded": least_loaded,
    "shortest-expected-delay": shortest_expected_delay,
    "power-of-two": power_of_two,
    "cheapest-feasible": cheapest_feasible,
    "best-feasible": best_feasible,
    "marginal-value": marginal_value,
}


def rule(name: str, cards: Sequence[ModelCard], qualities: Mapping[str, float] | None = None) -> Rule:
    """A rule by name.

    Raises:
        ConfigError: There is no such rule.
    """
    if name not in RULES:
        raise ConfigError(f"no rule {name!r}; there are {', '.join(RULES)}")
    return Rule(name=name, choose=RULES[name], cards=cards, qualities=qualities or {})


class ByRule:
    """A controller's plans, on the models of a rule.

    Args:
        plans: Who makes the plans.
        rule: Who chooses the models.
        name: How tables call it.
    """

    def __init__(self, plans: Controller, rule: Rule, *, name: str | None = None) -> None:
        self.plans, self.rule = plans, rule
        self.name = name or f"{plans.name}+{rule.name}"

    @property
    def sees_load(self) -> bool:
        """Whether plans depend on the moment of arrival."""
        return isinstance(self.plans, LateController) and self.plans.sees_load

    def plan(self, queries: Sequence[Query], space: PlanSpace) -> list[Planned]:
        """Plans whose models are chosen when they run."""
        return [self._ruled(p) for p in self.plans.plan(queries, space)]

    def plan_at(self, query: Query, space: PlanSpace, moment: Moment) -> Planned:
        """The same for a query that has just arrived."""
        if not isinstance(self.plans, LateController):
            return self.plan([query], space)[0]
        return self._ruled(self.plans.plan_at(query, space, moment))

    def _ruled(self, planned: Planned) -> Planned:
        return replace(planned, policy=partial(PlanPolicy, planned.intent, bind=self.rule.bind, name=self.name))


class OpenPlans:
    """One agent per query, whose model is left open for a rule; its prompt strategy is fixed."""

    def __init__(self, domain: Domain, *, name: str = "one agent", strategy: str | None = None) -> None:
        self.name = name
        agents = (AgentSpec(role=team_of(domain)[0], strategy=strategy),)
        self._plan = Plan(mode=ModeSpec(name="IO"), domain=domain, agents=agents)

    def plan(self, queries: Sequence[Query], space: PlanSpace) -> list[Planned]:
        """The same open plan for all."""
        return [Planned(plan=self._plan) for _ in queries]


def _best(at: Situation, value: Callable[[int], float]) -> int:
    """The model of the greatest value; of equal ones the one drawn, so that no model is favoured for its place."""
    order = list(range(len(at.loads)))
    at.random.shuffle(order)
    return max(order, key=value)


def _price(card: ModelCard) -> float:
    return math.inf if card.price_in is None or card.price_out is None else card.price_in + card.price_out
