"""Handing jobs to workers: whose turn it is, what is done again when a worker is lost, and when one takes too long.

Workers are processes of this machine or actors of a Ray cluster; what differs between them is `Place`. A job is an
entry in a table here and nothing more, so a worker that ends takes nothing with it: what it was doing is handed to
another one. A job that has cost three workers their lives is taken to be the cause and ends the run.

When nothing is left to hand out, a free worker does again what another one has been at for long (a straggler: a machine
that swaps, or has been paused); whoever is first counts. Work that is paid for is not repeated so: calls of models have
time-outs of their own.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from statistics import median
from types import TracebackType
from typing import Any, Protocol, Self, cast

from mar.errors import InternalError, OutsideError
from mar.execution.spec import LOOPBACK, AnySpec, JobT, OnDone, OutcomeT, Spec
from mar.execution.work import Parcel, WorkerLost, outcome_of, packed, parcel

MOST_LOSSES = 3  # workers that one job may cost
LOOK_S = 0.5  # between looks for stragglers
SHOWN = 8  # workers whose jobs are told one by one
PLACE_S = 0.05  # between looks for a worker that has a place
STRAGGLER_S = 10.0  # a job that takes less is none
STRAGGLER = 4.0  # nor is one that takes fewer times the median


class Worker(Protocol):
    """One worker."""

    name: str

    @property
    def placed(self) -> bool:
        """Whether it has a place to run at. One that waits for a place, which may never come, is given no job."""
        ...

    def take_up(self, sent: Parcel) -> None:
        """Open a spec, in place of the one before, all of whose jobs have ended."""
        ...

    def submit(self, job: bytes) -> Future[bytes]:
        """Begin a job of what is open; the future raises `WorkerLost` where it ended before the job did."""
        ...

    def stop(self) -> None:
        """End it, whatever it is doing."""
        ...


Place = Callable[[str], Worker]
"""Starts a worker of this name."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Post:
    """A worker's place; another one takes it over when it is lost."""

    worker: Worker
    busy: int = 0
    done: int = 0  # jobs
    opened: Parcel | None = None  # what it was sent last


@dataclass(slots=True, kw_only=True)
class _Batch:
    """Jobs of one call."""

    jobs: Sequence[Any]
    waiting: deque[int]
    outcomes: dict[int, Any] = field(default_factory=dict[int, Any])
    under_way: dict[Future[bytes], tuple[int, _Post, float]] = field(
        default_factory=dict[Future[bytes], tuple[int, _Post, float]]
    )
    losses: Counter[int] = field(default_factory=Counter[int])
    seconds: list[float] = field(default_factory=list[float])  # that jobs took

    def straggler(self, now: float) -> int | None:
        """A job that one worker alone is at, and for far longer than others took."""
        at: Counter[int] = Counter(number for number, _, _ in self.under_way.values())
        limit = max(STRAGGLER_S, STRAGGLER * median(self.seconds)) if self.seconds else math.inf
        late = [(began, n) for n, _, began in self.under_way.values() if at[n] == 1 and now - began > limit]
        return min(late)[1] if late else None


