"""What the engine runs: a policy, which is asked for the next moves until it settles the answer.

The engine asks at the beginning and again whenever moves have ended. Moves start at once, beside those under way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from mar.types.chat import Feedback
from mar.types.events import DecidedHow
from mar.types.failure import Failure
from mar.types.plan import AgentSpec, Plan, TieBreak
from mar.types.query import Domain, Query
from mar.types.telemetry import ModelTelemetry
from mar.types.usage import ZERO_USAGE, Usage
from mar.types.why import Why

MoveKind = Literal[
    "agent",
    "decider",  # reads what agents said and answers in the final role of the query's answer format
]
SpentBudget = Literal["usd", "tokens", "seconds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one episode may still spend. None: no limit."""

    seconds: float | None = None
    usd: float | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What an agent runs on."""

    model: str
    strategy: str | None = None
    priority: int = 0  # lower runs first
    log_prob: float | None = None  # of this choice, when it was sampled


Bind = Callable[["Move", "View"], Awaitable[Binding]]
"""Chooses the model of a move just before its first call. Moves of one instant may be decided together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One agent's turn. Query, `index`, `round` and `kind` name its draws, so no two moves of an episode share them."""

    agent: AgentSpec  # role (a decider's is the answer format's), model, strategy
    domain: Domain  # whose roles the agent's is one of
    index: int  # which agent it is, from 0
    round: int = 0
    kind: MoveKind = "agent"
    reads: tuple[str, ...] = ()  # ids of the messages that it is shown, oldest first
    own: str | None = None  # id of what this agent said before, which it is shown as its own
    instruction: str = "alone"  # name of the round instruction
    mode: str = ""  # name of the collaboration mode it is part of
    answers: bool = True  # whether its text is read as the answer
    final: bool = False  # whether what it says is the answer, if it says anything: then it is shown while it is written
    revises: bool = False  # whether it makes its role's revise call, where the role and the pool have one
    check: bool = False  # run the shown tests on what it says, whatever the role; that takes no call
    logprobs: bool = False  # ask for the mean log-probability
    wave: int | None = None  # how many moves must precede it; None: one more than any that it reads
    priority: int = 0  # lower runs first where the server schedules by priority
    log_prob: float | None = None  # of choosing this move, when it was sampled
    bind: Bind | None = None  # chooses the model, strategy, priority and log_prob in place of those above
    why: Why | None = None
    again: int = 0  # how many moves like this one failed before it, on other models


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A move that has ended: the message that it produced, or why there is none."""

    id: str  # of the message; also of one that was not produced
    move: Move
    text: str | None  # None: nothing was produced
    model: str | None = None  # None: no call was answered: code that already passes was passed on, or it failed
    strategy: str | None = None
    report: str = ""  # what tools found out about the text, in words
    feedback: Feedback = ""  # what the shown tests say about it, where they were run
    mean_logprob: float | None = None  # nats per token
    confidence: float | None = None  # the same in the units that the agent's spec states, where it states any
    cut: bool = False  # whether the output limit cut it off
    usage: Usage = ZERO_USAGE  # of all calls of the move, failed ones included
    latency_s: float = 0.0  # from the start of the move to its end, tools included
    source: str | None = None  # id of the message that was passed on unchanged
    failure: Failure | None = None  # why nothing was produced; of kind "limit" where a budget forbade the call
    verbatim: Mapping[str, Any] | None = None  # the server's own reply, where the client's own request was sent on

    @property
    def label(self) -> str:
        """How others are told who said it."""
        return f"Agent {self.move.index + 1} ({self.move.agent.role})"


def _nothing() -> Mapping[str, ModelTelemetry]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a policy sees when it is asked."""

    query: Query
    said: tuple[Said, ...] = ()  # moves that have ended, in that order
    under_way: tuple[Move, ...] = ()  # moves that have not, in the order of their start
    spent: Usage = ZERO_USAGE  # by all calls so far
    remaining: Budget = Budget()
    over: SpentBudget | None = None  # the budget that forbids any further call; None: calls may be made
    started: float = 0.0  # when the episode began, on the event loop's clock, seconds
    now: float = 0.0  # on the same clock
    deadline: float | None = None  # on the same clock; after it the answer comes too late
    watch: Callable[[], Mapping[str, ModelTelemetry]] = _nothing

    @property
    def messages(self) -> tuple[Said, ...]:
        """Moves that produced something."""
        return tuple(s for s in self.said if s.text is not None)

    @property
    def telemetry(self) -> Mapping[str, ModelTelemetry]:
        """The load of every model, as it is known when this is read."""
        return self.watch()

    def answer(self, message: Said) -> str | None:
        """The answer in a message; None when none can be read."""
        return None if message.text is None else self.query.answer_format.extract(message.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Ends an episode; moves under way are called off."""

    how: DecidedHow
    messages: tuple[str, ...] = ()  # ids: a vote is among them, every other answer is read from the last of them
    tie_break: TieBreak = "first"  # of a vote
    why: Why | None = None


class Policy(Protocol):
    """Decides step by step how agents collaborate on one query. An object serves one episode and may keep state."""

    @property
    def name(self) -> str:
        """What it is called; with the query and the moves it names the messages."""
        ...

    @property
    def plan(self) -> Plan | None:
        """The plan that it carries out, if any."""
        ...

    async def next(self, view: View) -> Sequence[Move] | Settle:
        """What is done now.

        No move waits for those under way, and is an error when there are none. Once `view.over` says that a budget
        is spent, a move makes no call: all that it can do is pass on code that already passes the shown tests. After
        "seconds" nothing can be started, and the majority's answer is taken from a policy that does not settle.
        """
        ...


PolicyFactory = Callable[[], Policy]
"""Makes the policy of one episode."""
How = Plan | PolicyFactory
"""How a query is worked on."""
