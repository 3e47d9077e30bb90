"""From what an OpenAI-compatible server sends to a ChatReply: the answer, its reasoning, its usage.

Servers differ in what they add and in how they spell it. A reply is rejected for its text and its finish reason and
for nothing else: every other field is read if it can be read and is unknown otherwise. Nothing here knows a transport;
replies and the chunks of streams are decoded JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, cast

from mar.errors import BadReply, Charge, Refused, ServerFault
from mar.pool.decoded import items, mapping, mend
from mar.pool.faults import Where
from mar.pool.openai_calls import CallPieces
from mar.pool.openai_form import Joined, chunks
from mar.pool.reasoning import Splitter
from mar.pool.server_words import Said, decode, error_in, read_error
from mar.types import ChatReply, Delta, DeltaHandler

MOST_TOKENS = 2**53  # beyond which a count is no count
MOST_DEPTH = 6  # of parts within parts
LEAST_LOGPROB = -9999.0  # what vLLM sends for minus infinity

# How an answer may end, by the names that servers give it.
STOP = ("stop", "eos", "eos_token", "end", "end_turn", "end_of_text", "end_of_turn", "stop_sequence", "stop_token",
        "stopped", "complete", "completed", "finished", "done")  # fmt: skip
LENGTH = ("length", "max_tokens", "max_output_tokens", "max_new_tokens", "max_length", "model_length", "length_limit",
          "token_limit", "context_length", "context_length_exceeded", "model_context_window_exceeded")  # fmt: skip
FILTERED = ("content_filter", "content-filter", "content_filtered", "safety", "recitation", "blocklist", "spii",
            "prohibited_content", "sensitive", "refusal", "guardrail_intervened")  # fmt: skip
TOOLS = ("tool_calls", "tool_call", "tool_use", "function_call")
BROKEN = ("error", "abort", "aborted", "failed")
ENDINGS = (("tool_calls", TOOLS), ("content_filter", FILTERED))  # which only a verbatim reply has

TEXT_PARTS = ("text", "output_text", "")
REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
REASONING_TEXTS = ("text", "thinking", "content", "reasoning", "summary", "value")


class NoCompletion(ValueError):
    """What arrived is no chat completion; says why."""


class Hopeless(BadReply):
    """An answer of no use that asking again would only pay for again."""

    retryable: ClassVar[bool] = False


def read_count(value: object) -> int | None:
    """A count of tokens; None for what can be none: negative, fractional, absurdly high, or no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < MOST_TOKENS and value == int(value) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Tokens as counted by the server."""

    prompt: int | None = None
    completion: int | None = None  # reasoning included

    @classmethod
    def read(cls, usage: object) -> Tokens:
        """Read a usage record, whichever names it uses.

        Some servers leave reasoning out of the completion's count and charge for it in the total.
        """
        fields = mapping(usage)
        prompt = read_count(fields.get("prompt_tokens", fields.get("input_tokens")))
        completion = read_count(fields.get("completion_tokens", fields.get("output_tokens")))
        total = read_count(fields.get("total_tokens"))
        if prompt is not None and total is not None and total - prompt > (completion or 0):
            completion = total - prompt
        return cls(prompt=prompt, completion=completion)

    def updated(self, later: Tokens) -> Tokens:
        """These, or where a later chunk states one, its."""
        return Tokens(
            prompt=self.prompt if later.prompt is None else later.prompt,
            completion=self.completion if later.completion is None else later.completion,
        )


@dataclass(slots=True, kw_only=True)
class ReplyBuilder:
    """Gathers a reply from one completion or from the chunks of a stream."""

    on_delta: DeltaHandler | None = None
    verbatim: bool = False  # whether all that comes is passed on as it is
    splitter: Splitter = field(default_factory=Splitter)
    thinking: list[str] = field(default_factory=list[str])  # reasoning reported apart from the text
    refusal: list[str] = field(default_factory=list[str])
    offered: bool = False  # whether tools were: else a call of one is no answer
    calls: CallPieces = field(default_factory=CallPieces)
    finish: str | None = None  # as the server calls it
    logprobs: list[float] = field(default_factory=list[float])
    tokens: Tokens = field(default_factory=Tokens)
    error: Said | None = None  # that came in the place of an answer, or in the middle of it
    has_text: bool = False  # whether any text has arrived, reasoning and calls included
    has_choice: bool = False
    begun: bool = False  # whether part of a verbatim reply has been passed on
    unopened: bool = False  # once built: whether reasoning was closed that nothing had opened
    _half: str = ""  # a high surrogate whose other half may come with the next piece
    _text: str = ""  # of the part under way, to be handed on
    _thought: str = ""  # reasoning of the part under way, to be handed on
    _whole: Mapping[str, Any] | None = None  # a verbatim reply that came as one
    _joined: Joined = field(default_factory=Joined)  # one that came in chunks

    def add_whole(self, body: object) -> None:
        """Take the body of a whole reply: decoded, or as text where the server did not call it JSON.

        Raises:
            NoCompletion: It is none.
        """
        if isinstance(body, str):
            if (said := read_error(body)).page:
                self.error = said
                return
            if body.startswith(("data:", "event:", ":")):  # a stream that nobody asked for
                lines = (line.removeprefix("data:").strip() for line in body.splitlines() if line.startswith("data:"))
                for line in lines:
                    self.add(mapping(decode(line)))
                return
            body = decode(body.removeprefix("\ufeff"))
        if not isinstance(body, dict):
            raise NoCompletion("it is not JSON")
        self.add(mapping(cast("object", body)))

    def add(self, part: Mapping[str, Any]) -> None:
        """Take one completion or chunk."""
        choice = self._choice(part)
        for usage in (part.get("usage"), choice.get("usage"), mapping(part.get("x_groq")).get("usage")):
            if usage is not None:
                self.tokens = self.tokens.updated(Tokens.read(usage))
        if isinstance(finish := choice.get("finish_reason"), str) and finish:
            self.finish = finish
        self.logprobs += _logprobs(choice.get("logprobs"))
        said = mapping(choice.get("message") or choice.get("delta"))
        self.has_text = self.calls.take(said, whole=bool(choice.get("message"))) or self.has_text
        self._take(said or {"content": choice.get("text")})
        error = error_in(part) or (error_in({"error": choice["error"]}) if choice.get("error") else None)
        if error is not None:
            self.error = self.error or replace(error, generated=self.has_text)
        if not self.verbatim:
            self._flush()
        elif error is None:
            self._pass_on(part, whole=isinstance(choice.get("message"), dict))

    def _choice(self, part: Mapping[str, Any]) -> dict[str, Any]:
        """The first of its choices; a client's own request may have asked for several."""
        choices = [mapping(choice) for choice in items(part.get("choices"))]
        self.has_choice = self.has_choice or any(choices)
        if self.verbatim:
            choices = [choice for choice in choices if choice.get("index") in (0, None)]
        return choices[0] if choices else {}

    def _pass_on(self, part: Mapping[str, Any], *, whole: bool) -> None:
        if whole:
            self._whole = part
        else:
            self._joined.add(part)
        if self.on_delta is not None:
            self.begun = True
            for chunk in chunks(part) if whole else (part,):
                self._flush(chunk)

    def _flush(self, chunk: Mapping[str, Any] | None = None) -> None:
        text, thought = self._text, self._thought
        self._text = self._thought = ""
        if self.on_delta is not None and (text or thought or chunk is not None):
            self.on_delta(Delta(text=text, reasoning=thought, chunk=chunk))

    def _take(self, message: Mapping[str, Any]) -> None:
        self.refusal += _texts(message.get("refusal"))
        self._think(_first_texts(message, REASONING_FIELDS))
        content = message.get("content")
        for item in cast("list[object]", content) if isinstance(content, list) else [content]:
            self._take_part(item)

    def _take_part(self, item: object) -> None:
        fields = mapping(item)
        kind = str(fields.get("type", ""))
        if isinstance(item, str):
            self._say(item)
        elif "reason" in kind or "think" in kind:
            self._think(_texts(fields))
        elif kind == "refusal":
            self.refusal += _texts(fields.get("refusal"))
        elif kind in TEXT_PARTS:
            self._say("".join(_texts(fields.get("text"))))

    def _think(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.thinking.append(text)
            self._thought += mend(text)
            self.has_text = True

    def _say(self, text: str) -> None:
        if not text:
            return
        self.has_text = True
        text = self._half + text
        self._half = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
        text = mend(text.removesuffix(self._half) if self._half else text)
        answer = self.splitter.feed(text)
        self._text += text if self.verbatim else answer

    @property
    def charge(self) -> Charge:
        """What a provider takes for what arrived, if it turns out to be of no use."""
        return Charge(
            charged="yes" if self.has_choice or self.tokens.completion else "unknown",
            prompt_tokens=self.tokens.prompt,
            completion_tokens=self.tokens.completion,
        )

    def build(self, *, model: str, where: Where, latency_s: float, ttft_s: float | None) -> ChatReply:
        """The finished reply.

        Raises:
            BadReply: There is no answer, or it is known to be half of one.
            Refused: The content filter stopped it.
            ServerFault: The server says that it broke off.
        """
        if self._half:
            self._text += self.splitter.feed("\ufffd")
        said, rest = self.splitter.finish()
        finish = (self.finish or "stop").lower()
        reasoning = "\n".join(filter(None, (mend("".join(self.thinking)), said.reasoning)))
        calls = self.calls.build(where) if self.offered or self.verbatim else ()
        self._check(where, said.answer, reasoning, finish)
        self._text += rest
        if not self.verbatim:  # whose chunks are out
            self._flush()
        self.unopened = said.unopened
        return ChatReply(
            text=where.free_of_key(said.answer),
            model=model,
            reasoning=where.free_of_key(reasoning),
            prompt_tokens=self.tokens.prompt,
            completion_tokens=self.tokens.completion,
            finish_reason="tool_calls" if calls else self._why_ended(finish),
            calls=calls,
            verbatim=(self._whole or self._joined.whole()) if self.verbatim else None,
            mean_logprob=sum(self.logprobs) / len(self.logprobs) if self.logprobs else None,
            latency_s=latency_s,
            ttft_s=ttft_s,
        )

    def _why_ended(self, finish: str) -> str:
        if self.verbatim and (other := next((name for name, names in ENDINGS if finish in names), None)):
            return other
        return "length" if finish in LENGTH else "stop"

    def _check(self, where: Where, answer: str, reasoning: str, finish: str) -> None:
        if not self.has_choice:
            raise BadReply(f"{where}: the reply holds no choice", charge=self.charge)
        if self.verbatim and finish not in BROKEN:
            return  # a client's own request is answered by whatever the server says to it
        if finish in FILTERED or (self.refusal and not answer):
            raise Refused(f"{where}: the content filter refused to answer", charge=self.charge)
        if self.offered and self.calls:
            return
        if finish in TOOLS and (self.calls or not answer.strip()):
            raise BadReply(f"{where}: the model called a tool instead of answering", charge=self.charge)
        if finish not in (*STOP, *LENGTH, *TOOLS):
            reason = f"the server broke the answer off (finish_reason {where.quote(finish)[:40]!r})"
            raise ServerFault(f"{where}: {reason}", charge=self.charge)
        if answer.strip():
            return
        if finish in LENGTH:
            reason = "the output limit was spent before any answer; raise max_output_tokens"
            raise Hopeless(f"{where}: {reason}", charge=self.charge)
        if reasoning.strip():
            raise Hopeless(f"{where}: only reasoning came and no answer after it", charge=self.charge)
        if self.calls:
            raise BadReply(f"{where}: the model called a tool instead of answering", charge=self.charge)
        raise BadReply(f"{where}: the answer is empty", charge=self.charge)


def _texts(value: object, depth: int = 0) -> list[str]:
    """The texts in a field that may be a text, a part, or a list of parts within parts."""
    if isinstance(value, str):
        return [value] if value else []
    if depth == MOST_DEPTH:
        return []
    if isinstance(value, list):
        return [text for item in cast("list[object]", value) for text in _texts(item, depth + 1)]
    fields = mapping(value)
    return _first_texts(fields, REASONING_TEXTS, depth + 1) if fields else []


def _first_texts(fields: Mapping[str, Any], names: Iterable[str], depth: int = 0) -> list[str]:
    """The texts in the first of some fields that holds any: servers repeat them under several names."""
    for name in names:
        if texts := _texts(fields.get(name), depth):
            return texts
    return []


def _logprobs(value: object) -> list[float]:
    """Log-probabilities of tokens. What is none (null, minus infinity) belongs to no mean and is left out."""
    fields = mapping(value)
    content = fields.get("content")
    if isinstance(content, list):
        stated = [mapping(token).get("logprob") for token in cast("list[object]", content)]
    else:
        older = fields.get("token_logprobs")
        stated = cast("list[object]", older) if isinstance(older, list) else []
    numbers = [float(n) for n in stated if isinstance(n, int | float) and LEAST_LOGPROB < n < 1e-3]
    return [min(n, 0.0) for n in numbers]
