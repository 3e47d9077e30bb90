"""Limits of one model that can be observed: calls at once, requests per minute, and what the recent calls took.

This is also what is known of the load of a server that reports none itself: the calls under way from here, what the
recent ones took, what the API's rate-limit headers say is left, and whether the latest try failed.

A call first waits for one of the model's slots, then for its turn under the rate limit, and only then runs. The order
matters: a turn taken before the slot would be used late, and several such starts could fall into one minute.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from mar.types import ModelTelemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTiming:
    """What one answered call took."""

    at: float  # when it ended, seconds on the event loop's clock
    e2e_s: float  # from sending to the last token
    queue_s: float  # waiting for this pool's own limits
    ttft_s: float | None = None  # only of streamed calls
    inter_token_s: float | None = None  # only of streamed calls with more than one token


# Header names of the common APIs; the first that is there counts.
REQUESTS_LEFT = ("x-ratelimit-remaining-requests", "anthropic-ratelimit-requests-remaining", "ratelimit-remaining")
TOKENS_LEFT = ("x-ratelimit-remaining-tokens", "anthropic-ratelimit-tokens-remaining")


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What an API's rate limit leaves, as its latest reply said."""

    at: float  # when it was said, seconds on the event loop's clock
    requests_left: int | None
    tokens_left: int | None

    @classmethod
    def read(cls, headers: Mapping[str, str], at: float) -> Allowance | None:
        """The allowance in a reply's headers; None when they say nothing."""
        requests, tokens = _number(headers, REQUESTS_LEFT), _number(headers, TOKENS_LEFT)
        return None if requests is None and tokens is None else cls(at=at, requests_left=requests, tokens_left=tokens)


def _number(headers: Mapping[str, str], names: Iterable[str]) -> int | None:
    texts = (headers.get(name, "") for name in names)
    return next((int(text) for text in texts if text.isascii() and text.isdigit()), None)


class RateLimit:
    """At most so many starts in any one minute, first come first served.

    Bursts are let through until the minute's count is used up. A rate below one
    per minute widens the window; otherwise a fraction is rounded down.
    """

    def __init__(self, per_minute: float) -> None:
        self._capacity = max(1, math.floor(per_minute))
        self._window_s = max(60.0, 60.0 / per_minute)
        self._starts: deque[float] = deque()
        self._turn = anyio.Lock()

    async def wait(self) -> None:
        """Return when one more start is allowed, and count it."""
        async with self._turn:
            if len(self._starts) == self._capacity:
                free_at = self._starts[0] + self._window_s
                await anyio.sleep(max(0.0, free_at - anyio.current_time()))
                self._starts.popleft()
            self._starts.append(anyio.current_time())


class ModelLimits:
    """One model's limits and load.

    Args:
        model: The model's name.
        concurrency: Calls under way at once.
        requests_per_minute: Starts in any one minute; None: no limit.
        window_s: How far back `telemetry` looks.
    """

    def __init__(
        self, model: str, *, concurrency: int, requests_per_minute: float | None = None, window_s: float = 60.0
    ) -> None:
        self.model = model
        self.running = 0
        self.waiting = 0
        self.most_running = 0  # the highest that `running` has ever been
        self._slots = anyio.CapacityLimiter(concurrency)
        self._rate = None if requests_per_minute is None else RateLimit(requests_per_minute)
        self._window_s = window_s
        self._timings: deque[CallTiming] = deque()
        self._allowance: Allowance | None = None
        self._failed_at: float | None = None  # when the latest try failed; None: it did not

    @asynccontextmanager
    async def slot(self) -> AsyncGenerator[float]:
        """Hold one of the model's slots; gives the seconds that were waited for it."""
        began = anyio.current_time()
        async with self._queued():
            await self._slots.acquire_on_behalf_of(token := object())
        try:
            if self._rate is not None:
                async with self._queued():
                    await self._rate.wait()
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            try:
                yield anyio.current_time() - began
            finally:
                self.running -= 1
        finally:
            self._slots.release_on_behalf_of(token)

    @asynccontextmanager
    async def _queued(self) -> AsyncGenerator[None]:
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    def record(self, timing: CallTiming) -> None:
        """Count an answered call."""
        self._timings.append(timing)
        self._failed_at = None
        self._forget(timing.at)

    def record_failure(self) -> None:
        """Count a try that the server did not answer. Until one is answered it does not look idle."""
        self._failed_at = anyio.current_time()

    def record_headers(self, headers: Mapping[str, str]) -> None:
        """Take note of what a reply's headers say about the API's own limits."""
        self._allowance = Allowance.read(headers, anyio.current_time()) or self._allowance

    def telemetry(self) -> ModelTelemetry:
        """Load at this moment and means over the recent calls."""
        now = self._now()
        self._forget(now)
        recent = self._timings
        allowance = self._allowance if self._allowance and self._allowance.at > now - self._window_s else None
        return ModelTelemetry(
            model=self.model,
            running=self.running,
            waiting=self.waiting,
            ttft_s=_mean(t.ttft_s for t in recent),
            inter_token_s=_mean(t.inter_token_s for t in recent),
            e2e_s=_mean(t.e2e_s for t in recent),
            queue_s=_mean(t.queue_s for t in recent),
            requests_left=None if allowance is None else allowance.requests_left,
            tokens_left=None if allowance is None else allowance.tokens_left,
            # Only for a while: nobody would ever find out that the server is back.
            stale=self._failed_at is not None and self._failed_at > now - self._window_s,
        )

    def _now(self) -> float:
        try:
            return anyio.current_time()
        except RuntimeError:  # outside any event loop: as things stood after the last call
            return self._timings[-1].at if self._timings else 0.0

    def _forget(self, now: float) -> None:
        while self._timings and self._timings[0].at < now - self._window_s:
            self._timings.popleft()


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None
