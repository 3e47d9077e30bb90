"""From a ChatRequest to the body of an OpenAI-compatible request: a function of records that knows no transport."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mar.pool.cards import ModelCard
from mar.pool.dialect import Dialect
from mar.types import ChatRequest, Message

VLLM = "vllm"  # tag of a model whose server takes `priority`


def request_body(card: ModelCard, request: ChatRequest, dialect: Dialect, *, room: int | None = None) -> dict[str, Any]:
    """The body of a request for a whole reply, as the server of a card takes it.

    Only what was asked for is in it; the rest is left to the server. `context` and `sample` are ours and stay here.

    Args:
        card: The model.
        request: What is asked.
        dialect: What its server takes.
        room: Tokens that this prompt leaves for the answer, where the server has said so.
    """
    wanted: dict[str, Any] = {
        "temperature": request.temperature if card.temperature is None else card.temperature,
        "top_p": request.top_p,
        "stop": list(request.stop) or None,
        "logprobs": request.logprobs or None,
        "reasoning_effort": card.reasoning_effort,
        "priority": (request.priority or None) if VLLM in card.tags else None,  # 0 is the server's own default
    }
    limits = (request.max_tokens or card.max_output_tokens, dialect.most_output_tokens, room)
    messages = request.messages if dialect.system_role else _alternating(request.messages)
    return {
        **card.extra_body,
        "model": card.served_name or card.name,
        "messages": [{"role": m.speaker, "content": m.text} for m in messages],
        dialect.output_limit: min(limit for limit in limits if limit is not None),
        **{name: value for name, value in wanted.items() if value is not None and name not in dialect.leave_out},
    }


def stream_fields(dialect: Dialect) -> dict[str, Any]:
    """What a body needs besides to be answered as a stream."""
    usage = {} if "stream_options" in dialect.leave_out else {"stream_options": {"include_usage": True}}
    return {"stream": True, **usage}


def _alternating(messages: Iterable[Message]) -> list[Message]:
    """Messages of user and assistant in turns: system texts become the user's, neighbours are joined."""
    turns: list[Message] = []
    for message in messages:
        speaker = "user" if message.speaker == "system" else message.speaker
        if turns and turns[-1].speaker == speaker:
            turns[-1] = Message(speaker=speaker, text=f"{turns[-1].text}\n\n{message.text}")
        else:
            turns.append(Message(speaker=speaker, text=message.text))
    return turns
