"""A client's own request in OpenAI's form, as the server of a card takes it.

It is sent as it is, but for the model's name, what the card states, whether it streams, the limit on the output (the
card's where that is lower; where money is counted, never none), and what the server is known not to take.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mar.pool.cards import ModelCard
from mar.pool.decoded import items, mapping
from mar.pool.dialect import Dialect
from mar.pool.openai_request import VLLM
from mar.types import ChatRequest

LIMITS = ("max_completion_tokens", "max_tokens")
NOT_SENT = (*LIMITS, "model", "stream", "stream_options")
NEVER_LEFT_OUT = ("tools",)  # a request that means something else without them: it is refused rather than bent
TO_USER = ("system", "developer")


def verbatim_body(
    card: ModelCard, request: ChatRequest, dialect: Dialect, *, room: int | None = None
) -> dict[str, Any]:
    """The body of a request for a whole reply. Arguments as in `mar.pool.openai_request.request_body`."""
    asked = request.verbatim or {}
    leave_out = set(dialect.leave_out) - set(NEVER_LEFT_OUT)
    stated = {
        "temperature": card.temperature,
        "reasoning_effort": card.reasoning_effort,
        "priority": (request.priority or None) if VLLM in card.tags else None,
    }
    body = {**asked, **card.extra_body, **{name: value for name, value in stated.items() if value is not None}}
    body = {name: value for name, value in body.items() if name not in NOT_SENT and name not in leave_out}
    if not dialect.system_role:
        body["messages"] = _alternating(items(asked.get("messages")))
    limit = asked_limit(request)
    if limit is not None or request.meter is not None:
        limits = (limit, card.max_output_tokens, dialect.most_output_tokens, room)
        body[dialect.output_limit] = min(n for n in limits if n is not None)
    return {"model": card.served_name or card.name, **body}


def asked_limit(request: ChatRequest) -> int | None:
    """The most tokens that an answer may have, as a request says; None: it does not."""
    stated = [(request.verbatim or {}).get(name) for name in LIMITS]
    limits = [n for n in (request.max_tokens, *stated) if isinstance(n, int) and not isinstance(n, bool) and n > 0]
    return min(limits, default=None)


def _alternating(messages: Iterable[object]) -> list[Any]:
    """Messages whose system texts are the user's; neighbours of one speaker are joined, but for calls of tools."""
    turns: list[Any] = []
    for said in messages:
        message = mapping(said)
        message = {**message, "role": "user"} if message.get("role") in TO_USER else message
        last = mapping(turns[-1]) if turns else {}
        if _is_text(message) and _is_text(last) and last["role"] == message["role"]:
            turns[-1] = {**last, "content": _together(last["content"], message["content"])}
        else:
            turns.append(message or said)
    return turns


def _is_text(message: Mapping[str, Any]) -> bool:
    texts = isinstance(message.get("content"), str | list) and not message.get("tool_calls")
    return texts and message.get("role") in ("user", "assistant")


def _together(first: str | list[Any], then: str | list[Any]) -> str | list[Any]:
    if isinstance(first, str) and isinstance(then, str):
        return f"{first}\n\n{then}"
    both = ([{"type": "text", "text": said}] if isinstance(said, str) else said for said in (first, then))
    return [part for parts in both for part in parts]
