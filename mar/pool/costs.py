"""What one try of a call costs: what it can cost at the most, and what it cost where that is known.

The yardstick is what a provider charges for. A try that brought no usable answer may have been charged all the same
(`mar.errors.Charge`); where nobody can know how much, it counts at the most that it can have been, and says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from mar.errors import Charge
from mar.pool.cards import ModelCard
from mar.types import ZERO_USAGE, ChatReply, ChatRequest, Message, Usage

BELIEVABLE = 16  # how many times its stated context a card may understate; a count beyond that is no count


def most_tokens(messages: Sequence[Message]) -> int:
    """More tokens than a prompt can have: a token stands for at least one byte, and each message has a frame."""
    return sum(len(m.text.encode(errors="surrogatepass")) + 16 for m in messages)


def worst_cost(request: ChatRequest, card: ModelCard) -> float | None:
    """USD that one try costs at the most; None when its price is unknown."""
    return card.cost_usd(
        prompt_tokens=most_tokens(request.messages),
        completion_tokens=card.max_output_tokens if request.max_tokens is None else request.max_tokens,
        seconds=request.timeout_s or card.timeout_s,
    )


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
