"""Moves the template process into namespaces of its own, with an almost empty root file system.

Three processes take part. The *starter* (the child that mar spawned) forks the *holder*, which makes a new user
namespace and, owned by it, all others; the starter, still outside, writes the holder's id maps. The holder forks the
*template*, the first process of the new pid namespace. Each dies with its parent, so killing the starter ends all.

The template keeps its rights inside the user namespace: it mounts a scratch file system per job. What it forks
gives them up (see `inside.jail`).
"""

from __future__ import annotations

import contextlib
import os
import socket

from . import kernel

_SPACES = (
    kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWNS
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
)
_STAGING = "/tmp"  # covered by the new root inside the private mount namespace only
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
SCRATCH = "/scratch"
NOBODY_INSIDE = 1
_NOBODY_OUTSIDE = 65534


def enter() -> None:
    """Fork into new namespaces; returns in the template only. The other two processes wait and exit with it."""
    ready, start = socket.socketpair()
    starter_uid, starter_gid = os.getuid(), os.getgid()
    holder = os.fork()
    if holder:
        start.close()
        _starter(holder, ready, starter_uid, starter_gid)
    ready.close()
    kernel.die_with_parent()
    kernel.unshare(_SPACES)
    start.sendall(b"m")
    if start.recv(1) != b"k":
        os._exit(70)
    start.close()
    if os.getuid() == 0:
        os.setgroups([])
    template = os.fork()
    if template:
        _leave_with(template)
    kernel.die_with_parent()


def _starter(holder: int, ready: socket.socket, uid: int, gid: int) -> None:
    try:
        if ready.recv(1) == b"m":
            _write_maps(holder, uid, gid)
            ready.sendall(b"k")
    except OSError:
        pass  # the closed socket tells the holder
    ready.close()
    _leave_with(holder)


def _leave_with(child: int) -> None:
    # Hold nothing open: mar sees the end of the template as the end of the stream.
    os.closerange(0, 64)
    _, status = os.waitpid(child, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _write_maps(pid: int, uid: int, gid: int) -> None:
    if uid == 0:
        # Root stays root inside for the template, which must read the standard library wherever it lies; jobs
        # run as the second id, which outside is nobody.
        lines = {"uid_map": f"0 0 1\n{NOBODY_INSIDE} {_NOBODY_OUTSIDE} 1\n"}
        lines["gid_map"] = lines["uid_map"]
    else:
        _write(f"/proc/{pid}/setgroups", "deny")
        lines = {"uid_map": f"{NOBODY_INSIDE} {uid} 1\n", "gid_map": f"{NOBODY_INSIDE} {gid} 1\n"}
    for name, text in lines.items():
        _write(f"/proc/{pid}/{name}", text)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def build_root(readable: list[str]) -> None:
    """Exchange the root for an empty read-only one that holds the paths given, a few devices and scratch."""
    _limit_kernel_objects()
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    # Opened before the new root covers what may lie beneath it.
    sources = {path: os.open(path, os.O_PATH) for path in [*readable, *DEVICES] if os.path.exists(path)}
    kernel.mount("tmpfs", _STAGING, "tmpfs", kernel.MS_NOSUID, "mode=755,size=1m")
    for path, source in sources.items():
        _bind(source, path, device=path in DEVICES)
        os.close(source)
    os.mkdir(_STAGING + SCRATCH)
    with contextlib.suppress(FileExistsError):  # where Python itself lies beneath it
        os.symlink(SCRATCH, _STAGING + "/tmp")
    kernel.change_root(_STAGING)
    kernel.mount("none", "/", "", kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID)
    with contextlib.suppress(OSError):
        socket.sethostname("sandbox")


def _limit_kernel_objects() -> None:
    """Forbid further user namespaces, shared memory segments and message queues, where the kernel lets us."""
    # A kernel that refuses leaves nested user namespaces possible: they give no right over anything mounted here.
    for name in ("user/max_user_namespaces", "kernel/shmmni", "kernel/msgmni", "fs/mqueue/queues_max"):
        with contextlib.suppress(OSError):
            _write(f"/proc/sys/{name}", "0")


def _bind(source: int, path: str, *, device: bool) -> None:
    origin, target = f"/proc/self/fd/{source}", _STAGING + path
    os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
    if os.path.isdir(origin):
        os.makedirs(target, mode=0o755, exist_ok=True)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    kernel.mount(origin, target, "", kernel.MS_BIND | kernel.MS_REC)
    if device:
        return
    # Flags that the outer namespace set are locked here: a remount has to repeat them.
    locked = os.statvfs(target).f_flag & (kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    kernel.mount("none", target, "", kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID | locked)
