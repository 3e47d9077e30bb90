"""One served model as a queueing system: continuous batching behind a priority queue. Pure arithmetic, no clock.

All sequences in the batch advance together, one token per tpot(b) = base + slope * b seconds while b of them run. So
one number describes the progress of them all: the service S attained by a sequence that has been there forever, with
dS/dt = 1 / tpot(b). A job admitted at S0 that needs n units ends when S = S0 + n, whatever happens to b in between,
and a heap of these end points makes every event O(log n). (The virtual time of processor sharing, as in fair
queueing: Parekh and Gallager 1993.) The prompt costs its prefill time at batch size one, in the same unit, so
prefill slows down with the batch as well.

Deliberately not modelled: prefix caching, preemption, chunking of single prompts, speculative decoding.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from mar.clock import ticks
from mar.pool.simulated.catalogue import Serving

_RECENT = 32


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """One call on its way through a server. Times are seconds on the event loop's clock."""

    id: str
    model: str
    priority: int
    arrival: float
    prompt_tokens: int
    completion_tokens: int
    pieces: int = 1  # parts that the reply is delivered in; more than one when it is streamed
    start: float = math.nan  # when it got a slot
    first: float = math.nan  # when its first token was there, overhead left out
    finish: float = math.nan  # when its last token was there, overhead left out
    running: bool = False
    cancelled: bool = False
    number: int = 0  # of its submission; tells apart jobs of one id

    @property
    def tokens(self) -> int:
        """Tokens that it holds in the KV cache."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A point of a job that somebody waits for: piece `piece` of its reply is complete at `time`."""

    time: float  # overhead included
    job: Job
    piece: int


@dataclass(slots=True)
class Recent:
    """The mean of the last 32 values."""

    values: deque[float] = field(default_factory=deque[float])
    total: float = 0.0

    def add(self, value: float) -> None:
        """Take in one value; the oldest falls out."""
        self.values.append(value)
        self.total += value
        if len(self.values) > _RECENT:
            self.total -= self.values.popleft()

    @property
    def mean(self) -> float | None:
        """The mean, or None before the first value."""
        return self.total / len(self.values) if self.values else None


@dataclass(slots=True)
class Figures:
    """What a server reports about the requests that it finished last, in seconds."""

    ttft: Recent = field(default_factory=Recent)
    inter_token: Recent = field(default_factory=Recent)
    e2e: Recent = field(default_factory=Recent)
    queue: Recent = field(default_factory=Recent)

    def add(self, job: Job, overhead: float) -> None:
        """Take in a finished job."""
        self.queue.add(job.start - job.arrival)
        self.ttft.add(job.first - job.arrival + overhead)
        self.e2e.add(job.finish - job.arrival + overhead)
        if job.completion_tokens > 1:
            self.inter_token.add((job.finish - job.first) / (job.completion_tokens - 1))


