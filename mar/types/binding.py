"""Late binding and early stopping: decided just before an agent runs, with what is known at that moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mar.types.chat import CallKind
from mar.types.plan import AgentSpec, Plan
from mar.types.query import Query
from mar.types.telemetry import ModelTelemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one episode may still spend. None: no limit."""

    seconds: float | None = None
    usd: float | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """What a binder sees when an agent is about to run."""

    query: Query
    plan: Plan
    agent: AgentSpec  # for the decider: its final role and the plan's `decider`
    kind: CallKind  # "agent" or "decider"
    index: int  # position of the agent in the plan; len(plan.agents) for the decider
    round: int
    remaining: Budget
    deadline: float | None = None  # on the event loop's clock, seconds
    now: float = 0.0  # on the event loop's clock, seconds
    started: float = 0.0  # when the episode began, on the same clock
    telemetry: Mapping[str, ModelTelemetry] = field(default_factory=dict[str, ModelTelemetry])


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What an agent runs on."""

    model: str
    strategy: str | None = None
    priority: int = 0  # lower runs first
    log_prob: float | None = None  # of this choice, when it was sampled


class Binder(Protocol):
    """Chooses the model and the strategy of an agent just before it runs."""

    async def bind(self, step: StepContext) -> Binding:
        """Bind one step. Steps that fall due at the same instant may be decided together."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundContext:
    """What a stop rule sees after a round."""

    query: Query
    plan: Plan
    round: int  # the round that has just ended, from 0
    outputs: tuple[str | None, ...]  # each agent's latest text, None where it failed or has not run
    remaining: Budget


class StopRule(Protocol):
    """May end an episode's rounds early; the decision is then made on what is there."""

    def should_stop(self, after: RoundContext) -> bool:
        """Whether the remaining rounds are left out."""
        ...
