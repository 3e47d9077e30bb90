# pyright: basic
"""Planner and executor together: a controller that plans on arrival and binds each agent when it is about to run.

variant     planner                                    executor
early       shapes from the query alone                one hidden layer, separate heads (`networks`)
published   MasRouter's cascade without its LLMs       dual-path network, one joint head (`networks`)
ours        shapes by worth under load (`goodput`)     models and strategies by worth under load (`goodput`)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from mar.controllers.base import Moment, Planned, PlanSpace
from mar.controllers.embeddings import Encoder
from mar.controllers.masrouter import MasRouter, NetworkSettings
from mar.controllers.system_aware.executor import NO_DEADLINE_S, LateExecutor, Senses
from mar.controllers.system_aware.goodput import GoodputExecutor, GoodputPlanner
from mar.controllers.system_aware.networks import EarlyExecutor, PublishedExecutor
from mar.controllers.system_aware.planners import Ask, CascadePlanner, EarlyPlanner, Planner, ShapePlanner
from mar.controllers.system_aware.shapes import StopOnAgreement, early_shapes, load_aware_shapes, stages
from mar.errors import CheckpointError, ConfigError
from mar.runtime.plan_policy import PlanPolicy
from mar.types import Bind, Domain, Plan, Policy, PolicyFactory, Query

Variant = Literal["early", "published", "ours"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
STRATEGIES = ("Flash", "Concise", "DeepThink")


class SystemSettings(BaseModel):
    """What a system-aware controller is made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    variant: Variant = "ours"
    domain: Domain
    models: tuple[str, ...] = Field(min_length=1, max_length=1_000)  # names, in the networks' order
    embedding: int = Field(default=384, gt=0, le=16_384)
    estimates: bool = False  # published: the estimator's tokens and seconds as further inputs
    toll: float = Field(default=0.2, ge=0)  # ours: see `goodput`
    router: NetworkSettings | None = None  # published: of the cascade

    @property
    def strategies(self) -> tuple[str | None, ...]:
        """The prompt strategies; ours may also leave a role its own prompt."""
        return (None, *STRATEGIES) if self.variant == "ours" else STRATEGIES


class SystemAware:
    """The controller.

    Args:
        settings: Its make.
        planner: Chooses plans.
        executor: Chooses models and strategies.
    """

    def __init__(self, settings: SystemSettings, planner: Planner, executor: LateExecutor) -> None:
        self.settings, self.planner, self.executor = settings, planner, executor
        self.name = f"system-aware, {settings.variant}"

    def carried(self, plan: Plan, bind: Bind | None = None) -> PolicyFactory:
        """What carries a plan out: on models that the executor (or `bind`) chooses; ours leaves needless rounds out."""

        def policy() -> Policy:
            late = PlanPolicy(plan, bind=bind or self.executor.over(plan), name=self.name)
            return StopOnAgreement(late) if self.settings.variant == "ours" else late

        return policy

    @property
    def sees_load(self) -> bool:
        """Whether plans depend on the load."""
        return self.planner.sees_load

    @property
    def greedy(self) -> bool:
        """Whether the most likely plan and model are taken instead of drawn ones."""
        return self.executor.greedy

    @greedy.setter
    def greedy(self, value: bool) -> None:
        self.executor.greedy = value

    def plan(self, queries: Sequence[Query], space: PlanSpace) -> list[Planned]:
        """Plans as if every server were idle and there were no deadline."""
        return self._plan(queries, space, Moment(budget_s=NO_DEADLINE_S, telemetry={}))

    def plan_at(self, query: Query, space: PlanSpace, moment: Moment) -> Planned:
        """The plan of a query that has just arrived."""
        return self._plan([query], space, moment)[0]

    def _plan(self, queries: Sequence[Query], space: PlanSpace, moment: Moment) -> list[Planned]:
        if not queries:
            return []
        senses = self.executor.senses
        asks = [
            Ask(seen=senses.arrival(q, moment.budget_s, moment.telemetry), key=f"{self.executor.seed}/{q.id}/plan")
            for q in queries
        ]
        drawn = self.planner.draw(asks, space, greedy=self.greedy)
        if any(math.isnan(d.log_prob) for d in drawn):
            raise CheckpointError("the weights of this controller give no probabilities: they are far too large")
        return [Planned(plan=d.plan, policy=self.carried(d.plan), log_prob=d.log_prob) for d in drawn]


def build(
    settings: SystemSettings, space: PlanSpace, encoder: Encoder, *, seed: int = 0, router: MasRouter | None = None
) -> SystemAware:
    """A controller with fresh weights.

    Args:
        settings: Its make.
        space: The models and roles.
        encoder: Of texts.
        seed: Of the weights and the draws.
        router: Published: the cascade to begin with; None: a fresh one.

    Raises:
        ConfigError: The pool's models are not those of the settings.
    """
    cards = {card.name: card for card in space.cards}
    missing = [name for name in settings.models if name not in cards]
    if missing:
        raise ConfigError(f"this controller was made for model {missing[0]!r}, which the pool does not have")
    senses = Senses([cards[name] for name in settings.models], encoder, space.prompts)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        executor = LateExecutor(_executor(settings), senses, settings.strategies, seed=seed)
        planner = _planner(settings, space, encoder, seed, router)
    return SystemAware(settings, planner, executor)


def _executor(settings: SystemSettings) -> nn.Module:
    size = (settings.embedding, len(settings.models), len(settings.strategies))
    if settings.variant == "early":
        return EarlyExecutor(*size)
    if settings.variant == "published":
        return PublishedExecutor(*size, estimates=settings.estimates)
    return GoodputExecutor(*size, toll=settings.toll)


def _planner(
    settings: SystemSettings, space: PlanSpace, encoder: Encoder, seed: int, router: MasRouter | None
) -> Planner:
    domain = settings.domain
    if settings.variant == "published":
        shape = settings.router or NetworkSettings(embedding=settings.embedding, max_agents=space.max_agents)
        fresh = router or MasRouter(shape, encoder, cost_rate=1.0, seed=seed)
        return CascadePlanner(fresh, domain)
    if settings.variant == "early":
        shapes = early_shapes(domain)
        return ShapePlanner(EarlyPlanner(settings.embedding, len(shapes)), shapes, domain, sees_load=False)
    shapes = load_aware_shapes(domain)
    network = GoodputPlanner(settings.embedding, stages(shapes, domain, space.prompts), toll=settings.toll)
    return ShapePlanner(network, shapes, domain, sees_load=True)
