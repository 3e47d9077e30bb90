"""Replies in OpenAI's form, for requests that came in it: whole completions, chunks of streams, one from the other.

A live server's own words are passed on. Whatever else answers a verbatim request (the simulator, a script, a recording,
the cache asked for a stream, a server that does not stream) is put into the form here.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

from mar.pool.decoded import items, mapping
from mar.types import ChatReply, Delta, DeltaHandler

Json = Mapping[str, Any]
# Texts of a message that a later chunk repeats; every other one it continues.
_REPEATED = frozenset({"role", "type", "id", "name"})
_FINISHES = frozenset({"stop", "length", "tool_calls", "content_filter"})
_USAGE = ("prompt_tokens", "completion_tokens")


def completion(reply: ChatReply) -> dict[str, Any]:
    """A reply as a whole completion."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None if reply.calls else reply.text}
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    if reply.calls:
        message["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
            for c in reply.calls
        ]
    finish = reply.finish_reason if reply.finish_reason in _FINISHES else "stop"  # the simulator has words of its own
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return {**_head("chat.completion", reply.model), "choices": [choice], **_usage(reply)}


def chunks(whole: Json) -> Iterator[dict[str, Any]]:
    """A whole completion as the chunks of a stream: what is said, why it ended, what it used."""
    head = {name: value for name, value in whole.items() if name not in ("choices", "usage", "object")}
    head |= {"object": "chat.completion.chunk"}
    for choice in _objects(whole.get("choices")):
        shared = {name: value for name, value in choice.items() if name not in ("message", "finish_reason")}
        delta = {**mapping(choice.get("message"))}
        calls = [{"index": i, **call} for i, call in enumerate(_objects(delta.get("tool_calls")))]
        delta |= {"tool_calls": calls} if calls else {}
        yield {**head, "choices": [{**shared, "delta": delta, "finish_reason": None}]}
        end: dict[str, Any] = {
            "index": choice.get("index", 0),
            "delta": {},
            "finish_reason": choice.get("finish_reason"),
        }
        yield {**head, "choices": [end]}
    if whole.get("usage") is not None:
        yield {**head, "choices": [], "usage": whole["usage"]}


def deltas(reply: ChatReply) -> Iterator[Delta]:
    """A whole verbatim reply as the pieces of a stream; its text is in the first."""
    for number, chunk in enumerate(chunks(reply.verbatim or {})):
        first = number == 0
        yield Delta(text=reply.text if first else "", reasoning=reply.reasoning if first else "", chunk=chunk)


class Joined:
    """The chunks of a stream as one completion.

    Chunks are joined two by two, then the pairs, and so on: time and memory stay in proportion to what is said, in
    however many pieces.
    """

    def __init__(self) -> None:
        self._parts: list[tuple[int, dict[str, Any]]] = []  # how many chunks each stands for: falling powers of two

    def add(self, chunk: Json) -> None:
        """Take the next chunk."""
        count, part = 1, _as_message(chunk)
        while self._parts and self._parts[-1][0] == count:
            part = _joined(self._parts.pop()[1], part)
            count *= 2
        self._parts.append((count, part))

    def whole(self) -> dict[str, Any] | None:
        """The completion; None where nothing came."""
        whole: dict[str, Any] | None = None
        for _, part in reversed(self._parts):
            whole = part if whole is None else _joined(part, whole)
        return whole and {**whole, "object": "chat.completion"}


async def in_form(
    answer: Callable[[DeltaHandler | None], Awaitable[ChatReply]], on_delta: DeltaHandler | None, model: str
) -> ChatReply:
    """An answer to a verbatim request whose reply and pieces are in OpenAI's form, whoever gives it.

    Args:
        answer: Answers, and hands pieces on.
        on_delta: Takes the pieces, each with its chunk.
        model: Who answers.
    """
    if on_delta is None:
        reply = await answer(None)
        return reply if reply.verbatim is not None else replace(reply, verbatim=completion(reply))
    head, made = _head("chat.completion.chunk", model), 0

    def hand_on(delta: Delta) -> None:
        nonlocal made
        if delta.chunk is None:
            said = {"reasoning_content": delta.reasoning} if delta.reasoning else {"content": delta.text}
            choice = {"index": 0, "delta": ({} if made else {"role": "assistant"}) | said, "finish_reason": None}
            delta = replace(delta, chunk={**head, "choices": [choice]})
            made += 1
        on_delta(delta)

    reply = await answer(hand_on)
    if made:  # of the pieces none said which tools are called, how it ended, and what it used
        first, *ends = chunks({**completion(replace(reply, text="", reasoning="")), **head})
        for chunk in [first, *ends] if reply.calls else ends:
            on_delta(Delta(chunk=chunk))
    return reply if reply.verbatim is not None else replace(reply, verbatim=completion(reply))


def _head(kind: str, model: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": model}


def _usage(reply: ChatReply) -> dict[str, Any]:
    if reply.prompt_tokens is None or reply.completion_tokens is None:
        return {}
    counts = (reply.prompt_tokens, reply.completion_tokens)
    return {"usage": {**dict(zip(_USAGE, counts, strict=True)), "total_tokens": sum(counts)}}


def _objects(value: object) -> list[dict[str, Any]]:
    return [found for item in items(value) if (found := mapping(item))]


def _as_message(chunk: Json) -> dict[str, Any]:
    choices = [
        {("message" if name == "delta" else name): value for name, value in choice.items()}
        for choice in _objects(chunk.get("choices"))
    ]
    return {**chunk, "choices": choices}


def _joined(first: Json, then: Json, *, said: bool = False) -> dict[str, Any]:
    """What two parts of a stream say together; texts go on only where it is `said`, in a message."""
    both = dict(first)
    for name, value in then.items():
        both[name] = _continued(name, both.get(name), value, said=said or name == "message")
    return both


def _continued(name: str, before: object, after: object, *, said: bool) -> object:
    if before is None or after is None:
        return before if after is None else after
    if said and isinstance(before, str) and isinstance(after, str):
        return (after or before) if name in _REPEATED else before + after
    if isinstance(before, dict) and isinstance(after, dict):
        return _joined(cast("Json", before), cast("Json", after), said=said)
    if isinstance(before, list) and isinstance(after, list):
        return _joined_items(cast("list[Any]", before), cast("list[Any]", after), said=said)
    return after


def _joined_items(before: list[Any], after: list[Any], *, said: bool) -> list[Any]:
    """Items with one index are one item; all others stand side by side."""
    both = list(before)
    places = {index: i for i, item in enumerate(before) if (index := _index(item)) is not None}
    for item in after:
        at = places.get(index) if (index := _index(item)) is not None else None
        if at is None:
            both.append(item)
        else:
            both[at] = _joined(both[at], item, said=said)
    return both


def _index(item: object) -> int | None:
    index = mapping(item).get("index")
    return index if isinstance(index, int) else None
