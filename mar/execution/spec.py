"""What is to be done, as plain data, and who does it.

A spec is a recipe: whoever receives it makes what the work needs (a pool, a sandbox, a table) and then does one job
after the other with it. Specs, jobs and outcomes travel; pools, prompts and controllers that are open never do. What a
job comes to must depend on spec and job alone, so that it does not matter where, when or beside what it is done; that
is why an episode on a simulated pool, whose servers it shares with others, is no job, but a whole batch of them is.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from mar import clock
from mar.concurrency import gather

LOOPBACK = "127.0.0.1"  # where workers of this machine find the driver: they have its files, too

JobT = TypeVar("JobT")
OutcomeT = TypeVar("OutcomeT")
OnDone = Callable[[int, OutcomeT, str], None]
"""Is told of each outcome as soon as it is there: number of the job, outcome, and for people how the workers stand: how
many there are, and how many jobs each has done ("" in this process)."""


class Spec(ABC, Generic[JobT, OutcomeT]):
    """A kind of work. Make it a frozen dataclass at the top of a module, with fields of plain data."""

    __slots__ = ()

    @property
    def at_once(self) -> int | None:
        """Jobs under way at once over all workers; None: one at each worker. On virtual time one has to be."""
        return None

    @property
    def virtual(self) -> bool:
        """Whether the work takes virtual time."""
        return False

    @property
    def apart(self) -> bool:
        """Whether each job has an event loop of its own, whose clock begins with it, and the spec is opened anew."""
        return False

    @property
    def repeatable(self) -> bool:
        """Whether a job that takes long may be done a second time beside the first: nobody is paid for it."""
        return True

    @abstractmethod
    def open(self) -> AbstractAsyncContextManager[Callable[[JobT], Awaitable[OutcomeT]]]:
        """What does jobs, for as long as the context lasts."""


class Executor(Protocol):
    """Does jobs somewhere."""

    @property
    def host(self) -> str:
        """Address that workers reach this machine by."""
        ...

    def run(
        self, spec: Spec[JobT, OutcomeT], jobs: Sequence[JobT], on_done: OnDone[OutcomeT] | None = None
    ) -> list[OutcomeT]:
        """Do all jobs; outcomes stand in their order, and are the same wherever they are done.

        Blocks until then; in an event loop, call it in a thread. (A notebook's cell, which is in one, may wait.)

        Raises:
            MarError: A job raised it, and those that had not begun were not done; or it cannot be sent to workers.
        """
        ...


class InProcess:
    """Does jobs in this process."""

    host = LOOPBACK

    def run(
        self, spec: Spec[JobT, OutcomeT], jobs: Sequence[JobT], on_done: OnDone[OutcomeT] | None = None
    ) -> list[OutcomeT]:
        """See `Executor`."""

        async def main(numbers: Sequence[int]) -> list[OutcomeT]:
            async with spec.open() as work:

                async def one(number: int) -> OutcomeT:
                    outcome = await work(jobs[number])
                    if on_done is not None:
                        on_done(number, outcome, "")
                    return outcome

                return await gather([partial(one, i) for i in numbers], limit=spec.at_once or 1)

        def loops() -> list[OutcomeT]:
            everything = range(len(jobs))
            loops = [[i] for i in everything] if spec.apart else [everything]
            return [o for numbers in loops for o in clock.run(partial(main, numbers), virtual=spec.virtual)]

        if not jobs:
            return []
        if not _in_loop():
            return loops()
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(loops).result()


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


AnySpec = Spec[Any, Any]
