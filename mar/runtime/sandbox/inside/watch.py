"""Waits for the processes of a job with an eye on the clock."""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from .drain import Drain

T = TypeVar("T")
_POLL_S = 0.002  # where the kernel has no descriptors for processes
_LOOK_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended: its exit status (negative: the signal) and its processor time in seconds."""

    status: int
    cpu_s: float


class Watch:
    """Waits for the processes of one job, for the clock, and for mar itself to go away."""

    def __init__(self, host: socket.socket, deadline: float, abandon: Callable[[], NoReturn]) -> None:
        self._abandon = abandon
        self._host = host
        self._deadline = deadline
        self._running: dict[int, int] = {}  # process id to its descriptor, or -1
        self._is_overfull: Callable[[], bool] | None = None
        self.overfull = False

    def add(self, *pids: int) -> None:
        """Take charge of processes."""
        for pid in pids:
            try:
                self._running[pid] = os.pidfd_open(pid)
            except OSError:
                self._running[pid] = -1

    def look_after(self, is_overfull: Callable[[], bool]) -> None:
        """Ask this a hundred times a second; once it says yes, `overfull` is set and the time of the job is up."""
        self._is_overfull = is_overfull

    def release(self, pid: int) -> None:
        """Let a process live on."""
        self._forget(pid)

    def wait(self, pid: int, *, at_most_s: float | None = None, drains: list[Drain] | None = None) -> Ended | None:
        """How the process ended, or None when the time is up first."""
        deadline = self._deadline if at_most_s is None else time.monotonic() + at_most_s
        fd = self._running[pid]
        return self._until(lambda: self._reap(pid, os.WNOHANG), fd, deadline, drains or [])

    def wait_for_message(self, channel: socket.socket) -> bytes | None:
        """The next message, empty when the other side has ended, or None when the time is up first."""
        channel.setblocking(False)
        return self._until(lambda: _receive(channel), channel.fileno(), self._deadline, [])

    def _until(self, check: Callable[[], T | None], fd: int, deadline: float, drains: list[Drain]) -> T | None:
        poll = select.poll()
        by_fd = {drain.fd: drain for drain in drains}
        for watched in [self._host.fileno(), fd, *by_fd]:
            if watched >= 0:
                poll.register(watched, select.POLLIN)
        look_at = time.monotonic() + _LOOK_S if self._is_overfull else math.inf
        while True:
            now = time.monotonic()
            found = check()
            if found is None and self._is_overfull is not None and now >= look_at:
                self.overfull = self._is_overfull()
                look_at = now + _LOOK_S
            left = deadline - now
            if found is not None or left <= 0 or self.overfull:
                return found
            pause = min(left if fd >= 0 else min(left, _POLL_S), max(0.0, look_at - now))
            for ready, _ in poll.poll(math.ceil(pause * 1000)):
                if ready == self._host.fileno():
                    self._leave()
                if ready in by_fd and not by_fd[ready].read():
                    poll.unregister(ready)

    def _leave(self) -> None:
        """Mar closed its end: nobody waits for this job."""
        self.end_all()
        self._abandon()

    def _reap(self, pid: int, options: int) -> Ended | None:
        found, status, usage = os.wait4(pid, options)
        if found == 0:
            return None
        self._forget(pid)
        return Ended(status=os.waitstatus_to_exitcode(status), cpu_s=usage.ru_utime + usage.ru_stime)

    def _forget(self, pid: int) -> None:
        fd = self._running.pop(pid)
        if fd >= 0:
            os.close(fd)

    def end_all(self) -> None:
        """Kill what still runs; with it die all processes it has made."""
        for pid in list(self._running):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self._reap(pid, 0)


def _receive(channel: socket.socket) -> bytes | None:
    try:
        return channel.recv(64)
    except BlockingIOError:
        return None
    except OSError:
        return b""
