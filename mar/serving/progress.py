"""Events of an episode under way, told to a client that wishes to see them: as data, and as a line for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mar.types import (
    AnyEvent,
    CallAnswered,
    CallFailed,
    Considered,
    Decided,
    EpisodeStarted,
    PassedThrough,
    StepBound,
    Stopped,
    ToolCalled,
    ToolRan,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One event, told."""

    data: Mapping[str, Any]
    text: str


def progress_of(event: AnyEvent) -> Progress | None:
    """What is told of an event; None: nothing. What agents said is told by its length alone."""
    match event:
        case EpisodeStarted():
            mode = None if event.plan is None else event.plan.mode.name
            return _told(event, f"planned: {mode or event.policy}", mode=mode, policy=event.policy)
        case Considered() if event.why.because:
            return _told(event, event.why.because, because=event.why.because)
        case StepBound():
            text = f"{event.index + 1} {event.role}: {event.model} is asked"
            return _told(event, text, index=event.index, round=event.round, role=event.role, model=event.model)
        case CallAnswered():
            usd = event.usage.cost_usd
            text = f"{event.index + 1}: {event.model} answered after {event.latency_s:.1f} s"
            more = {"call": event.call, "seconds": round(event.latency_s, 3), "cost_usd": usd, "chars": len(event.text)}
            return _told(event, text, index=event.index, round=event.round, model=event.model, **more)
        case CallFailed():
            text = f"{event.index + 1}: {event.model} failed ({event.failure.kind})"
            return _told(event, text, index=event.index, round=event.round, model=event.model, kind=event.failure.kind)
        case ToolRan() | ToolCalled():
            text = f"{event.index + 1}: {event.tool} ({'ok' if event.ok else 'not ok'})"
            return _told(event, text, index=event.index, round=event.round, tool=event.tool, ok=event.ok)
        case PassedThrough():
            text = f"{event.index + 1}: passes on code that already passes the shown tests"
            return _told(event, text, index=event.index, round=event.round)
        case Stopped():
            return _told(event, f"stopped: the budget of {event.why} is spent", why=event.why)
        case Decided():
            return _told(event, f"decided ({event.how})", how=event.how)
        case _:
            return None


def _told(event: AnyEvent, text: str, **data: Any) -> Progress:
    return Progress(data={"event": type(event).__name__, "t": round(event.t, 4), **data}, text=text)
