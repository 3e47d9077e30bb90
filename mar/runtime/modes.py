"""Collaboration modes: who speaks to whom, and what that costs before it is run.

A mode turns a number of agents into a communication graph that is run for one or more rounds. Within a round, agent i
may read what agents before it said in this round (`reads_now`, acyclic, edges only from lower to higher index).
Between rounds there is a barrier; in a later round every agent also reads messages of the previous round, either only
its own (`remembers="own"`) or everybody's (`remembers="all"`).

Formulas. With N agents, w_i = 1 + [role i has a revise call] (1 where the mode replaces revise calls, as Reflection
does), R rounds and D = 1 when a decider speaks at the end:

    calls  = R * sum(w) + D
    stages = R * S(w) + D        stages that must follow each other

where S is the longest weighted path of one round's graph. Both are exact when nothing passes through (code that already
passes the shown tests skips an agent's calls), and upper bounds otherwise.

A mode of one's own is a `Mode` that is registered in `MODES` (docs/extending.md).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from mar.errors import ConfigError
from mar.extensions import Registry
from mar.pool.pool import Reach
from mar.types import Decision, ModeSpec, Plan

Reads = tuple[tuple[int, ...], ...]
Weights = Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round of a communication graph. `reads_now[i]` and `reads_before[i]` list agents in ascending order."""

    reads_now: Reads  # whose messages of this round agent i reads
    reads_before: Reads  # whose messages of the previous round agent i reads
    instruction: str  # name of the round instruction (a file under prompts/rounds)

    def waves(self) -> tuple[int, ...]:
        """Topological level of each agent: agents of one level can run at once."""
        levels: list[int] = []
        for sources in self.reads_now:
            levels.append(1 + max((levels[j] for j in sources), default=-1))
        return tuple(levels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """A collaboration mode."""

    name: str
    reads: Callable[[int, ModeSpec], Reads]  # for a number of agents, whom each reads: agents before it, ascending
    first: str = "alone"  # instruction of the first round
    later: str = "reflect"  # instruction of later rounds
    rounds: int = 1
    remembers: Literal["own", "all"] = "own"
    revises: bool = True  # whether roles make their revise calls
    votes: bool = False  # whether the answer is the majority's, without a final call

    def n_rounds(self, spec: ModeSpec) -> int:
        """Rounds of a plan in this mode."""
        return self.rounds if spec.rounds is None else spec.rounds

    def stages(self, weights: Weights, spec: ModeSpec) -> int:
        """S(w): the longest weighted path of one round."""
        finish: list[int] = []
        first = self.graph(len(weights), spec)[0]
        for weight, sources in zip(weights, first.reads_now, strict=True):
            finish.append(weight + max((finish[j] for j in sources), default=0))
        return max(finish)

    def graph(self, agents: int, spec: ModeSpec) -> tuple[Round, ...]:
        """The rounds of the communication graph for a number of agents.

        Raises:
            ConfigError: The mode gives no graph of that many agents whose edges lead from lower to higher index.
        """
        return _rounds(self, agents, spec)


@lru_cache(maxsize=1024)  # few different graphs are played, and each often
def _rounds(mode: Mode, agents: int, spec: ModeSpec) -> tuple[Round, ...]:
    reads = tuple(tuple(sources) for sources in mode.reads(agents, spec))
    if len(reads) != agents or any(s != tuple(sorted({j for j in s if 0 <= j < i})) for i, s in enumerate(reads)):
        raise ConfigError(
            f"mode {mode.name}: for {agents} agents it gives {reads}; expected for each the agents before it that "
            "it reads, in ascending order"
        )
    nothing: Reads = tuple(() for _ in range(agents))
    everybody = tuple(range(agents))
    before: Reads = tuple((i,) if mode.remembers == "own" else everybody for i in range(agents))
    first = Round(reads_now=reads, reads_before=nothing, instruction=mode.first)
    later = Round(reads_now=reads, reads_before=before, instruction=mode.later)
    return (first, *[later] * (mode.n_rounds(spec) - 1))


def _alone(n: int, _: ModeSpec) -> Reads:
    return tuple(() for _ in range(n))


def _chain(n: int, _: ModeSpec) -> Reads:
    return tuple((i - 1,) if i else () for i in range(n))


def _complete(n: int, _: ModeSpec) -> Reads:
    return tuple(tuple(range(i)) for i in range(n))


def _star(n: int, _: ModeSpec) -> Reads:
    return (*(() for _ in range(n - 1)), tuple(range(n - 1)))


def _width(spec: ModeSpec) -> int:
    return 2 if spec.width is None else spec.width


def _parent(agent: int, n: int, width: int) -> int:
    # A heap numbered from the end: agent n-1 is the root, so that edges lead from lower to higher index.
    return n - 1 - (n - 2 - agent) // width


def _tree(n: int, spec: ModeSpec) -> Reads:
    width = _width(spec)
    return tuple(tuple(j for j in range(i) if _parent(j, n, width) == i) for i in range(n))


def _layered(n: int, spec: ModeSpec) -> Reads:
    width = _width(spec)
    return tuple(tuple(range((i // width - 1) * width, i // width * width)) if i >= width else () for i in range(n))


def _random(n: int, spec: ModeSpec) -> Reads:
    rng = random.Random(spec.seed)
    reads: list[tuple[int, ...]] = []
    for i in range(n):
        chosen = tuple(j for j in range(i) if rng.random() < 0.5)
        reads.append(chosen or ((i - 1,) if i else ()))  # nobody but the first works without reading somebody
    return tuple(reads)


_ALL = (
    # Nobody waits for anybody: S(w) = max(w).
    Mode(name="IO", reads=_alone, first="alone"),
    Mode(name="CoT", reads=_alone, first="step_by_step"),
    Mode(name="Vote", reads=_alone, first="alone", votes=True),
    # Everybody waits for the one before: S(w) = sum(w).
    Mode(name="Chain", reads=_chain, first="build_on"),
    Mode(name="FullConnected", reads=_complete, first="build_on"),
    # Later rounds read what everybody said before, oneself included.
    Mode(name="Debate", reads=_alone, first="alone", later="debate", rounds=2, remembers="all"),
    Mode(name="MoA", reads=_alone, first="alone", later="aggregate", rounds=2, remembers="all"),
    # Its second round is the revision, so roles make no revise call of their own.
    Mode(name="Reflection", reads=_alone, first="alone", rounds=2, revises=False),
    Mode(name="Star", reads=_star, first="build_on"),  # the hub, the last agent, reads all leaves
    Mode(name="Tree", reads=_tree, first="build_on"),  # the root is the last agent; a node has up to `width` children
    Mode(name="Layered", reads=_layered, first="build_on"),  # layers of `width` agents
    Mode(name="Random", reads=_random, first="build_on"),  # every pair i < j is connected with probability 1/2
)
MODES = Registry[Mode](
    "mode",
    group="mar.modes",
    fits=lambda thing: isinstance(thing, Mode),
    expected="a mar.runtime.Mode",
    own={mode.name: mode for mode in _ALL},
)
PUBLISHED_MODES = ("IO", "CoT", "Chain", "FullConnected", "Debate", "Reflection")


def get_mode(spec: ModeSpec) -> Mode:
    """The mode of a specification.

    Raises:
        ConfigError: The mode is unknown or a parameter is out of range.
    """
    mode = MODES.find(spec.name)
    for what, value in (("rounds", spec.rounds), ("width", spec.width)):
        if value is not None and value < 1:
            raise ConfigError(f"mode {spec.name}: {what} is {value}; at least 1 is expected")
    return mode


def known_mode(name: str) -> str:
    """The name of a mode that a person named; one named by its place is registered.

    Raises:
        ConfigError: There is none.
    """
    mode = MODES.named(name)
    MODES.register(mode.name, mode)
    return mode.name


DECIDERS: tuple[Decision, ...] = ("final", "agreed")


def decision_of(plan: Plan) -> Decision:
    """How a plan's answer is settled: by its decision, except that a mode that votes never makes the final call."""
    return "vote" if plan.decision in DECIDERS and get_mode(plan.mode).votes else plan.decision


def has_decider(plan: Plan) -> bool:
    """Whether a plan may end with a final call: never in a mode that votes, never for one agent."""
    return len(plan.agents) > 1 and decision_of(plan) in DECIDERS


def beyond_reach(plan: Plan, reach: Reach) -> str | None:
    """Why a plan asks more of a pool than it can answer; None where it does not."""
    graph = get_mode(plan.mode).graph(len(plan.agents), plan.mode)
    if reach == "anything":
        return None
    if reach == "single" and len(plan.agents) > 1:
        return f"{len(plan.agents)} agents, whose answers cannot be compared: only their scores were recorded"
    if len(graph) > 1:
        return f"{len(graph)} rounds of mode {plan.mode.name}, of which the first alone was recorded"
    if any(reads for one in graph for reads in one.reads_now):
        return f"agents that read each other (mode {plan.mode.name}), of whom nobody recorded anything"
    return "a decider, who reads the agents' answers; nobody recorded one" if has_decider(plan) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a plan takes at the most, computed before it is run."""

    calls: int  # model calls
    stages: int  # calls that must follow each other


def plan_bound(plan: Plan, revises: Sequence[bool], tools: Sequence[int] = ()) -> Bound:
    """Calls and stages of a plan.

    Args:
        plan: The plan.
        revises: For each agent whether its role has a revise call.
        tools: For each agent, and then for the decider, calls of tools that one message may be made with: each may take
            a call of the model's. None given: no tools.
    """
    mode = get_mode(plan.mode)
    *agents, last = [1 + n for n in tools] or [1] * (len(revises) + 1)
    weights = [(1 + (mode.revises and r)) * n for r, n in zip(revises, agents, strict=True)]
    rounds = mode.n_rounds(plan.mode)
    decider = last if has_decider(plan) else 0
    return Bound(calls=rounds * sum(weights) + decider, stages=rounds * mode.stages(weights, plan.mode) + decider)
