"""From what an OpenAI-compatible server sends to a ChatReply: the answer, its reasoning, its usage.

Servers differ in what they add, so unknown fields are let through here; what is read is validated. Reasoning comes in
three forms, all kept apart from the answer: a field `reasoning_content` or `reasoning`, or a `<think>…</think>` block
at the start of the text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from mar.errors import BadReply, Charge, Refused
from mar.types import ChatReply, DeltaHandler

MOST_TOKENS = 2**53  # beyond which a count is no count
OPEN, CLOSE = "<think>", "</think>"


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class WireText(_Wire):
    """A message, or a piece of one."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None  # DeepSeek, older vLLM
    reasoning: str | None = None  # newer vLLM, OpenRouter

    @property
    def thinking(self) -> str:
        """Reasoning reported apart from the content."""
        return self.reasoning_content or self.reasoning or ""


class WireToken(_Wire):
    """Log-probability of one token."""

    logprob: float


class WireLogprobs(_Wire):
    """Log-probabilities of a choice's tokens."""

    content: tuple[WireToken, ...] | None = None


class WireChoice(_Wire):
    """One choice of a completion or of a chunk of it."""

    message: WireText = WireText()
    delta: WireText = WireText()
    finish_reason: str | None = None
    logprobs: WireLogprobs | None = None


def read_count(value: object) -> int | None:
    """A count of tokens; None for what can be none: negative, fractional, absurdly high, or no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < MOST_TOKENS and value == int(value) else None


Count = Annotated[int | None, BeforeValidator(read_count)]


class WireUsage(_Wire):
    """Tokens as counted by the server."""

    prompt_tokens: Count = None
    completion_tokens: Count = None


class WireCompletion(_Wire):
    """A chat completion, or a chunk of one."""

    choices: tuple[WireChoice, ...]
    usage: WireUsage | None = None


class EmptyForGood(BadReply):
    """An empty text that asking again would only pay for again: the output limit was spent on reasoning."""

    retryable: ClassVar[bool] = False


def parse(payload: object) -> WireCompletion:
    """Validate a decoded reply.

    Raises:
        BadReply: It is no chat completion.
    """
    try:
        return WireCompletion.model_validate(payload)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the reply"
    raise BadReply(f"the reply is no chat completion ({where}: {first['msg']})")


class ThinkSplitter:
    """Tells a `<think>…</think>` block at the start of a text, arriving in pieces, from the answer after it."""

    def __init__(self) -> None:
        self._held = ""  # not yet known to be reasoning or answer
        self._state = "start"
        self.reasoning = ""

    def feed(self, piece: str) -> str:
        """Take the next piece; gives the part that is known to be answer."""
        self._held += piece
        if self._state == "start":
            text = self._held.lstrip()
            if OPEN.startswith(text[: len(OPEN)]) and len(text) < len(OPEN):
                return ""
            thinks = text.startswith(OPEN)
            self._state = "think" if thinks else "answer"
            self._held = text[len(OPEN) :] if thinks else self._held
        if self._state == "think":
            inside, close, after = self._held.partition(CLOSE)
            if not close:
                return ""
            self.reasoning = inside.strip()
            self._state, self._held = "trim", after
        if self._state == "trim":
            self._held = self._held.lstrip()
            if not self._held:
                return ""
            self._state = "answer"
        answer, self._held = self._held, ""
        return answer

    def finish(self) -> str:
        """The text is over; gives what was held back of the answer. An unclosed block is all reasoning."""
        held, self._held = self._held, ""
        if self._state == "think":
            self.reasoning = held.strip()
            return ""
        return held


@dataclass(slots=True, kw_only=True)
class ReplyBuilder:
    """Gathers a reply from one completion or from the chunks of a stream."""

    on_delta: DeltaHandler | None = None
    splitter: ThinkSplitter = field(default_factory=ThinkSplitter)
    answer: list[str] = field(default_factory=list[str])
    thinking: list[str] = field(default_factory=list[str])
    refusal: str = ""
    finish_reason: str | None = None
    logprobs: list[float] = field(default_factory=list[float])
    usage: WireUsage = field(default_factory=WireUsage)

    def add(self, part: WireCompletion) -> bool:
        """Take one completion or chunk; says whether it carried any text."""
        self.usage = part.usage or self.usage
        if not part.choices:
            return False
        choice = part.choices[0]
        self.finish_reason = choice.finish_reason or self.finish_reason
        if choice.logprobs is not None:
            self.logprobs += [token.logprob for token in choice.logprobs.content or ()]
        texts = [self._take(text) for text in (choice.message, choice.delta)]
        return any(texts)

    def _take(self, text: WireText) -> bool:
        self.refusal += text.refusal or ""
        if text.thinking:
            self.thinking.append(text.thinking)
        if text.content:
            self._emit(self.splitter.feed(text.content))
        return bool(text.thinking or text.content)

    def _emit(self, piece: str) -> None:
        if piece:
            self.answer.append(piece)
            if self.on_delta is not None:
                self.on_delta(piece)

    @property
    def charge(self) -> Charge:
        """What a provider takes for what arrived, if it turns out to be of no use."""
        return Charge(
            charged="yes",
            prompt_tokens=self.usage.prompt_tokens,
            completion_tokens=self.usage.completion_tokens,
        )

    def build(self, *, model: str, latency_s: float, ttft_s: float | None) -> ChatReply:
        """The finished reply.

        Raises:
            BadReply: There is no text.
            Refused: The content filter stopped it.
        """
        self._emit(self.splitter.finish())
        text = "".join(self.answer)
        reasoning = "".join(self.thinking) or self.splitter.reasoning
        if self.finish_reason == "content_filter" or (self.refusal and not text):
            raise Refused(f"{model}: the content filter refused to answer", charge=self.charge)
        if not text.strip():
            if self.finish_reason == "length":
                reason = "the output limit was spent before any answer; raise max_output_tokens"
                raise EmptyForGood(f"{model}: {reason}", charge=self.charge)
            raise BadReply(f"{model}: the answer is empty", charge=self.charge)
        return ChatReply(
            text=text,
            model=model,
            reasoning=reasoning,
            prompt_tokens=self.usage.prompt_tokens,
            completion_tokens=self.usage.completion_tokens,
            finish_reason=self.finish_reason or "stop",
            mean_logprob=sum(self.logprobs) / len(self.logprobs) if self.logprobs else None,
            latency_s=latency_s,
            ttft_s=ttft_s,
        )
