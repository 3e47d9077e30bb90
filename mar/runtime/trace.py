"""Writing down what happens in an episode, and reading it back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter

from mar.clock import time_of_loop
from mar.errors import ConfigError, DataError
from mar.files import write_atomically
from mar.reading import attempt, read_json_lines, table
from mar.types import AnyEvent, Considered, Decided, Episode, EpisodeStarted, EventHandler, Failure, Plan, Stopped

_EVENTS: dict[str, TypeAdapter[Any]] = {cls.__name__: TypeAdapter(cls) for cls in get_args(AnyEvent)}
_FAILURE: TypeAdapter[Failure | None] = TypeAdapter(Failure | None)
_TEXT, _SECONDS = TypeAdapter(str), TypeAdapter(float)


class Recorder:
    """Collects the events of one episode, stamped with the time since it began, and hands each on as it happens."""

    def __init__(self, on_event: EventHandler | None = None) -> None:
        self._time = time_of_loop()
        self._start = self._time()
        self._events: list[AnyEvent] = []
        self._on_event = on_event

    def now(self) -> float:
        """Seconds since the episode began, to the nanosecond."""
        return round(self._time() - self._start, 9)

    def add(self, event: AnyEvent) -> None:
        """Append an event."""
        self._events.append(event)
        if self._on_event is not None:
            self._on_event(event)

    def events(self) -> tuple[AnyEvent, ...]:
        """All events in order of time; those of one instant by round and agent, whatever order they came in."""
        return tuple(sorted(self._events, key=_order))


def _order(event: AnyEvent) -> tuple[int, float, int, int]:
    match event:
        case EpisodeStarted():
            return (0, event.t, 0, 0)
        case Decided():
            return (2, event.t, 0, 0)
        case Stopped():
            return (1, event.t, event.round, 10_000)  # after the agents of its round
        case Considered(index=int(index), round=int(round)):
            return (1, event.t, round, index)
        case Considered():
            return (2, event.t, 0, 0)
        case _:
            return (1, event.t, event.round, event.index)


def episode_to_json(episode: Episode) -> dict[str, Any]:
    """A plain dictionary of an episode; `episode_from_json` reads it back."""
    events = [
        {"event": type(e).__name__, **_EVENTS[type(e).__name__].dump_python(e, mode="json")} for e in episode.events
    ]
    failure = None if episode.failure is None else dataclasses.asdict(episode.failure)
    return {
        "query_id": episode.query_id,
        "plan": None if episode.plan is None else episode.plan.to_json(),
        "policy": episode.policy,
        "latency_s": episode.latency_s,
        "failure": failure,
        "events": events,
    }


def episode_from_json(data: object) -> Episode:
    """Rebuild an episode.

    Raises:
        DataError: It is no episode.
    """
    expected = "what write_episodes writes"
    try:
        return attempt(lambda: _rebuilt(table(data, "it", expected=expected)), "not an episode", expected=expected)
    except ConfigError as error:  # of a plan
        raise DataError(f"not an episode: {error}") from None


def _rebuilt(data: Mapping[str, Any]) -> Episode:
    events = tuple(
        _EVENTS[e["event"]].validate_python({k: v for k, v in e.items() if k != "event"}) for e in data["events"]
    )
    return Episode(
        query_id=_TEXT.validate_python(data["query_id"]),
        plan=None if data["plan"] is None else Plan.from_json(data["plan"]),
        policy=_TEXT.validate_python(data.get("policy", "plan")),
        latency_s=_SECONDS.validate_python(data["latency_s"]),
        failure=_FAILURE.validate_python(data["failure"]),
        events=events,
    )


def write_episodes(path: Path, episodes: Iterable[Episode]) -> None:
    """Write episodes as a JSONL file, one a line, whole or not at all."""
    lines = (json.dumps(episode_to_json(episode), ensure_ascii=True) + "\n" for episode in episodes)
    write_atomically(path, "".join(lines))


def read_episodes(path: Path) -> Iterator[Episode]:
    """Read a file that `write_episodes` wrote.

    Raises:
        DataError: A line is no episode; names the file and the line.
    """
    for where, value in read_json_lines(path, expected="an episode", finite=False):
        try:
            yield episode_from_json(value)
        except DataError as error:
            raise DataError(f"{where}: {error}") from None