class Fleet:
    """An executor over several workers, which are started by the first run and kept for the next.

    A spec travels once to each worker that does a job of it. So what all jobs share, such as a table, belongs to it.

    Args:
        place: Where workers are started.
        workers: How many.
        extend: Python files or modules that workers import first.
        say: Is told when a worker is lost.
        host: Address that workers reach this machine by.
    """

    def __init__(
        self,
        place: Place,
        workers: int,
        *,
        extend: tuple[str, ...] = (),
        say: Callable[[str], None] | None = None,
        host: str = LOOPBACK,
    ) -> None:
        self.host = host
        self._closed = False
        self._place, self._n, self._extend = place, workers, extend
        self._say: Callable[[str], None] = say or (lambda _: None)
        self._spec: AnySpec | None = None
        self._parcel: Parcel | None = None
        self._posts: list[_Post] = []
        self._started = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True  # else a run that goes on in a thread would start others in their place
        self._stop(self._posts)

    def run(
        self, spec: Spec[JobT, OutcomeT], jobs: Sequence[JobT], on_done: OnDone[OutcomeT] | None = None
    ) -> list[OutcomeT]:
        """See `mar.execution.spec.Executor`."""
        if not jobs:
            return []
        batch = _Batch(jobs=jobs, waiting=deque(range(len(jobs))))
        self._open(spec)
        each = 1 if spec.at_once is None or spec.virtual else math.ceil(spec.at_once / self._n)
        try:
            while len(batch.outcomes) < len(jobs):
                self._hand_out(batch, each, repeatable=spec.repeatable)
                if not batch.under_way:  # nobody has a place yet
                    time.sleep(PLACE_S)
                ended, _ = wait(batch.under_way, timeout=LOOK_S, return_when=FIRST_COMPLETED)
                for future in ended:
                    self._take(future, batch, on_done)
        finally:
            self._stop([post for _, post, _ in batch.under_way.values()])  # stragglers, or what an error left
        return [cast("OutcomeT", batch.outcomes[i]) for i in range(len(jobs))]

    def _open(self, spec: AnySpec) -> None:
        if spec is not self._spec:
            self._spec, self._parcel = spec, parcel(spec, self._extend)
        self._posts += [self._fresh() for _ in range(self._n - len(self._posts))]

    def _fresh(self) -> _Post:
        if self._closed:
            raise InternalError("no worker is started any more")
        self._started += 1
        return _Post(worker=self._place(f"worker {self._started}"))

    def _stop(self, posts: Sequence[_Post]) -> None:
        for post in list(posts):
            if post in self._posts:
                self._posts.remove(post)
                post.worker.stop()

    def _hand_out(self, batch: _Batch, each: int, *, repeatable: bool) -> None:
        for post in sorted((post for post in self._posts if post.worker.placed), key=lambda post: post.busy):
            while post.busy < each:
                if batch.waiting:
                    number = batch.waiting.popleft()
                else:
                    late = batch.straggler(time.monotonic()) if repeatable else None
                    if late is None:
                        return
                    number = late
                self._begin(number, post, batch)

    def _begin(self, number: int, post: _Post, batch: _Batch) -> None:
        job = packed(batch.jobs[number], "a job of this run")
        if self._parcel is not None and post.opened is not self._parcel:
            post.worker.take_up(self._parcel)
            post.opened = self._parcel
        future = post.worker.submit(job)
        post.busy += 1
        batch.under_way[future] = number, post, time.monotonic()

    def _take(self, future: Future[bytes], batch: _Batch, on_done: OnDone[Any] | None) -> None:
        if future not in batch.under_way:
            return
        number, post, began = batch.under_way.pop(future)
        post.busy -= 1
        try:
            answer = future.result()
        except WorkerLost as lost:
            self._replace(post, batch, str(lost))
            if number not in batch.outcomes:
                self._again(number, batch, str(lost))
            return
        if number in batch.outcomes:
            return
        batch.outcomes[number] = outcome = outcome_of(answer)
        batch.seconds.append(time.monotonic() - began)
        post.done += 1
        if on_done is not None:
            on_done(number, outcome, self._standing())

    def _standing(self) -> str:
        """How the workers stand, in a line."""
        done = [post.done for post in self._posts if post.worker.placed]
        who = f"{len(done)} workers" if len(done) == self._n else f"{len(done)} of {self._n} workers"
        each = ", ".join(map(str, done)) if len(done) <= SHOWN else f"{min(done)} to {max(done)}"
        return f"{who}: {each} done"

    def _again(self, number: int, batch: _Batch, why: str) -> None:
        batch.losses[number] += 1
        if batch.losses[number] == MOST_LOSSES:
            raise OutsideError(f"one job has cost {MOST_LOSSES} workers; the last: {why}")
        batch.waiting.appendleft(number)

    def _replace(self, post: _Post, batch: _Batch, why: str) -> None:
        """Another worker in a lost one's place. What else the lost one was at raises, too, and is done again then."""
        if post not in self._posts:
            return
        self._posts.remove(post)
        post.worker.stop()
        fresh = self._fresh()
        self._posts.append(fresh)
        self._say(f"{post.worker.name} was lost ({why}); {fresh.worker.name} goes on in its place")
