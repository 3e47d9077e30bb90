"""Workers that are actors of a Ray cluster (extra `cluster`).

Ray places them, starts them on other machines, carries jobs to them and says when one of them, or its whole node, is
gone. Nothing else of it is used: what is done again, and what may be paid, is decided by `fleet` and `desk` as on one
machine. Rejected: Ray's own retries of tasks, which know nothing of the money that a lost task may have spent.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import defaultdict
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from mar.errors import ConfigError
from mar.execution.fleet import Place
from mar.execution.work import Bench, Parcel, WorkerLost

LOCAL = "local"
AT_ONCE = 10_000  # methods of an actor, at most: Ray wants to know
REACHED_S = 5.0  # for a cluster's head to take a connection
MISSING = "--ray needs Ray: pip install 'mar[cluster]'"


class Actor:
    """What Ray starts: a worker's inside. Its methods share an event loop, in which Ray may begin them in any order."""

    def __init__(self) -> None:
        self._bench = Bench()
        self._opened = defaultdict[int, asyncio.Event](asyncio.Event)

    async def there(self) -> None:
        """Is answered once it runs."""

    async def take_up(self, number: int, sent: Parcel) -> None:
        """Open its spec of this number."""
        self._bench.take_up(sent)
        self._opened[number].set()

    async def run(self, number: int, job: bytes) -> bytes:
        """Do one job of the spec of this number."""
        await self._opened[number].wait()
        return await asyncio.wrap_future(self._bench.start(job))


class RayWorker:
    """A worker somewhere on the cluster."""

    def __init__(self, ray: Any, name: str) -> None:
        self.name, self._ray = name, ray
        self._actor = ray.remote(Actor).options(max_concurrency=AT_ONCE, num_cpus=1).remote()
        self._there: Future[None] = self._actor.there.remote().future()
        self._opened = 0  # specs

    @property
    def placed(self) -> bool:
        """See `mar.execution.fleet.Worker`. One that was lost before it ran counts: its first job says so."""
        return self._there.done()

    def take_up(self, sent: Parcel) -> None:
        """See `mar.execution.fleet.Worker`."""
        self._opened += 1
        self._actor.take_up.remote(self._opened, sent)

    def submit(self, job: bytes) -> Future[bytes]:
        """See `mar.execution.fleet.Worker`."""
        done: Future[bytes] = Future()

        def end(future: Future[bytes]) -> None:
            error = future.exception()
            if error is None:
                done.set_result(future.result())
            else:  # what the job raised is an answer, so this is Ray's: the actor or its node is gone
                done.set_exception(WorkerLost(str(error).splitlines()[0]))

        self._actor.run.remote(self._opened, job).future().add_done_callback(end)
        return done

    def stop(self) -> None:
        """See `mar.execution.fleet.Worker`."""
        self._ray.kill(self._actor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster that this process belongs to."""

    ray: Any
    processors: int  # of all its nodes
    host: str  # address of this machine

    @property
    def place(self) -> Place:
        """Where workers are started."""
        return partial(RayWorker, self.ray)


def load_ray() -> Any:
    """Ray, an extra which few have. Its actors run in the environment that their node's Ray runs in.

    Under `uv run` it would else send the working folder to each node and start every actor by a `uv run` of its own
    there, which makes an environment anew and, where packages cannot be fetched, never ends.

    Raises:
        ConfigError: It is not installed.
    """
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # read when it is imported
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is called outside unless somebody says so
    try:
        return import_module("ray")
    except ImportError:
        raise ConfigError(MISSING) from None


@contextmanager
def cluster(address: str) -> Generator[Cluster]:
    """A cluster that is there, or with "local" one of this machine alone.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster at this address.
    """
    ray = load_ray()
    variables = {name: value for name, value in os.environ.items() if name.startswith("MAR_")}  # no key among them
    mine = not ray.is_initialized()
    if mine:
        _reached(address)
        try:
            ray.init(
                address=None if address == LOCAL else address,
                runtime_env={"env_vars": variables},
                include_dashboard=False if address == LOCAL else None,
                log_to_driver=False,
                logging_level="ERROR",
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"--ray is {address!r}: {str(error).splitlines()[0]}; expected host:port or local"
            ) from None
    try:
        yield Cluster(
            ray=ray,
            processors=max(1, int(ray.cluster_resources().get("CPU", 1))),
            host=ray.util.get_node_ip_address(),
        )
    finally:
        if mine:
            ray.shutdown()


def _reached(address: str) -> None:
    """Whether somebody listens there; Ray itself would try for minutes.

    Raises:
        ConfigError: Nobody does.
    """
    host, colon, port = address.rpartition(":")
    if not colon:  # local, auto
        return
    try:
        with socket.create_connection((host, int(port)), timeout=REACHED_S):
            return
    except (OSError, ValueError, OverflowError) as error:
        raise ConfigError(
            f"--ray is {address!r}: {error}; expected host:port of a cluster's head, auto or local"
        ) from None
