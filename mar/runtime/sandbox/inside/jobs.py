"""Forks the processes of one job, watches the clock and the processes, and ends them."""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import tempfile
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

from . import candidate, jail, judge, kernel, program, seccomp
from .drain import Drain
from .files import overfull, remove_tree
from .watch import Ended, Watch

_GRACE_S = 0.2
_FIRST = jail.FIRST_KEPT_FD
_COMPANIONS = 2  # the judge and the template may run under the candidate's user id


@dataclass(frozen=True, slots=True, kw_only=True)
class Examiner:
    """A judge's process and the socket that hands it jobs."""

    pid: int
    control: socket.socket


@dataclass(slots=True, kw_only=True)
class Desk:
    """Holds a judge that can take the next job, if there is one."""

    examiner: Examiner | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What holds for every job of this template.

    Attributes:
        isolation: What the template managed to set up.
        memory_bytes: Address space of the template itself.
        pid_namespace: The template's own pid namespace, to return to after a fork into a new one; -1 without.
        readable: What jobs may read, as `jail.allow_reading` gives it.
        calls: What holds the system calls of jobs to a list; None without.
        scratch: Where job directories are made (rlimits isolation) or the place the jail mounts one.
        uids: User ids for the candidate and the judge; None to stay who we are.
        null: The null device.
        desk: Where a judge waits between jobs.
    """

    isolation: Literal["namespaces", "rlimits"]
    memory_bytes: int
    pid_namespace: int
    readable: int
    calls: seccomp.Filter | None
    scratch: str
    uids: list[int] | None
    null: int
    desk: Desk = field(default_factory=Desk)


def leave(base: Base) -> NoReturn:
    """End the template. A mar that was killed cannot clear up, so this does."""
    if base.isolation == "rlimits":
        remove_tree(base.scratch)
    os._exit(0)


def serve(host: socket.socket, base: Base, request: dict[str, Any], files: list[int]) -> dict[str, Any]:
    """Do one job and report how its processes ended."""
    began = time.monotonic()
    do = _run_tests if request["mode"] == "tests" else _run_program
    with _scratch(base, request) as scratch:
        watch = Watch(host, began + request["wall_s"], lambda: leave(base))
        if base.isolation == "rlimits":
            watch.look_after(lambda: overfull(scratch, _scratch_bytes(request)))
        report = do(base, watch, scratch, request, files)
    return {**report, "overfull": watch.overfull, "wall_s": time.monotonic() - began}


def _run_tests(base: Base, watch: Watch, scratch: str, request: dict[str, Any], files: list[int]) -> dict[str, Any]:
    code, tests, results = files
    examiner = base.desk.examiner or _new_examiner(base, request)
    base.desk.examiner = None
    judge_end, candidate_end = socket.socketpair()
    with judge_end, candidate_end:
        examined = _fork(
            base,
            _cell(base, request, scratch, candidate=True),
            [base.null] * 3,
            [candidate_end.fileno(), code],
            lambda: candidate.serve(_FIRST, _FIRST + 1),
        )
        watch.add(examiner.pid, examined)
        start = str(request["start"]).encode()
        socket.send_fds(examiner.control, [start], [judge_end.fileno(), tests, results])
    answer = watch.wait_for_message(examiner.control)
    examined_end = watch.wait(examined, at_most_s=_GRACE_S) if answer in judge.CANDIDATE_GONE else None
    if answer in judge.STAYS:
        watch.release(examiner.pid)
        base.desk.examiner = examiner
    else:
        examiner.control.close()
    watch.end_all()
    return {"judge": None if answer is None else answer.decode(), **_ending(examined_end), "timed_out": answer is None}


def _new_examiner(base: Base, request: dict[str, Any]) -> Examiner:
    # Its memory is copied from ours, as the candidate's is; neither has seen anything of the other.
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        pid = _fork(
            base,
            _cell(base, request, "", candidate=False),
            [base.null] * 3,
            [theirs.fileno()],
            lambda: judge.serve(_FIRST),
        )
    return Examiner(pid=pid, control=ours)


def _run_program(base: Base, watch: Watch, scratch: str, request: dict[str, Any], files: list[int]) -> dict[str, Any]:
    code, stdin, results = files
    pipes = [os.pipe(), os.pipe()]
    process = _fork(
        base,
        _cell(base, request, scratch, candidate=True),
        [stdin, pipes[0][1], pipes[1][1]],
        [code],
        lambda: program.run(_FIRST),
    )
    for _, write_end in pipes:
        os.close(write_end)
    streams = [Drain(read_end, request["output_bytes"]) for read_end, _ in pipes]
    watch.add(process)
    ended = watch.wait(process, drains=streams)
    watch.end_all()
    texts = [stream.finish() for stream in streams]
    os.write(results, json.dumps(texts).encode("ascii"))
    return {**_ending(ended), "timed_out": ended is None}


def _ending(ended: Ended | None) -> dict[str, Any]:
    return {"candidate": ended and ended.status, "candidate_cpu_s": ended.cpu_s if ended else 0.0}


def _cell(base: Base, limits: dict[str, Any], scratch: str, *, candidate: bool) -> jail.Cell:
    # Without a pid namespace a child could outlive its job, so there the candidate may make none.
    may_fork = candidate and base.isolation == "namespaces"
    return jail.Cell(
        isolation=base.isolation,
        scratch=scratch,
        # The judge may serve many jobs; the clock on the wall bounds each.
        cpu_s=max(1, math.ceil(limits["cpu_s"])) if candidate else None,
        memory_bytes=base.memory_bytes + int(limits["memory_mb"]) * 1024 * 1024,
        scratch_bytes=_scratch_bytes(limits),
        processes=limits["processes"] + _COMPANIONS if may_fork else 0,
        uid=None if base.uids is None else base.uids[0 if candidate else 1],
        readable=base.readable,
        calls=base.calls,
    )


def _scratch_bytes(limits: dict[str, Any]) -> int:
    return int(limits["scratch_mb"]) * 1024 * 1024


def _fork(base: Base, cell: jail.Cell, stdio: list[int], kept: list[int], body: Callable[[], None]) -> int:
    """Fork a process that confines itself and runs `body`."""
    if base.pid_namespace >= 0:
        kernel.unshare(kernel.CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:
        _be_child(cell, stdio, kept, body)
    if base.pid_namespace >= 0:
        # A process may make a new pid namespace for its children only while they would go to its own.
        kernel.setns(base.pid_namespace, kernel.CLONE_NEWPID)
    return pid


def _be_child(cell: jail.Cell, stdio: list[int], kept: list[int], body: Callable[[], None]) -> None:
    try:
        jail.enter(cell, stdio, kept)
        body()
    finally:
        os._exit(jail.EXIT_NOT_CONFINED)


@contextlib.contextmanager
def _scratch(base: Base, limits: dict[str, Any]) -> Generator[str, None, None]:
    if base.isolation == "namespaces":
        options = f"mode=777,size={_scratch_bytes(limits)},nr_inodes=1024"
        flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
        kernel.mount("tmpfs", base.scratch, "tmpfs", flags, options)
        try:
            yield base.scratch
        finally:
            kernel.unmount(base.scratch)
        return
    folder = tempfile.mkdtemp(dir=base.scratch)
    if base.uids is not None:
        os.chown(folder, base.uids[0], base.uids[0])
    try:
        yield folder
    finally:
        remove_tree(folder)