class Server:
    """The state of one served model, moved from event to event.

    Its arithmetic happens at events only (a piece completed, a job admitted or taken out), never at a mere look, so
    looking at it often or seldom gives the same numbers to the last bit. Every event falls on a tick of the clock, so
    the numbers do not depend on when the work began either.

    Args:
        speed: Slots, speeds and capacity.
        slowdown: Factor on every token time, for servers that share a GPU.
    """

    def __init__(self, speed: Serving, *, slowdown: float = 1.0) -> None:
        self.speed = speed
        self.overhead_s = ticks(speed.overhead_s)
        self.figures = Figures()
        self.running = 0
        self.kv_tokens = 0
        self.due = math.inf  # when the next piece is delivered if nothing else happens
        self._tpot = [slowdown * (speed.tpot_base_s + speed.tpot_slope_s * b) for b in range(speed.slots + 1)]
        self._prefill = 1 / speed.prefill_tokens_per_s / (speed.tpot_base_s + speed.tpot_slope_s)  # units per token
        self._now = 0.0  # time of the last event
        self._service = 0.0  # S at that time
        self._queue: list[tuple[int, float, str, int, Job]] = []  # (priority, arrival, id, number, job)
        self._cancelled_waiting = 0
        self._marks: list[tuple[float, str, int, int, Job]] = []  # (S, id, number, piece, job) that somebody waits for
        self._firsts: list[tuple[float, str, int, Job]] = []  # (S, id, number, job): first tokens; nobody waits

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return len(self._queue) - self._cancelled_waiting

    @property
    def kv_usage(self) -> float:
        """Share of the KV cache that running jobs hold."""
        return self.kv_tokens / self.speed.kv_tokens

    def tpot(self, batch: int) -> float:
        """Seconds per output token of every sequence while `batch` of them run."""
        return self._tpot[batch]

    def soonest(self, job: Job) -> float:
        """When a job's first piece could be delivered at the earliest: alone on the server."""
        units = job.prompt_tokens * self._prefill + max(1.0, job.completion_tokens / job.pieces)
        return job.arrival + ticks(units * self._tpot[1]) + self.overhead_s

    def advance(self, to: float) -> list[Mark]:
        """Compute every event up to `to` and return the pieces that were completed, in order."""
        reached: list[Mark] = []
        if self.due > to + self.overhead_s:
            return reached
        while self._next_at() <= to:
            reached.append(self._reach())
        self._plan()
        return reached

    def submit(self, jobs: Iterable[Job], at: float) -> None:
        """Take in the jobs of one instant, after `advance(at)`. Free slots go to the first by priority and id."""
        self._move(at)
        for job in jobs:
            heapq.heappush(self._queue, (job.priority, job.arrival, job.id, job.number, job))
        self._admit()
        self._plan()

    def cancel(self, job: Job, at: float) -> None:
        """Take a job out, wherever it is, after `advance(at)`. Its slot is free at once."""
        if job.cancelled or not math.isnan(job.finish):
            return
        self._move(at)
        job.cancelled = True
        if job.running:
            self._release(job)
            self._admit()
        else:
            self._cancelled_waiting += 1
            self._drop_cancelled()
        self._plan()

    def _plan(self) -> None:
        self.due = self._next_at() + self.overhead_s

    def _next_at(self) -> float:
        while self._marks and self._marks[0][-1].cancelled:
            heapq.heappop(self._marks)
        if not self._marks:
            return math.inf
        return self._now + ticks((self._marks[0][0] - self._service) * self._tpot[self.running])

    def _admit(self) -> None:
        self._drop_cancelled()
        while self._queue and self._fits(self._queue[0][-1]):
            self._start(heapq.heappop(self._queue)[-1])
            self._drop_cancelled()

    def _fits(self, job: Job) -> bool:
        if self.running >= self.speed.slots:
            return False
        return self.running == 0 or self.kv_tokens + job.tokens <= self.speed.kv_tokens

    def _start(self, job: Job) -> None:
        if self.running == 0:
            self._service = 0.0  # nobody counts on it: keep the number small, and drop what cancelled jobs left
            self._firsts.clear()
            self._marks.clear()
        job.start, job.running = self._now, True
        self.running += 1
        self.kv_tokens += job.tokens
        decode = self._service + job.prompt_tokens * self._prefill
        heapq.heappush(self._firsts, (decode + 1, job.id, job.number, job))
        for piece in range(1, job.pieces + 1):
            point = decode + max(1.0, job.completion_tokens * piece / job.pieces)
            heapq.heappush(self._marks, (point, job.id, job.number, piece, job))

    def _reach(self) -> Mark:
        at = self._next_at()
        point, _, _, piece, job = heapq.heappop(self._marks)
        self._observe_firsts(point, at)
        self._now, self._service = at, point
        if piece == job.pieces:
            job.finish = at
            self._release(job)
            self.figures.add(job, self.overhead_s)
            self._admit()
        return Mark(time=at + self.overhead_s, job=job, piece=piece)

    def _move(self, to: float) -> None:
        if to <= self._now:
            return
        if self.running:
            service = self._service + (to - self._now) / self._tpot[self.running]
            self._observe_firsts(service, to)
            self._service = service
        self._now = to

    def _observe_firsts(self, service: float, at: float) -> None:
        while self._firsts and self._firsts[0][0] <= service:
            point, _, _, job = heapq.heappop(self._firsts)
            job.first = at - ticks((service - point) * self._tpot[self.running])

    def _release(self, job: Job) -> None:
        job.running = False
        self.running -= 1
        self.kv_tokens -= job.tokens

    def _drop_cancelled(self) -> None:
        while self._queue and self._queue[0][-1].cancelled:
            heapq.heappop(self._queue)
            self._cancelled_waiting -= 1
