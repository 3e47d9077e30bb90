"""The few Linux calls the jail needs that Python 3.11 does not wrap, through the C library."""

from __future__ import annotations

import ctypes
import os
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 0x2

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_CAPABILITY = 63
_SIGKILL = 9

# pivot_root has no wrapper in the C library, so its number per machine is needed.
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41}
# The Landlock calls have the same numbers on every machine.
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446

_libc = ctypes.CDLL(None, use_errno=True)


def _check(name: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def call(number: int, *arguments: int) -> int:
    """Make a system call that the C library does not wrap; arguments are numbers or addresses."""
    return _check(f"system call {number}", _libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)))


def unshare(flags: int) -> None:
    """Give this process (for the pid namespace: its next child) namespaces of its own."""
    _check("unshare", _libc.unshare(flags))


def setns(fd: int, flags: int) -> None:
    """Join the namespace that `fd` refers to."""
    _check("setns", _libc.setns(fd, flags))


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount `source` (or a file system of type `kind`) at `target`."""
    arguments = [source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()]
    _check(f"mount {target}", _libc.mount(*arguments))


def unmount(target: str) -> None:
    """Take a mount out of sight; it goes with the last thing that uses it."""
    _check(f"umount {target}", _libc.umount2(target.encode(), MNT_DETACH))


def change_root(new_root: str) -> None:
    """Make `new_root` the root of the mount namespace and let go of the old one."""
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(f"no pivot_root number for {os.uname().machine}")
    os.chdir(new_root)
    # With both arguments the same directory the old root ends up stacked on top of the new one, and is detached.
    _check("pivot_root", _libc.syscall(ctypes.c_long(number), b".", b"."))
    unmount(".")
    os.chdir("/")


def _prctl(option: int, argument: int = 0) -> int:
    zero = ctypes.c_ulong(0)
    return _libc.prctl(ctypes.c_int(option), ctypes.c_ulong(argument), zero, zero, zero)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies."""
    _check("prctl pdeathsig", _prctl(_PR_SET_PDEATHSIG, _SIGKILL))


def forbid_inspection() -> None:
    """No core dump, and no ptrace or /proc/PID/mem by processes of the same user."""
    _check("prctl dumpable", _prctl(_PR_SET_DUMPABLE, 0))


def forbid_new_privileges() -> None:
    """Let no exec give this process or its children more rights than they have."""
    _check("prctl no_new_privs", _prctl(_PR_SET_NO_NEW_PRIVS, 1))


def bound_capabilities() -> None:
    """Make sure that no exec can ever give this process or its children a capability."""
    for capability in range(_LAST_CAPABILITY + 1):
        if _prctl(_PR_CAPBSET_DROP, capability) < 0:
            break  # past the last one this kernel knows, or not ours to drop, and then we have none to lose
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)


def drop_capabilities() -> None:
    """Give up every capability that this process has now."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    _check("capset", _libc.capset(header, bytes(24)))


def landlock_version() -> int:
    """The Landlock version of this kernel; 0 when there is none."""
    version = _libc.syscall(ctypes.c_long(_LANDLOCK_CREATE), None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    return max(version, 0)


def landlock_create(file_rights: int, net_rights: int, scopes: int, version: int) -> int:
    """A new Landlock ruleset that handles (so denies unless allowed) the given rights; returns its descriptor."""
    fields = [file_rights] + ([net_rights] if version >= 4 else []) + ([scopes] if version >= 6 else [])
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    size = ctypes.c_size_t(len(attributes))
    return _check("landlock", _libc.syscall(ctypes.c_long(_LANDLOCK_CREATE), attributes, size, ctypes.c_uint32(0)))


def landlock_allow(ruleset: int, place: int, rights: int) -> None:
    """Allow `rights` to the file or beneath the directory (an open descriptor)."""
    rule = struct.pack("=Qi", rights, place)
    arguments = [ctypes.c_long(_LANDLOCK_ADD), ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint32(0)]
    _check("landlock rule", _libc.syscall(*arguments))


def landlock_restrict(ruleset: int) -> None:
    """Put this process and its future children under the ruleset."""
    result = _libc.syscall(ctypes.c_long(_LANDLOCK_RESTRICT), ctypes.c_int(ruleset), ctypes.c_uint32(0))
    _check("landlock restrict", result)
