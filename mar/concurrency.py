"""Structured concurrency in the two forms that mar needs, and what each event loop has of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import RunVar

T = TypeVar("T")


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            found.extend(_leaves(cast("BaseExceptionGroup[BaseException]", error)))
        else:
            found.append(error)
    return found


@contextmanager
def first_error() -> Generator[None]:
    """Raise the first error of a group itself instead of the group around it.

    An interrupt goes before any error, and an error before a cancellation, which would hide it.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        first = min(_leaves(group), key=_rank)
        cause, context, hidden = first.__cause__, first.__context__, first.__suppress_context__
        try:
            raise first
        finally:  # it says what it came of, not which group it was in
            first.__cause__, first.__context__, first.__suppress_context__ = cause, context, hidden


def interrupted(error: BaseException) -> bool:
    """Whether an error came of an interrupt: cleaning up after it may raise one of its own, which hides it."""
    seen: set[int] = set()  # a group is the context of what is raised out of it: there are circles
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        if isinstance(one, KeyboardInterrupt):
            return True
        seen.add(id(one))
        left += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            left += cast("BaseExceptionGroup[BaseException]", one).exceptions
    return False


def _rank(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return 0
    return 1 if isinstance(error, Exception) else 2


@asynccontextmanager
async def task_group() -> AsyncGenerator[TaskGroup]:
    """A task group that raises the first error itself instead of a group around it."""
    with first_error():
        async with anyio.create_task_group() as tasks:
            yield tasks


@asynccontextmanager
async def beside(*work: Callable[[], Coroutine[Any, Any, object]]) -> AsyncGenerator[None]:
    """Work that goes on beside what is done inside, and is called off at its end."""
    async with task_group() as tasks:
        for one in work:
            tasks.start_soon(one)
        try:
            yield
        finally:
            tasks.cancel_scope.cancel()


async def gather(work: Sequence[Callable[[], Awaitable[T]]], *, limit: int | None = None) -> list[T]:
    """Run everything at once, or `limit` at a time, and return the results in order.

    Work is begun in order, whatever the order in which the event loop runs tasks of one instant. An error cancels the
    rest and is raised.

    Raises:
        ValueError: The limit is below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"the limit is {limit}; at least 1 is expected")
    results: dict[int, T] = {}
    waiting = iter(range(len(work)))

    async def take() -> None:
        for i in waiting:
            results[i] = await work[i]()

    async with task_group() as tasks:
        for _ in range(len(work) if limit is None else min(limit, len(work))):
            tasks.start_soon(take)
    return [results[i] for i in range(len(work))]


@dataclass(slots=True)
class _Opened(Generic[T]):
    """What is open in one event loop."""

    users: int = 0
    value: list[T] = field(default_factory=list[T])  # holds it once it is open
    opening: anyio.Lock = field(default_factory=anyio.Lock)  # two that enter at once must not both open
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)


class PerLoop(Generic[T]):
    """What belongs to an event loop (connections, locks, tasks): the first who enters opens it, the last closes it.

    An object that has such parts can then be used in several event loops, one after the other or in threads at once:
    each loop has its own.

    Args:
        name: What it is.
        open: Opens it, for as long as its context lasts.
    """

    def __init__(self, name: str, open: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        self._open = open
        self._here: RunVar[_Opened[T] | None] = RunVar(name, None)

    async def __aenter__(self) -> T:
        here = self._here.get() or _Opened[T]()
        self._here.set(here)
        here.users += 1
        try:
            async with here.opening:
                if not here.value:
                    here.value.append(await here.stack.enter_async_context(self._open()))
        except BaseException:
            self._leave(here)
            raise
        return here.value[0]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        here = self._here.get()
        if here is None or not self._leave(here):
            return None
        return await here.stack.__aexit__(kind, error, trace)

    def get(self) -> T | None:
        """What is open in the running event loop; None when nothing is, or no loop runs."""
        try:
            here = self._here.get()
        except RuntimeError:  # no event loop
            return None
        return here.value[0] if here is not None and here.value else None

    def _leave(self, here: _Opened[T]) -> bool:
        """One user less; whether it was the last."""
        here.users -= 1
        if here.users == 0:
            self._here.set(None)
        return here.users == 0


class OpensPerLoop(ABC, Generic[T]):
    """What is used as `async with it:` and has parts of its own in each event loop: see `PerLoop`.

    Args:
        name: What these parts are.
    """

    def __init__(self, name: str) -> None:
        self._here = PerLoop(name, self._open)

    @abstractmethod
    def _open(self) -> AbstractAsyncContextManager[T]:
        """Opens the parts of an event loop."""

    async def __aenter__(self) -> Self:
        await self._here.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._here.__aexit__(kind, error, trace)
