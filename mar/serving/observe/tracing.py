"""Traces over several programs: what a client says of its own goes on to servers, and spans tell what happens between.

Without OpenTelemetry a client's W3C trace context is passed on as it is, as that standard asks of whoever takes no part
(https://www.w3.org/TR/trace-context/). With it (extra `otel`) every request has spans of its own in the client's trace,
and servers are told the request's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from mar.errors import ConfigError
from mar.serving.asked import Asked
from mar.serving.house import Way
from mar.serving.record import Entry
from mar.serving.settings import OtelSettings
from mar.types import AnyEvent

_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_STATE = re.compile(r"[\x20-\x7e]{1,512}")


class Trace(Protocol):
    """What is told of one request, as it happens."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What its calls carry to servers."""
        ...

    def hear(self, event: AnyEvent) -> None:
        """Something has happened."""
        ...

    def end(self, entry: Entry) -> None:
        """The request has ended."""
        ...


class Tracing(Protocol):
    """Makes traces."""

    def begin(self, asked: Asked, way: Way, headers: Mapping[str, str], decision_s: float) -> Trace:
        """The trace of a request that was just planned.

        Args:
            asked: What is asked.
            way: How it is worked on.
            headers: The client's, by name in lower case.
            decision_s: That planning took.
        """
        ...

    def close(self) -> None:
        """Send on what waits; it may take a while."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Untold:
    """A trace that tells nothing, and passes on what a client said."""

    headers: Mapping[str, str]

    def hear(self, event: AnyEvent) -> None:
        """See `Trace`."""

    def end(self, entry: Entry) -> None:
        """See `Trace`."""


class PassedOn:
    """Takes no part in traces."""

    def begin(self, asked: Asked, way: Way, headers: Mapping[str, str], decision_s: float) -> Trace:
        """See `Tracing`."""
        return Untold(headers=context_of(headers))

    def close(self) -> None:
        """See `Tracing`."""


def context_of(headers: Mapping[str, str]) -> dict[str, str]:
    """The W3C trace context in a request's headers; what is malformed is no context."""
    parent, state = headers.get("traceparent", ""), headers.get("tracestate", "")
    if not _PARENT.fullmatch(parent):
        return {}
    return {"traceparent": parent} | ({"tracestate": state} if _STATE.fullmatch(state) else {})


def load_tracing(settings: OtelSettings, *, simulated: bool) -> Tracing:
    """Who tells of requests, as the settings say.

    Raises:
        ConfigError: It is on, and the packages for it are not there.
    """
    if not settings.on:
        return PassedOn()
    try:
        from mar.serving.observe.spans import Spans, exporting
    except ModuleNotFoundError as missing:
        raise ConfigError(f"otel.on: {missing.name} is not installed; install the extra `otel`") from None
    return Spans(exporting(), content=settings.content, simulated=simulated)
