"""What a controller is: something that turns queries into plans, many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

from mar.errors import ConfigError
from mar.pool.cards import ModelCard
from mar.pool.pool import Pool
from mar.runtime.modes import PUBLISHED_MODES
from mar.runtime.prompts import PromptLibrary, Role
from mar.types import Domain, How, ModelTelemetry, Plan, PolicyFactory, Query, Why


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSpace:
    """What plans may be made of."""

    cards: tuple[ModelCard, ...]
    prompts: PromptLibrary
    modes: tuple[str, ...] = PUBLISHED_MODES
    max_agents: int = 6
    alone: bool = False  # each agent answers once and has read nobody; answers are settled by a vote

    def __post_init__(self) -> None:
        if self.max_agents < 1:
            raise ConfigError(f"the largest number of agents is {self.max_agents}; at least 1 is expected")

    @classmethod
    def of(
        cls, pool: Pool, prompts: PromptLibrary, *, max_agents: int = 6, modes: tuple[str, ...] = PUBLISHED_MODES
    ) -> PlanSpace:
        """Plans over all models of a pool, as far as it can answer them."""
        cards = tuple(pool.cards.values())
        if pool.reach == "anything":
            return cls(cards=cards, prompts=prompts, max_agents=max_agents, modes=modes)
        most = 1 if pool.reach == "single" else max_agents
        return cls(cards=cards, prompts=prompts, modes=("Vote",), max_agents=most, alone=True)

    @property
    def single_mode(self) -> str:
        """The mode in which one agent alone is run."""
        return "IO" if "IO" in self.modes else self.modes[0]

    def roles(self, domain: Domain) -> tuple[Role, ...]:
        """The roles that agents of a domain can take, by name.

        Raises:
            ConfigError: There is no such domain.
        """
        self.prompts.require_domain(domain)
        return tuple(self.prompts.roles[domain].values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """How one query will be worked on, and how that came about."""

    plan: Plan | None = None  # None: nothing is decided beforehand
    policy: PolicyFactory | None = None  # carries the plan out, or does without one; None: the plan is run as it is
    alternatives: tuple[str, ...] = ()  # models that a plan of one agent could run on instead, the best first
    log_prob: float | None = None  # of the plan under the policy that drew it; None for a fixed choice
    right: Mapping[str, float] = field(default_factory=dict[str, float])  # by model, that it alone is right: estimates
    usd: Mapping[str, float | None] = field(default_factory=dict[str, float | None])  # what it alone costs, likewise
    notes: Mapping[str, str] = field(default_factory=dict[str, str])  # e.g. the domain that was recognised
    why: Why | None = None  # what was expected of the plan and of the best others; a policy tells that by itself

    @property
    def how(self) -> How:
        """What the runtime takes."""
        if self.policy is not None:
            return self.policy
        return self.intent

    @property
    def intent(self) -> Plan:
        """The plan.

        Raises:
            ConfigError: There is none: everything is decided step by step.
        """
        if self.plan is None:
            raise ConfigError("this controller decides step by step and makes no plan; a plan is needed here")
        return self.plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """One point of an episode that is decided step by step."""

    heard: str  # last, in words; empty at the beginning
    chance: float | None  # of getting here from the point before; None: not known
    action: str  # what is done here
    right: float  # probability that the best answer so far is right
    usd: float | None  # expected cost of the action; None: unknown
    then: tuple[Foreseen, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        return asdict(self)


@runtime_checkable
class Foresees(Protocol):
    """A policy that can say beforehand what it would do."""

    def foresee(self, query: Query) -> Foreseen:
        """The first steps of an episode, nothing being run."""
        ...


class Controller(Protocol):
    """Decides how queries are worked on."""

    @property
    def name(self) -> str:
        """How tables call it."""
        ...

    def plan(self, queries: Sequence[Query], space: PlanSpace) -> list[Planned]:
        """One plan or policy per query, all decided together."""
        ...


@runtime_checkable
class Quick(Protocol):
    """A controller that may decide in far less than a millisecond, so that an event loop need not be left for it."""

    def quick(self, query: Query) -> bool:
        """Whether a plan for this query takes no reading of files, no network and no encoder that takes long."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The state of the world when a query arrives."""

    budget_s: float  # seconds until the answer comes too late
    telemetry: Mapping[str, ModelTelemetry]  # by model


@runtime_checkable
class LateController(Protocol):
    """A controller that decides by the load: its plans may be made on arrival."""

    sees_load: bool  # whether plans depend on the moment of arrival

    def plan_at(self, query: Query, space: PlanSpace, moment: Moment) -> Planned:
        """The plan of a query that has just arrived."""
        ...
