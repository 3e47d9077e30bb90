"""A plan: the intent of a controller for one query, frozen and serialisable. What really ran is in the episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter

from mar.errors import ConfigError
from mar.reading import attempt
from mar.types.query import Domain

Decision = Literal[
    "final",  # a decider reads the agents' outputs and answers (published name: FinalRefer)
    "vote",  # the majority of the extracted answers, no further call (published name: Vote)
    "last",  # the output of the last agent (published name: Last)
    "agreed",  # what more than half of the agents say, where answers can be compared; else a decider
]
DECISIONS: tuple[Decision, ...] = ("final", "vote", "last", "agreed")
TieBreak = Literal[
    "first",  # the answer whose first supporter comes first in the plan
    "logprob",  # the answer with the highest mean log-probability among its supporters
    "zscore",  # the same, each model's log-probabilities measured in its own units (AgentSpec.confidence)
]
TIE_BREAKS: tuple[TieBreak, ...] = ("first", "logprob", "zscore")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidenceScale:
    """In which units a model's confidence is measured: z = (mean log-probability - centre) / spread."""

    centre: float  # nats per token
    spread: float  # nats per token, above 0

    def __post_init__(self) -> None:
        if not self.spread > 0:
            raise ConfigError(f"a confidence scale has spread {self.spread}; a number above 0 is expected")

    def z(self, mean_logprob: float) -> float:
        """A log-probability in these units."""
        return (mean_logprob - self.centre) / self.spread


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """One agent of a plan."""

    role: str  # name of a role of the plan's domain
    model: str | None = None  # name of a model card; None leaves it open until it runs
    strategy: str | None = None  # name of a prompt strategy (Flash, Concise, DeepThink); None: the role's own prompt
    confidence: ConfidenceScale | None = None  # for the tie-break "zscore"; None: its confidence cannot be compared


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeSpec:
    """A collaboration mode with its parameters: enough to rebuild its communication graph."""

    name: str  # IO, CoT, Chain, ...
    rounds: int | None = None  # None: the mode's own number
    width: int | None = None  # Layered: agents per layer; Tree: children per node
    seed: int = 0  # Random: which graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How agents collaborate on one query: mode, agents with their roles and models, and how the answer is decided."""

    mode: ModeSpec
    domain: Domain
    agents: tuple[AgentSpec, ...]
    decision: Decision = "final"
    decider: str | None = None  # model of the decider; None: the one most agents run on (bound late, like any agent)
    tie_break: TieBreak = "first"

    def __post_init__(self) -> None:
        if not self.agents:
            raise ConfigError("a plan has no agents; at least one is needed")

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary; `Plan.from_json` reads it back."""
        mode = {"name": self.mode.name, "rounds": self.mode.rounds, "width": self.mode.width, "seed": self.mode.seed}
        return {
            "mode": mode,
            "domain": self.domain,
            "agents": [_agent_to_json(a) for a in self.agents],
            "decision": self.decision,
            "decider": self.decider,
            "tie_break": self.tie_break,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """Rebuild a plan.

        Raises:
            ConfigError: A field is missing, unknown or has a value that no plan can have.
        """
        return attempt(lambda: _rebuilt(data), "not a plan", expected="what Plan.to_json writes", error=ConfigError)


@cache
def _checked() -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)


def _rebuilt(data: Mapping[str, Any]) -> Plan:
    fields = {name: data[name] for name in ("domain", "decision", "decider", "tie_break")}
    agents = tuple(_agent_from_json(a) for a in data["agents"])
    plan = Plan(mode=ModeSpec(**data["mode"]), agents=agents, **fields)
    return _checked().validate_python(asdict(plan))  # the dataclasses know their fields, and pydantic their types


def _agent_to_json(agent: AgentSpec) -> dict[str, Any]:
    """A dictionary without the confidence scale where there is none, as plans were written before there was one."""
    fields: dict[str, Any] = {"role": agent.role, "model": agent.model, "strategy": agent.strategy}
    scale = agent.confidence
    return fields if scale is None else {**fields, "confidence": {"centre": scale.centre, "spread": scale.spread}}


def _agent_from_json(data: Mapping[str, Any]) -> AgentSpec:
    fields: dict[str, Any] = dict(data)
    scale = fields.pop("confidence", None)
    return AgentSpec(**fields, confidence=None if scale is None else ConfidenceScale(**scale))
