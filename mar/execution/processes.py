"""Workers that are processes of this machine, each with a pipe to the driver."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection

from mar.execution.work import Bench, Parcel, WorkerLost

STOP_S = 5.0  # for a worker to put away what it has opened


class Process:
    """A worker of this machine. It ends with the driver, however that ends.

    It is spawned and not forked: a fork would take over locks and connections that threads hold at that moment.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=_main, args=(there,), name=name, daemon=True)
        self._process.start()
        there.close()
        self._numbers = itertools.count()
        self._pending: dict[int, Future[bytes]] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._read, name=f"reads {name}", daemon=True).start()

    @property
    def placed(self) -> bool:
        """See `mar.execution.fleet.Worker`."""
        return True

    @property
    def pid(self) -> int | None:
        """Of its process."""
        return self._process.pid

    def take_up(self, sent: Parcel) -> None:
        """See `mar.execution.fleet.Worker`."""
        with suppress(OSError):  # it is gone, as its next job will say
            self._pipe.send(sent)

    def submit(self, job: bytes) -> Future[bytes]:
        """See `mar.execution.fleet.Worker`."""
        future: Future[bytes] = Future()
        number = next(self._numbers)
        with self._lock:
            self._pending[number] = future
        try:
            self._pipe.send((number, job))
        except OSError:
            self._lose()
        return future

    def stop(self) -> None:
        """See `mar.execution.fleet.Worker`."""
        idle = not self._pending
        with suppress(OSError):
            if idle:
                self._pipe.send(None)
                self._process.join(STOP_S)
        self._process.kill()
        self._process.join()
        with suppress(OSError):
            self._pipe.close()

    def _read(self) -> None:
        try:
            while True:
                number, answer = self._pipe.recv()
                self._answer(number, answer)
        except (EOFError, OSError):
            self._lose()

    def _answer(self, number: int, answer: bytes) -> None:
        with self._lock:
            future = self._pending.pop(number)
        future.set_result(answer)

    def _lose(self) -> None:
        self._process.join(STOP_S)
        code = self._process.exitcode
        why = f"process {self._process.pid} " + ("was ended by signal " + str(-code) if code and code < 0 else "ended")
        with self._lock:
            futures = list(self._pending.values())
            self._pending.clear()
        for future in futures:
            future.set_exception(WorkerLost(why))


def _main(pipe: Connection) -> None:
    """What a worker's process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's, who ends us
    threading.Thread(target=_end_with_driver, daemon=True).start()
    lock = threading.Lock()

    def send(number: int, future: Future[bytes]) -> None:
        with lock, suppress(OSError):
            pipe.send((number, future.result()))

    try:
        with Bench() as bench:
            while (asked := pipe.recv()) is not None:
                if isinstance(asked, Parcel):
                    bench.take_up(asked)
                else:
                    number, job = asked
                    bench.start(job).add_done_callback(partial(send, number))
    except EOFError:
        os._exit(1)


def _end_with_driver() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # at once: what is paid for from now on would be written down by nobody
