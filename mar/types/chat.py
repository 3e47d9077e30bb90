"""The one-method protocol of a model that answers, and the records it takes and gives."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from mar.types.usage import ZERO_USAGE, Usage

Speaker = Literal["system", "user", "assistant", "tool"]
CallKind = Literal["agent", "revise", "decider"]
Feedback = Literal["", "passed", "failed"]  # nothing was run; all shown tests passed; some failed


TOOL_FAILED = "error: "  # how a tool message begins that says why there is no result
SIMULATED_UNKNOWN = "simulated_unknown"  # why a simulated model ends a fixed text about an item that it does not know


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool that a model may ask to have called."""

    name: str
    description: str
    parameters: Mapping[str, Any]  # a JSON schema of an object

    @property
    def written(self) -> str:
        """All of it as one text, to be counted."""
        return f"{self.name} {self.description} {json.dumps(self.parameters, ensure_ascii=False)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool that a model wants called."""

    id: str
    name: str
    arguments: str  # as the model wrote them: JSON, if it kept to the schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a chat."""

    speaker: Speaker
    text: str
    calls: tuple[ToolCall, ...] = ()  # of an assistant: tools that it wants called
    call_id: str = ""  # of a tool: the call that this answers

    @property
    def written(self) -> str:
        """Its text and all that it says of calls, to be counted."""
        called = (part for call in self.calls for part in (call.id, call.name, call.arguments))
        return "".join((self.text, self.call_id, *called))


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """Where a call stands in an episode. Opaque to models: real clients drop it, simulated and replay pools need it."""

    item: str  # Query.id
    message_id: str  # identity of the message that this call will produce
    read: tuple[str, ...] = ()  # identities of the messages that the prompt shows
    kind: CallKind = "agent"
    role: str = ""
    output: str = ""  # the role's output format: "code", "answer", "text", or the final role's name
    feedback: Feedback = ""  # what tools found out, as the prompt says, about the last of the messages read
    strategy: str | None = None
    mode: str = ""
    round: int = 0
    index: int = 0  # index of the agent in its plan


class Meter(Protocol):
    """Holds money for a try of a call before it is made, and books what it cost after it."""

    async def __call__(
        self, request: ChatRequest, attempt: Callable[[], Awaitable[ChatReply]], *, worst_usd: float | None = None
    ) -> ChatReply:
        """Make one try. The reply also says what the call's earlier tries cost.

        Args:
            request: What is asked.
            attempt: Makes the try.
            worst_usd: The most that it can cost, where whoever answers knows; None: by the model's card.

        Raises:
            LimitReached: The try could take what is spent over a limit; it was not made.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One call to one model."""

    model: str  # name of the model card
    messages: tuple[Message, ...]
    max_tokens: int | None = None  # None: the card's maximum output
    temperature: float | None = None  # None: the server's own
    top_p: float | None = None  # None: the server's own
    stop: tuple[str, ...] = ()
    logprobs: bool = False  # ask for the mean token log-probability
    priority: int = 0  # lower runs first where the server schedules by priority
    timeout_s: float | None = None  # None: the pool's
    longest_wait_s: float | None = None  # a call that has to be put off for longer fails at once; None: it waits
    sample: str = ""  # identity of this draw; part of the cache key and of every simulated draw
    context: CallContext | None = None
    tools: tuple[ToolSpec, ...] = ()  # that the model may ask to have called
    verbatim: Mapping[str, Any] | None = None  # a client's own request in OpenAI's form: all but its model is sent as
    # it is, and `messages` is what of it is text
    meter: Meter | None = field(default=None, compare=False, repr=False)  # whoever makes tries makes them through it

    @property
    def prompt_chars(self) -> int:
        """Characters in all messages and in what is said of tools."""
        return sum(len(m.written) for m in self.messages) + sum(len(t.written) for t in self.tools)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatReply:
    """A model's answer to one call."""

    text: str
    model: str
    reasoning: str = ""  # thinking that the server reports apart from the answer
    prompt_tokens: int | None = None  # from the server's usage field
    completion_tokens: int | None = None  # from the server's usage field, reasoning included
    finish_reason: str = "stop"  # or "length", or "tool_calls"
    calls: tuple[ToolCall, ...] = ()  # tools that the model wants called before it answers
    verbatim: Mapping[str, Any] | None = None  # the server's own reply, where the request was verbatim
    mean_logprob: float | None = None  # mean log-probability per token of the answer, nats
    latency_s: float = 0.0  # from sending to the last token
    ttft_s: float | None = None  # time to first token; observed only when the reply was streamed
    attempts: int = 1  # tries it took, retries included
    cost_usd: float | None = None  # when the source itself states it; None: by the model card's price
    learned: tuple[str, ...] = ()  # what the server turned out not to take, where this call found out; in words
    cached: bool = False  # answered from the response cache: nothing was paid this time
    lost: Usage = ZERO_USAGE  # what the failed tries before it used and cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """A piece of a streamed reply."""

    text: str = ""
    reasoning: str = ""
    chunk: Mapping[str, Any] | None = None  # the server's own, where the request is verbatim


DeltaHandler = Callable[[Delta], None]


class ChatModel(Protocol):
    """Anything that answers chat requests: an HTTP client, a simulator, recordings, a function.

    Raises:
        CallError: The call failed for good, retries included.
    """

    async def chat(self, request: ChatRequest, on_delta: DeltaHandler | None = None) -> ChatReply:
        """Answer one request. With `on_delta` the reply is streamed: it is called with each piece."""
        ...
