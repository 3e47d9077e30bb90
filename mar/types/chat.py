"""The one-method protocol of a model that answers, and the records it takes and gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from mar.types.usage import ZERO_USAGE, Usage

Speaker = Literal["system", "user", "assistant"]
CallKind = Literal["agent", "revise", "decider"]
Feedback = Literal["", "passed", "failed"]  # nothing was run; all shown tests passed; some failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a chat."""

    speaker: Speaker
    text: str


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
    sample: str = ""  # identity of this draw; part of the cache key and of every simulated draw
    context: CallContext | None = None
    meter: Meter | None = field(default=None, compare=False, repr=False)  # whoever makes tries makes them through it

    @property
    def prompt_chars(self) -> int:
        """Characters in all messages."""
        return sum(len(m.text) for m in self.messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatReply:
    """A model's answer to one call."""

    text: str
    model: str
    reasoning: str = ""  # thinking that the server reports apart from the answer
    prompt_tokens: int | None = None  # from the server's usage field
    completion_tokens: int | None = None  # from the server's usage field, reasoning included
    finish_reason: str = "stop"
    mean_logprob: float | None = None  # mean log-probability per token of the answer, nats
    latency_s: float = 0.0  # from sending to the last token
    ttft_s: float | None = None  # time to first token; observed only when the reply was streamed
    attempts: int = 1  # tries it took, retries included
    cost_usd: float | None = None  # when the source itself states it; None: by the model card's price
    learned: tuple[str, ...] = ()  # what the server turned out not to take, where this call found out; in words
    cached: bool = False  # answered from the response cache: nothing was paid this time
    lost: Usage = ZERO_USAGE  # what the failed tries before it used and cost


DeltaHandler = Callable[[str], None]


class ChatModel(Protocol):
    """Anything that answers chat requests: an HTTP client, a simulator, recordings, a function.

    Raises:
        CallError: The call failed for good, retries included.
    """

    async def chat(self, request: ChatRequest, on_delta: DeltaHandler | None = None) -> ChatReply:
        """Answer one request. With `on_delta` the reply is streamed: it is called with each piece of text."""
        ...
