"""The warm process: answers mar's requests by forking the processes of one job and watching over them.

It never reads what the judge must keep from the candidate. Tests arrive as an open file, which only the judge's
process reads, and verdicts leave the same way; so no candidate, forked from this process, can find the tests of its
own or an earlier job in the memory it inherits.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import sys

from . import gaps, jail, kernel, library, namespaces, preload, seccomp, warm
from .jobs import Base, leave, serve

_MAX_REQUEST = 65_536
# Root without namespaces gives each worker user ids of its own, far above those of people and services.
_FIRST_SPARE_UID = 0x60000000
_NOBODY = 65534


def main(host_fd: int, isolation: str, scratch: str) -> None:
    """Set up, say hello, and serve until mar goes away."""
    gc.disable()  # nothing made here becomes garbage
    host = socket.socket(fileno=host_fd)
    try:
        base = _in_namespaces() if isolation == "namespaces" else _in_rlimits(scratch)
        kernel.bound_capabilities()
        kernel.forbid_inspection()
    except OSError as error:
        host.send(json.dumps({"error": str(error)}).encode())
        os._exit(71)
    gc.collect()
    gc.freeze()
    gc.enable()
    host.send(json.dumps({"isolation": base.isolation, "gaps": gaps.of(base)}).encode())
    while True:
        message, files, _, _ = socket.recv_fds(host, _MAX_REQUEST, 3)
        if not message:
            leave(base)
        report = serve(host, base, json.loads(message), files)
        for fd in files:
            os.close(fd)
        host.send(json.dumps(report).encode())


def _in_namespaces() -> Base:
    namespaces.enter()
    _warm_up()
    memory = _address_space()
    own = os.open("/proc/self/ns/pid", os.O_RDONLY)
    namespaces.build_root(library.survey().paths)
    inside = namespaces.NOBODY_INSIDE
    return Base(
        isolation="namespaces",
        memory_bytes=memory,
        pid_namespace=own,
        readable=-1,
        calls=seccomp.prepare("namespaces"),
        scratch=namespaces.SCRATCH,
        uids=[inside, inside] if os.getuid() == 0 else None,
        null=os.open("/dev/null", os.O_RDWR),
    )


def _in_rlimits(scratch: str) -> Base:
    _warm_up()
    shown = library.survey()
    uids = _spare_uids(scratch) if os.getuid() == 0 else None
    # A new user may not be able to walk to the library by its path (it may lie in root's home).
    library.use(shown, shown.folders if uids is None else _hold(shown.folders))
    return Base(
        isolation="rlimits",
        memory_bytes=_address_space(),
        pid_namespace=-1,
        readable=jail.allow_reading([*shown.paths, *filter(os.path.exists, namespaces.DEVICES)], scratch),
        calls=seccomp.prepare("rlimits"),
        scratch=scratch,
        uids=uids,
        null=os.open("/dev/null", os.O_RDWR),
    )


def _warm_up() -> None:
    preload.load()
    warm.up()
    sys.modules.pop("candidate", None)


def _hold(folders: list[str]) -> list[str]:
    """Open folders at the descriptors that jobs keep; returns paths that lead through these."""
    for number, folder in enumerate(folders, jail.FIRST_FOLDER_FD):
        opened = os.open(folder, os.O_PATH)  # to go through, not to list
        os.dup2(opened, number)
        os.close(opened)
    return [f"/proc/self/fd/{jail.FIRST_FOLDER_FD + number}" for number in range(len(folders))]


def _address_space() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _spare_uids(scratch: str) -> list[int]:
    first = _FIRST_SPARE_UID + 2 * os.getpid()
    try:
        os.chown(scratch, first, first)
    except OSError:  # a container that maps few ids
        return [_NOBODY, _NOBODY - 1]
    finally:
        os.chown(scratch, 0, 0)
    return [first, first + 1]
