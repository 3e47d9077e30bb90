"""The trace: a run of an episode is a list of small typed events, from which everything else is derived."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mar.types.chat import CallKind, Message, ToolCall
from mar.types.failure import Failure
from mar.types.plan import Plan
from mar.types.usage import ZERO_USAGE, Usage
from mar.types.why import Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened `t` seconds after its episode began."""

    t: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEvent(Event):
    """Something that happened to one agent in one round."""

    index: int  # which agent; a plan's decider comes after its agents
    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeStarted(Event):
    """The query was taken up."""

    plan: Plan | None  # None: the policy has none
    policy: str = "plan"  # name of the policy
    query_id: str
    query: str
    call_bound: int | None  # upper bound of model calls, before the run; None without a plan
    stage_bound: int | None  # upper bound of sequential stages, before the run; None without a plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered(Event):
    """A policy gave its reason for a move, or for settling."""

    index: int | None  # of the move's agent; None: for settling
    round: int | None
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBound(StepEvent):
    """An agent was given a model."""

    role: str
    model: str
    strategy: str | None
    priority: int
    log_prob: float | None
    wave: int  # topological level of the step within its plan


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTrimmed(StepEvent):
    """A prompt would have overflowed the model's context, so peer messages were left out, oldest first."""

    dropped: tuple[str, ...]  # message ids
    limit_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswered(StepEvent):
    """A model call came back."""

    call: CallKind
    model: str
    message_id: str
    prompt: tuple[Message, ...]  # empty when the run keeps no prompts
    text: str
    reasoning: str
    usage: Usage  # of the answer and of the failed tries before it
    latency_s: float
    ttft_s: float | None
    mean_logprob: float | None
    finish_reason: str = ""  # "stop"; "length": cut at the output limit; empty in traces of older versions
    attempts: int
    cached: bool
    read: tuple[str, ...]  # ids of the messages that the prompt showed
    calls: tuple[ToolCall, ...] = ()  # tools that the model wants called before it answers; the text is then no answer

    @property
    def cut(self) -> str:
        """What is to be said of a text that the output limit cut off; empty for a whole one."""
        return ", cut at the output limit" if self.finish_reason == "length" else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAdapted(StepEvent):
    """A model's server turned out to take requests of another form, which it gets from now on. Said once."""

    model: str
    learned: tuple[str, ...]  # in words


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailed(StepEvent):
    """A model call failed for good."""

    call: CallKind
    model: str
    failure: Failure
    latency_s: float
    usage: Usage = ZERO_USAGE  # of all its tries: a provider may charge for what is of no use


DecidedHow = Literal[
    "final",  # a decider's answer
    "vote",  # the majority's
    "last",  # of the last of several agents
    "single",  # of the only agent
    "chosen",  # of a message that the policy chose
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRan(StepEvent):
    """Code was run, tests were run, something was looked up, or a check of one's own was made."""

    tool: str  # run_code, run_tests, lookup, or the name of such a check
    summary: str  # one line
    ok: bool
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalled(StepEvent):
    """A model had a tool called."""

    tool: str  # its name, as the model wrote it
    arguments: str  # as the model wrote them, cut
    result: str  # what the model was told
    ok: bool
    seconds: float  # that it took
    failure: Failure | None = None  # why the tool did not do its work; a wrong call is none


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedThrough(StepEvent):
    """Incoming code already passes the shown tests: it is passed on without a call."""

    source: str  # message id
    text: str
    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished(StepEvent):
    """An agent has produced its message."""

    message_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFailed(StepEvent):
    """An agent produced nothing; the others go on."""

    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped(Event):
    """A budget was spent, and the answer settled with what there was."""

    why: Literal["usd", "tokens", "seconds"]
    round: int  # the last one that was begun


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided(Event):
    """The answer was settled."""

    text: str | None  # the text the answer was read from
    answer: str | None  # None: nothing could be read, or nobody produced anything
    how: DecidedHow


AnyEvent = (
    EpisodeStarted
    | Considered
    | StepBound
    | PromptTrimmed
    | ServerAdapted
    | CallAnswered
    | CallFailed
    | ToolRan
    | ToolCalled
    | PassedThrough
    | StepFinished
    | StepFailed
    | Stopped
    | Decided
)

EventHandler = Callable[[AnyEvent], None]
"""Is given each event as it happens; it must not wait."""
