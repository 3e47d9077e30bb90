"""What a freshly forked job process gives up before any untrusted code runs in it."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from dataclasses import dataclass
from typing import Literal

from . import kernel, seccomp

FIRST_KEPT_FD = 3
FIRST_FOLDER_FD, LAST_FD = 60, 63  # the library's folders keep their place, which paths in the interpreter name
EXIT_NOT_CONFINED = 70

# Landlock (rlimits isolation only).
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_READING = _EXECUTE | _READ_FILE | _READ_DIR
_ALL_RIGHTS_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_ALL_TCP = 0b11
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The bounds of one job process.

    Attributes:
        isolation: How the template itself is isolated.
        scratch: The writable directory, or an empty string for none.
        cpu_s: Seconds of processor time per process; None for no limit.
        memory_bytes: Size of the address space, the template's own included.
        scratch_bytes: Size of the scratch space; also of any one file.
        processes: How many processes and threads may exist at once, the first included.
        uid: User and group to become, or None to stay who we are.
        readable: A Landlock ruleset (`allow_reading`) that says what may be read; -1 without.
        calls: What holds system calls to a list; None without.
    """

    isolation: Literal["namespaces", "rlimits"]
    scratch: str
    cpu_s: int | None
    memory_bytes: int
    scratch_bytes: int
    processes: int
    uid: int | None
    readable: int
    calls: seccomp.Filter | None


def allow_reading(paths: list[str], scratch: str) -> int:
    """A Landlock ruleset under which only these paths and what lies in scratch can be read; -1 without Landlock."""
    version = kernel.landlock_version()
    if version == 0:
        return -1
    ruleset = kernel.landlock_create(_READING, 0, 0, version)
    for path in [*paths, scratch]:
        _allow(ruleset, path, _READ_FILE | (_READ_DIR if os.path.isdir(path) else 0))
    return ruleset


def _allow(ruleset: int, path: str, rights: int) -> None:
    place = os.open(path, os.O_PATH)
    kernel.landlock_allow(ruleset, place, rights)
    os.close(place)


def enter(cell: Cell, stdio: list[int], kept: list[int]) -> None:
    """Confine this process for good.

    Args:
        cell: The bounds.
        stdio: What becomes descriptors 0, 1 and 2.
        kept: What becomes descriptors 3, 4 and so on; all others are closed, except the library's folders.
    """
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cell.scratch or "/")
    if cell.isolation == "namespaces":
        kernel.unshare(kernel.CLONE_NEWIPC)
    if cell.readable >= 0:
        _restrict_files(cell)
    _arrange_descriptors(stdio, kept)
    _drop_rights(cell)
    _set_limits(cell)
    kernel.die_with_parent()
    if cell.calls is not None:
        seccomp.confine(cell.calls)


def _restrict_files(cell: Cell) -> None:
    """Only what is listed is readable, only scratch writable, no TCP, no signals out: as far as this Landlock goes."""
    version = min(kernel.landlock_version(), 6)
    writing = _ALL_RIGHTS_BY_VERSION[min(version, 5)] & ~_READING
    ruleset = kernel.landlock_create(writing, _ALL_TCP, _ABSTRACT_SOCKETS_AND_SIGNALS, version)
    _allow(ruleset, os.devnull, _WRITE_FILE)
    if cell.scratch:
        _allow(ruleset, ".", writing)
    kernel.forbid_new_privileges()
    # What is done has to be allowed by both. Each is merged with those before, so the long one comes last.
    kernel.landlock_restrict(ruleset)
    kernel.landlock_restrict(cell.readable)
    os.close(ruleset)


def _arrange_descriptors(stdio: list[int], kept: list[int]) -> None:
    # Copies above everything that is needed first, so that no dup2 overwrites a descriptor still to be moved.
    wanted = [*stdio, *kept]
    floor = max(LAST_FD, *wanted) + 1
    copies = [os.dup2(fd, floor + number) for number, fd in enumerate(wanted)]
    for number, fd in enumerate(copies):
        os.dup2(fd, number)
    os.closerange(len(wanted), FIRST_FOLDER_FD)
    os.closerange(LAST_FD + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _drop_rights(cell: Cell) -> None:
    if cell.uid is not None:
        with contextlib.suppress(PermissionError):  # some user namespaces forbid it; there are no groups in them
            os.setgroups([])
        os.setresgid(cell.uid, cell.uid, cell.uid)
        os.setresuid(cell.uid, cell.uid, cell.uid)
    kernel.forbid_new_privileges()
    kernel.drop_capabilities()
    kernel.forbid_inspection()


def _set_limits(cell: Cell) -> None:
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: LAST_FD + 1,
        resource.RLIMIT_NPROC: cell.processes,
        resource.RLIMIT_FSIZE: cell.scratch_bytes,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_AS: cell.memory_bytes,
    }
    for kind, value in limits.items():
        resource.setrlimit(kind, (value, value))
    if cell.cpu_s is not None:
        # The first limit sends a signal that can be ignored, the second cannot be.
        resource.setrlimit(resource.RLIMIT_CPU, (cell.cpu_s, cell.cpu_s + 1))
