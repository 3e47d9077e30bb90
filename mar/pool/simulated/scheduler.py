"""The event-driven scheduler: one task that serves every model of a pool, on whatever clock the event loop has.

It sleeps until the next reply is due. Requests wait in an inbox until then, or until somebody looks at the load, and
are admitted instant by instant at the times when they arrived, within an instant by priority and request id and not
by the order in which tasks happened to run. Since all arithmetic is tied to the times of events, it does not matter
when it is done, and a request costs one wake-up: its own reply. Replies that fall due at one instant are handed out
one microsecond apart, so that what the first receiver does comes before what the second does.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Mapping
from itertools import groupby

import anyio

from mar.clock import ticks
from mar.pool.simulated.catalogue import Serving
from mar.pool.simulated.serving import Job, Mark, Server
from mar.types import ModelTelemetry

INSTANT_S = ticks(1e-6)


class Ticket:
    """A caller's place: it waits here for the pieces of its reply."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.pieces = 0  # delivered so far
        self.timed_out = False
        self._event = anyio.Event()

    async def wait(self) -> None:
        """Wait for the next piece."""
        await self._event.wait()
        if self.pieces < self.job.pieces:
            self._event = anyio.Event()

    def deliver(self, piece: int) -> None:
        """Hand over everything up to this piece."""
        self.pieces = piece
        self._event.set()

    def give_up(self) -> None:
        """No more pieces: the job's time limit has passed."""
        self.timed_out = True
        self._event.set()


class Scheduler:
    """Serves jobs of several models.

    Args:
        speeds: Serving figures by model.
        contention: Share by which each further server on one GPU slows down all that share it.
    """

    def __init__(self, speeds: Mapping[str, Serving], *, contention: float = 0.0) -> None:
        sharing = Counter(speed.gpu for speed in speeds.values() if speed.gpu is not None)
        self._servers = {
            name: Server(speed, slowdown=1 + contention * (max(sharing[speed.gpu or ""], 1) - 1))
            for name, speed in speeds.items()
        }
        self._submitted = 0
        self._tickets: dict[Job, Ticket] = {}
        self._inbox: list[Job] = []
        self._inbox_due = math.inf  # before this time no job in the inbox can be answered
        self._due: list[tuple[float, str, int, int, Job]] = []  # (time, id, number, piece, job) of complete pieces
        self._deadlines: list[tuple[float, str, int, Job]] = []  # (time, id, number, job); settled jobs stay a while
        self._sleep: anyio.CancelScope | None = None

    def submit(self, job: Job, *, timeout: float = math.inf) -> Ticket:
        """Queue a job and return where to wait for it, for at most `timeout` seconds."""
        self._submitted += 1
        job.number = self._submitted
        ticket = Ticket(job)
        self._tickets[job] = ticket
        self._inbox.append(job)
        heapq.heappush(self._deadlines, (job.arrival + ticks(timeout), job.id, job.number, job))
        if len(self._deadlines) > 2 * len(self._tickets) + 64:
            self._drop_settled()
        self._inbox_due = min(self._inbox_due, self._soonest(job))
        self._wake_by(self._inbox_due)
        return ticket

    def forget(self, job: Job) -> None:
        """The caller waits no longer: a job that is not finished gives up its place."""
        self._tickets.pop(job, None)
        if not math.isnan(job.finish) or job.cancelled:
            return
        now = anyio.current_time()
        self._catch_up(now)
        if job in self._inbox:
            self._inbox.remove(job)
            job.cancelled = True
            return
        self._servers[job.model].cancel(job, now)
        self._wake_by(self._next_due())

    def telemetry(self) -> dict[str, ModelTelemetry]:
        """Load of every model now. Jobs of this very instant count as waiting."""
        self._catch_up(anyio.current_time())
        self._wake_by(self._next_due())
        arrived = Counter(job.model for job in self._inbox)
        return {name: _report(name, server, arrived[name]) for name, server in self._servers.items()}

    async def run(self) -> None:
        """Serve until cancelled."""
        never = anyio.Event()  # cheaper to wait for than sleep_forever, which makes a cancel scope of its own
        while True:
            with anyio.CancelScope(deadline=self._next_due()) as self._sleep:
                await never.wait()
            now = max(anyio.current_time(), self._sleep.deadline)  # a timer may fire a clock tick early
            self._sleep = None
            self._catch_up(now)
            await self._hand_out(now)

    def _soonest(self, job: Job) -> float:
        return max(self._servers[job.model].soonest(job), job.arrival + INSTANT_S)

    def _wake_by(self, time: float) -> None:
        if self._sleep is not None and self._sleep.deadline > time:
            self._sleep.deadline = time

    def _next_due(self) -> float:
        while self._deadlines and self._deadlines[0][-1] not in self._tickets:
            heapq.heappop(self._deadlines)
        soonest = min([server.due for server in self._servers.values()])
        reply = self._due[0][0] if self._due else math.inf
        return min(soonest, self._inbox_due, reply, self._deadlines[0][0] if self._deadlines else math.inf)

    def _drop_settled(self) -> None:
        self._deadlines = [entry for entry in self._deadlines if entry[-1] in self._tickets]
        heapq.heapify(self._deadlines)

    def _catch_up(self, now: float) -> None:
        """Compute every event up to now. Jobs that arrived just now stay: their instant is not over."""
        if self._inbox:
            self._take_in(now)
        for server in self._servers.values():
            if server.due <= now + server.overhead_s:
                self._collect(server.advance(now))

    def _take_in(self, now: float) -> None:
        past = [job for job in self._inbox if job.arrival < now]
        self._inbox = [job for job in self._inbox if job.arrival >= now]
        self._inbox_due = min((self._soonest(job) for job in self._inbox), default=math.inf)
        past.sort(key=lambda job: (job.model, job.arrival))
        for (model, arrival), instant in groupby(past, key=lambda job: (job.model, job.arrival)):
            server = self._servers[model]
            self._collect(server.advance(arrival))
            server.submit(instant, arrival)

    def _collect(self, marks: list[Mark]) -> None:
        for mark in marks:
            heapq.heappush(self._due, (mark.time, mark.job.id, mark.job.number, mark.piece, mark.job))

    async def _hand_out(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            _, _, _, piece, job = heapq.heappop(self._due)
            if job in self._tickets:
                self._tickets[job].deliver(piece)
                await self._pause(now)
        while self._deadlines and self._deadlines[0][0] <= now:
            job = heapq.heappop(self._deadlines)[-1]
            if job in self._tickets and self._tickets[job].pieces < job.pieces:
                self._tickets[job].give_up()
                await self._pause(now)

    async def _pause(self, now: float) -> None:
        due = min(heap[0][0] if heap else math.inf for heap in (self._due, self._deadlines))
        if due <= now:
            await anyio.sleep(INSTANT_S)


def _report(name: str, server: Server, arrived: int) -> ModelTelemetry:
    figures = server.figures
    return ModelTelemetry(
        model=name,
        running=server.running,
        waiting=server.waiting + arrived,
        kv_cache_usage=min(1.0, server.kv_usage),
        ttft_s=figures.ttft.mean,
        inter_token_s=figures.inter_token.mean,
        e2e_s=figures.e2e.mean,
        queue_s=figures.queue.mean,
    )
