"""Limits of one model that can be observed: calls at once, requests per minute, and what the recent calls took.

This is also what is known of the load of a server that reports none itself: the calls under way from here, what the
recent ones took, what the API's rate-limit headers say is left, and whether the latest try failed.

A call first waits for one of the model's slots, then for its turn under the rate limit, and only then runs. The order
matters: a turn taken before the slot would be used late, and several such starts could fall into one minute.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import anyio

from mar.clock import now
from mar.types import ModelTelemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTiming:
    """What one answered call took."""

    at: float  # when it ended, seconds on the event loop's clock
    e2e_s: float  # from sending to the last token
    queue_s: float  # waiting for this pool's own limits
    ttft_s: float | None = None  # only of streamed calls
    inter_token_s: float | None = None  # only of streamed calls with more than one token


class _Mean:
    """A mean of numbers that come and go, in constant time.

    They are summed as whole numbers, exactly: what has gone leaves nothing behind.
    """

    SCALE = 2.0**80  # with which every double from 2**-28 on is a whole number
    __slots__ = ("_count", "_total")

    def __init__(self) -> None:
        self._total = self._count = 0

    def add(self, number: float | None) -> None:
        if number is not None:
            self._total += int(number * self.SCALE)
            self._count += 1

    def without(self, gone: _Mean) -> None:
        self._total -= gone._total
        self._count -= gone._count

    @property
    def value(self) -> float | None:
        return self._total / self._count / self.SCALE if self._count else None


class _Means:
    """What some calls took on average."""

    __slots__ = ("e2e_s", "inter_token_s", "queue_s", "ttft_s")

    def __init__(self) -> None:
        self.e2e_s, self.queue_s, self.ttft_s, self.inter_token_s = _Mean(), _Mean(), _Mean(), _Mean()

    def add(self, timing: CallTiming) -> None:
        self.e2e_s.add(timing.e2e_s)
        self.queue_s.add(timing.queue_s)
        self.ttft_s.add(timing.ttft_s)
        self.inter_token_s.add(timing.inter_token_s)

    def without(self, gone: _Means) -> None:
        self.e2e_s.without(gone.e2e_s)
        self.queue_s.without(gone.queue_s)
        self.ttft_s.without(gone.ttft_s)
        self.inter_token_s.without(gone.inter_token_s)


class _Recent(_Means):
    """The calls of a window and what they took on average.

    They are let go of a hundredth of the window at a time: a busy gateway makes tens of thousands of calls in one.
    """

    PARTS = 100
    __slots__ = ("_part_s", "_parts", "last_at")

    def __init__(self, window_s: float) -> None:
        super().__init__()
        self.last_at = 0.0  # when the latest call ended; 0 when there is none
        self._part_s = window_s / self.PARTS
        self._parts: deque[tuple[int, _Means]] = deque()  # each with its number

    def add(self, timing: CallTiming) -> None:
        super().add(timing)
        self.last_at, number = timing.at, int(timing.at // self._part_s)
        if not self._parts or self._parts[-1][0] != number:
            self._parts.append((number, _Means()))
            self.forget(timing.at)
        self._parts[-1][1].add(timing)

    def forget(self, now: float) -> None:
        """Let go of what lies before the window. Each part is let go of once."""
        oldest = now // self._part_s - self.PARTS
        while self._parts and self._parts[0][0] < oldest:
            self.without(self._parts.popleft()[1])


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
                await anyio.sleep(max(0.0, free_at - now()))
                self._starts.popleft()
            self._starts.append(now())


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
        self._recent = _Recent(window_s)
        self._allowance: Allowance | None = None
        self._failed_at: float | None = None  # when the latest try failed; None: it did not

    @property
    def spare(self) -> bool:
        """Whether one more call would run at once."""
        return self.waiting == 0 and self._slots.available_tokens > 0

    @asynccontextmanager
    async def slot(self) -> AsyncGenerator[float]:
        """Hold one of the model's slots; gives the seconds that were waited for it."""
        began, token = now(), object()
        try:
            self._slots.acquire_on_behalf_of_nowait(token)
        except anyio.WouldBlock:
            with self._queued():
                await self._slots.acquire_on_behalf_of(token)
        try:
            if self._rate is not None:
                with self._queued():
                    await self._rate.wait()
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            try:
                yield now() - began
            finally:
                self.running -= 1
        finally:
            self._slots.release_on_behalf_of(token)

    @contextmanager
    def _queued(self) -> Generator[None]:
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    def record(self, timing: CallTiming) -> None:
        """Count an answered call."""
        self._recent.add(timing)
        self._failed_at = None

    def record_failure(self) -> None:
        """Count a try that the server did not answer. Until one is answered it does not look idle."""
        self._failed_at = now()

    def record_headers(self, headers: Mapping[str, str]) -> None:
        """Take note of what a reply's headers say about the API's own limits."""
        self._allowance = Allowance.read(headers, now()) or self._allowance

    def telemetry(self) -> ModelTelemetry:
        """Load at this moment and means over the recent calls."""
        at = self._now()
        recent = self._recent
        recent.forget(at)
        allowance = self._allowance if self._allowance and self._allowance.at > at - self._window_s else None
        return ModelTelemetry(
            model=self.model,
            running=self.running,
            waiting=self.waiting,
            ttft_s=recent.ttft_s.value,
            inter_token_s=recent.inter_token_s.value,
            e2e_s=recent.e2e_s.value,
            queue_s=recent.queue_s.value,
            requests_left=None if allowance is None else allowance.requests_left,
            tokens_left=None if allowance is None else allowance.tokens_left,
            # Only for a while: nobody would ever find out that the server is back.
            stale=self._failed_at is not None and self._failed_at > at - self._window_s,
        )

    def _now(self) -> float:
        try:
            return now()
        except RuntimeError:  # outside any event loop: as things stood after the last call
            return self._recent.last_at
