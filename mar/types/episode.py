"""An episode: one plan carried out on one query. All its figures are derived from its events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mar.types.events import AnyEvent, CallAnswered, CallFailed, Decided, ToolRan
from mar.types.failure import Failure
from mar.types.plan import Plan
from mar.types.usage import ZERO_USAGE, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """The trace of one run and what it led to."""

    query_id: str
    plan: Plan
    events: tuple[AnyEvent, ...]
    latency_s: float  # true wall time on the event loop's clock, decider and tools included
    failure: Failure | None = None  # why the episode as a whole has no answer

    @property
    def answer(self) -> str | None:
        """The extracted answer, or None."""
        return next((e.answer for e in reversed(self.events) if isinstance(e, Decided)), None)

    @property
    def text(self) -> str | None:
        """The text that the answer was read from, or None."""
        return next((e.text for e in reversed(self.events) if isinstance(e, Decided)), None)

    def calls(self) -> Iterator[CallAnswered]:
        """Every model call that was answered, in order of completion."""
        return (e for e in self.events if isinstance(e, CallAnswered))

    @property
    def usage(self) -> Usage:
        """Tokens and cost of all calls, failed ones included, cached ones at the price that was once paid."""
        return sum((e.usage for e in self.events if isinstance(e, CallAnswered | CallFailed)), ZERO_USAGE)

    @property
    def cost_usd(self) -> float | None:
        """USD for all calls; None when a price or a usage is unknown."""
        return self.usage.cost_usd

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Everything that failed on the way: calls, tools, and the episode itself. An agent fails by its call."""
        events = tuple(e.failure for e in self.events if isinstance(e, CallFailed | ToolRan) and e.failure is not None)
        return events if self.failure is None else (*events, self.failure)
