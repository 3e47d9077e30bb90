"""An episode: one policy at work on one query. All its figures are derived from its events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mar.types.events import AnyEvent, CallAnswered, CallFailed, Decided, StepBound, StepEvent, ToolCalled, ToolRan
from mar.types.failure import Failure
from mar.types.plan import Plan
from mar.types.usage import ZERO_USAGE, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """The trace of one run and what it led to."""

    query_id: str
    plan: Plan | None  # what was intended, where that was decided beforehand
    policy: str = "plan"  # name of the policy that ran it; "plan": the plan as it is
    events: tuple[AnyEvent, ...]
    latency_s: float  # true wall time on the event loop's clock, decider and tools included
    failure: Failure | None = None  # why the episode as a whole has no answer
    verbatim: Mapping[str, Any] | None = None  # the server's own reply that the answer is; no part of the trace

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
    def roles(self) -> dict[int, str]:
        """The agents' roles by index, deciders excluded: the plan's, or those that were given a model."""
        if self.plan is not None:
            return {i: agent.role for i, agent in enumerate(self.plan.agents)}
        bound = {e.index: e.role for e in self.events if isinstance(e, StepBound)}
        return {i: role for i, role in sorted(bound.items()) if i not in self._deciders}

    @property
    def lanes(self) -> tuple[str, ...]:
        """What each agent is called, by index: its number and role, or "decider"."""
        roles, deciders = self.roles, self._deciders
        last = max((e.index for e in self.events if isinstance(e, StepEvent)), default=-1)
        n = max(last, *roles, -1) + 1
        return tuple("decider" if i in deciders else f"{i + 1} {roles.get(i, '')}".rstrip() for i in range(n))

    @property
    def _deciders(self) -> set[int]:
        called = (e for e in self.events if isinstance(e, CallAnswered | CallFailed))
        planned = set[int]() if self.plan is None else {len(self.plan.agents)}
        return planned | {e.index for e in called if e.call == "decider"}

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
        found = (e.failure for e in self.events if isinstance(e, CallFailed | ToolRan | ToolCalled))
        events = tuple(f for f in found if f is not None and f.kind != "called_off")
        return events if self.failure is None else (*events, self.failure)
