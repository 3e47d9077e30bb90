"""An answer as every protocol can say it: from a server's own reply where there is one, else from an episode's text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mar.pool.decoded import items, mapping
from mar.pool.openai_reply import REASONING_FIELDS
from mar.types import CallAnswered, Delta, Episode, ToolCall, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a client is answered."""

    id: str  # of the episode
    created: int  # seconds since 1970
    model: str  # as it was asked for
    text: str
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish: str = "stop"  # as OpenAI names it
    choices: Sequence[Any] = ()  # the server's own, where there are any
    usage: Usage
    about: Mapping[str, Any] = field(default_factory=dict[str, Any])  # the `mar` object


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a message, or a piece of one, holds."""

    text: str = ""
    reasoning: str = ""
    calls: Sequence[Any] = ()  # of tools, in OpenAI's form; pieces of them in a piece
    finish: str | None = None


def said_in(choice: object) -> Said:
    """What the choice of a reply holds, or of a chunk of one."""
    fields = mapping(choice)
    message = mapping(fields.get("message") or fields.get("delta"))
    reasoning = next((text for name in REASONING_FIELDS if isinstance(text := message.get(name), str)), "")
    content, finish = message.get("content"), fields.get("finish_reason")
    return Said(
        text=content if isinstance(content, str) else "",
        reasoning=reasoning,
        calls=items(message.get("tool_calls")),
        finish=finish if isinstance(finish, str) else None,
    )


def said_by(delta: Delta) -> Said:
    """What a piece of a stream holds."""
    if delta.chunk is None:
        return Said(text=delta.text, reasoning=delta.reasoning)
    choices = items(delta.chunk.get("choices"))
    return said_in(choices[0]) if choices else Said()


def answer_of(
    episode: Episode, *, id: str, created: int, model: str, about: Mapping[str, Any], usage: Usage
) -> Answer | None:
    """The answer of an episode; None where there is none."""
    choices = items(mapping(episode.verbatim).get("choices"))
    if choices:
        said = said_in(choices[0])
        text, reasoning, finish = said.text, said.reasoning, said.finish or "stop"
        calls = tuple(_call(call) for call in said.calls)
    elif episode.text:
        last = next((c for c in reversed(list(episode.calls())) if c.text == episode.text), None)
        text, reasoning, calls = episode.text, "" if last is None else last.reasoning, ()
        finish = "length" if _cut(last) else "stop"
    else:
        return None
    return Answer(
        id=id,
        created=created,
        model=model,
        text=text,
        reasoning=reasoning,
        calls=calls,
        finish=finish,
        choices=choices,
        usage=usage,
        about=about,
    )


def _cut(call: CallAnswered | None) -> bool:
    return call is not None and bool(call.cut)


def _call(value: object) -> ToolCall:
    fields = mapping(value)
    function = mapping(fields.get("function"))
    return ToolCall(
        id=str(fields.get("id", "")),
        name=str(function.get("name", "")),
        arguments=str(function.get("arguments", "")),
    )


def cost(usd: float | None) -> str:
    """A cost for a header."""
    return "unknown" if usd is None else f"{usd:.9f}".rstrip("0").rstrip(".")
