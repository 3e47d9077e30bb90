"""What one try of a call costs: what it can cost at the most, and what it cost where that is known.

The yardstick is what a provider charges for. A try that brought no usable answer may have been charged all the same
(`mar.errors.Charge`); where nobody can know how much, it counts at the most that it can have been, and says so.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mar.errors import Charge
from mar.pool.cards import ModelCard
from mar.pool.decoded import items, mapping
from mar.pool.openai_verbatim import asked_limit
from mar.types import ZERO_USAGE, ChatReply, ChatRequest, Message, ToolSpec, Usage

TOOLS_PREAMBLE = 512  # tokens at the most: how chat templates tell a model to call tools takes 50 to 400
IMAGE_TOKENS = 50_000  # of one at the most: gpt-4o-mini takes 48,169 for the largest, other models far fewer
_JSON = json.JSONEncoder(ensure_ascii=False, default=str)
BELIEVABLE = 16  # how many times its stated context a card may understate; a count beyond that is no count


def most_tokens(messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> int:
    """More tokens than a prompt can have: a token stands for at least one byte, and each message has a frame.

    Tools are told in a preamble, where servers lay their schemas out with white space of their own.
    """
    said = sum(len(m.written.encode(errors="surrogatepass")) + 16 * (1 + len(m.calls)) for m in messages)
    told = sum(2 * len(t.written.encode(errors="surrogatepass")) for t in tools)
    return said + (told + TOOLS_PREAMBLE if tools else 0)


def most_tokens_verbatim(body: Mapping[str, Any]) -> int:
    """The same of a client's own request: each of its bytes may be a token, and an image is many."""
    images, rest = 0, list[object]()
    for message in items(body.get("messages")):
        parts = items(mapping(message).get("content"))
        others = [part for part in parts if "image" not in str(mapping(part).get("type"))]
        images += len(parts) - len(others)
        rest.append({**mapping(message), "content": others} if len(others) < len(parts) else message)
    size = _written({**body, "messages": rest}) + 16 * len(rest) + IMAGE_TOKENS * images
    return size + (_written(body["tools"]) + TOOLS_PREAMBLE if body.get("tools") else 0)


def _written(value: object) -> int:
    return len(_JSON.encode(value).encode(errors="surrogatepass"))


def worst_cost(request: ChatRequest, card: ModelCard) -> float | None:
    """USD that one try costs at the most; None when its price is unknown."""
    body, limit = request.verbatim, request.max_tokens
    if body is None:
        prompt = most_tokens(request.messages, request.tools)
        completion = card.max_output_tokens if limit is None else limit
    else:
        asked = asked_limit(request)
        completion = _answers(body) * min(n for n in (asked, card.max_output_tokens) if n is not None)
        prompt = most_tokens_verbatim(body)
    seconds = request.timeout_s or card.timeout_s
    return card.cost_usd(prompt_tokens=prompt, completion_tokens=completion, seconds=seconds)


def _answers(body: Mapping[str, Any]) -> int:
    """How many answers a client's own request has generated; servers take numbers as texts, too."""
    if "n" not in body and "best_of" not in body:
        return 1
    counts = (str(body.get(name, 1)) for name in ("n", "best_of"))
    return max(1, *(math.ceil(float(n)) for n in counts if re.fullmatch(r"\d{1,6}(\.\d{1,6})?", n)))


def reply_usage(reply: ChatReply, card: ModelCard) -> Usage:
    """What an answer used and cost: as its source states it, else by its model's card."""
    prompt, completion = _believed(reply.prompt_tokens, card), _believed(reply.completion_tokens, card)
    cost = reply.cost_usd
    if cost is None:
        cost = card.cost_usd(prompt_tokens=prompt, completion_tokens=completion, seconds=reply.latency_s)
    return Usage(calls=1, prompt_tokens=prompt, completion_tokens=completion, cost_usd=cost)


def lost_usage(charge: Charge, request: ChatRequest, card: ModelCard, *, seconds: float) -> Usage:
    """What a try without an answer used and cost; at its worst where nobody says.

    Args:
        charge: What is known of it.
        request: What was asked.
        card: The model that was asked.
        seconds: How long the try took, for a price by time.
    """
    if charge.charged == "no":
        return ZERO_USAGE
    prompt, completion = _believed(charge.prompt_tokens, card), _believed(charge.completion_tokens, card)
    known = card.cost_usd(prompt_tokens=prompt, completion_tokens=completion, seconds=seconds)
    worst = worst_cost(request, card)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cost_usd=worst if known is None else known,
        uncertain_usd=(worst or 0.0) if known is None else 0.0,
    )


def _believed(tokens: int | None, card: ModelCard) -> int | None:
    return tokens if tokens is not None and 0 <= tokens <= BELIEVABLE * card.context_tokens else None
