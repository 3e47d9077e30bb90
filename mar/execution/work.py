"""What a worker does: it opens a spec in an event loop of its own, does its jobs, and opens the next one."""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import mar.errors
from mar.clock import jumping_clock
from mar.errors import ConfigError, InternalError, MarError
from mar.execution.spec import AnySpec
from mar.extensions import use

Start = Callable[[bytes], "Future[bytes]"]  # a packed job to a packed outcome; never raises what the job raised


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A spec on its way to workers."""

    spec: bytes
    path: tuple[str, ...]  # where modules are found
    folder: str  # the working folder, whose files the spec may name
    extend: tuple[str, ...]  # Python files or modules that are imported before the spec is read


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A job that raised an error."""

    kind: str  # an error of `mar.errors`
    text: str


class WorkerLost(Exception):
    """A worker ended, or cannot be reached any more, before it had done its job."""


def packed(thing: object, what: str) -> bytes:
    """A spec, a job or an outcome as it travels, between processes of one run and never from anybody else.

    Raises:
        ConfigError: It holds something open, which does not travel.
    """
    try:
        return pickle.dumps(thing)
    except Exception as error:  # whatever the objects in it raise
        raise ConfigError(f"{what} cannot be sent to a worker: {error}; run it without --workers and --ray") from None


def parcel(spec: AnySpec, extend: tuple[str, ...] = ()) -> Parcel:
    """A spec as it travels.

    Raises:
        ConfigError: It holds something open.
    """
    return Parcel(spec=packed(spec, "this run"), path=tuple(sys.path), folder=os.getcwd(), extend=extend)


def outcome_of(answer: bytes) -> Any:
    """What a job came to.

    Raises:
        MarError: The job raised it.
    """
    result = pickle.loads(answer)
    if not isinstance(result, Failed):
        return result
    raise getattr(mar.errors, result.kind, InternalError)(result.text)


class Bench:
    """What a worker has open: one spec at a time. Use it as `with Bench() as bench:`."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._start: Start | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def take_up(self, sent: Parcel) -> None:
        """Open a spec in place of the one before. Where it cannot be opened, each of its jobs comes to that error."""
        try:
            self._open.close()
            self._start = self._open.enter_context(_opened(sent))
        except Exception as error:
            self._start = partial(_answered, pickle.dumps(failed(error)))

    def start(self, job: bytes) -> Future[bytes]:
        """Begin a packed job of what is open."""
        if self._start is None:
            raise InternalError("no spec is open")
        return self._start(job)


def _answered(answer: bytes, _: bytes) -> Future[bytes]:
    future: Future[bytes] = Future()
    future.set_result(answer)
    return future


@contextmanager
def _opened(sent: Parcel) -> Generator[Start]:
    """What starts jobs of a spec, for as long as the context lasts.

    Raises:
        MarError: It cannot be opened here.
    """
    from anyio.from_thread import start_blocking_portal

    if os.path.isdir(sent.folder):
        os.chdir(sent.folder)
    sys.path.extend(place for place in sent.path if place not in sys.path)
    for place in sent.extend:
        use(place)
    spec: AnySpec = pickle.loads(sent.spec)

    @contextmanager
    def looping() -> Generator[Start]:
        with start_blocking_portal(**_loop(spec)) as portal, portal.wrap_async_context_manager(spec.open()) as work:
            yield partial(portal.start_task_soon, partial(_done, work))

    def alone(job: bytes) -> bytes:
        try:
            with looping() as start:
                return start(job).result()
        except Exception as error:  # of the opening
            return pickle.dumps(failed(error))

    if spec.apart:
        with ThreadPoolExecutor(1) as thread:
            yield partial(thread.submit, alone)
    else:
        with looping() as start:
            yield start


async def _done(work: Callable[[Any], Awaitable[Any]], job: bytes) -> bytes:
    """What a job came to, as it travels."""
    try:
        return packed(await work(pickle.loads(job)), "an outcome")
    except Exception as error:
        return pickle.dumps(failed(error))


def failed(error: Exception) -> Failed:
    """An error as it travels; what is none of mar's is a mistake of ours, and its place is told."""
    if isinstance(error, MarError):
        return Failed(kind=type(error).__name__, text=str(error))
    return Failed(kind=InternalError.__name__, text="a worker failed:\n" + "".join(traceback.format_exception(error)))


def _loop(spec: AnySpec) -> dict[str, Any]:
    if not spec.virtual:
        return {"backend": "asyncio"}
    return {"backend": "trio", "backend_options": {"clock": jumping_clock()}}
