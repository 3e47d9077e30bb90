"""Token usage and cost: records that add up, where unknown stays unknown."""

from __future__ import annotations

from dataclasses import dataclass


def _sum_known(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a + b


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one or several model calls used. `a + b` adds; an unknown part makes the sum unknown (None), never 0."""

    calls: int = 0  # model calls that were answered
    prompt_tokens: int | None = 0  # as counted by the server
    completion_tokens: int | None = 0  # as counted by the server, reasoning included
    cost_usd: float | None = 0.0  # USD by the model card's price; None when the price or the usage is unknown
    uncertain_usd: float = 0.0  # part of cost_usd that nobody stated: the most that failed tries can have cost

    def __add__(self, other: Usage) -> Usage:
        prompt = _sum_known(self.prompt_tokens, other.prompt_tokens)
        completion = _sum_known(self.completion_tokens, other.completion_tokens)
        return Usage(
            calls=self.calls + other.calls,
            prompt_tokens=None if prompt is None else int(prompt),
            completion_tokens=None if completion is None else int(completion),
            cost_usd=_sum_known(self.cost_usd, other.cost_usd),
            uncertain_usd=self.uncertain_usd + other.uncertain_usd,
        )


ZERO_USAGE = Usage()
