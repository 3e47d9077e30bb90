"""Which system calls a job may make: a list of what an interpreter needs. Whatever is not on it fails with EPERM.

So calls that nobody has thought of, and those of kernels to come, are refused as well. What the list leaves out, and
why, by kind:

* sockets: every family reaches something somewhere (VSOCK the host, pathname UNIX sockets the machine's services,
  ALG the kernel's heap), and a fence around TCP leaves the rest. Only connected pairs can be made; they reach nobody.
* state of the kernel that outlives a process or belongs to all: keyrings, System V and POSIX queues, segments and
  semaphores, inotify and fanotify, quotas, clocks, swap, modules, mounts.
* other processes: ptrace, process_vm_*, pidfd_*, kcmp, priorities, affinity, their limits, their signals, further
  namespaces; and running a program, since nothing that a job can reach is worth running.
* memory that no limit counts: memfd_create, memfd_secret, vmsplice, larger pipes; io_uring, which besides does its work
  past any filter; bpf, perf_event_open, userfaultfd.
* `fcntl`, `ioctl` and `prctl` beyond a few harmless commands: signals by descriptor (F_SETOWN), leases, typing on a
  terminal (TIOCSTI), outliving one's parent.

Numbers: the kernel's `unistd_64.h` of x86-64 and `asm-generic/unistd.h`, which aarch64 and riscv64 share.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Literal

_COLUMNS = {"x86_64": 0, "aarch64": 1, "riscv64": 1}

_FILES = """
read 0 63, write 1 64, readv 19 65, writev 20 66, pread64 17 67, pwrite64 18 68, preadv 295 69, pwritev 296 70,
preadv2 327 286, pwritev2 328 287, lseek 8 62, close 3 57, close_range 436 436, fsync 74 82, fdatasync 75 83,
ftruncate 77 46, dup 32 23, dup2 33 -, dup3 292 24, pipe 22 -, pipe2 293 59, open 2 -, openat 257
56, stat 4 -, fstat 5 80, lstat 6 -, newfstatat 262 79, statx 332 291, access 21 -, faccessat 269 48, faccessat2 439
439, readlink 89 -, readlinkat 267 78, getdents64 217 61, getcwd 79 17, chdir 80 49, fchdir 81 50, mkdir 83 -,
mkdirat 258 34, rmdir 84 -, unlink 87 -, unlinkat 263 35, rename 82 -, renameat 264 38, renameat2 316 276, link 86
-, linkat 265 37, symlink 88 -, symlinkat 266 36, umask 95 166, statfs 137 43, fstatfs 138 44, fadvise64 221 223,
copy_file_range 326 285, sendfile 40 71
"""
_PROCESS = """
mmap 9 222, munmap 11 215, mprotect 10 226, mremap 25 216, madvise 28 233, brk 12 214, msync 26 227, rt_sigaction 13
134, rt_sigprocmask 14 135, rt_sigreturn 15 139, rt_sigpending 127 136, rt_sigsuspend 130 133, rt_sigtimedwait 128
137, sigaltstack 131 132, pause 34 -, alarm 37 -, setitimer 38 103, getitimer 36 102, restart_syscall 219 128, futex
202 98, set_robust_list 273 99, set_tid_address 218 96, rseq 334 293, gettid 186 178, sched_yield 24 124, getcpu 309
168, sched_get_priority_max 146 125, sched_get_priority_min 147 126, getpid 39 172, getppid 110 173, getuid 102 174,
geteuid 107 175, getgid 104 176, getegid 108 177, getgroups 115 158, getresuid 118 148, getresgid 120 150, getpgrp
111 -, getrlimit 97 163, setrlimit 160 164, getrusage 98 165, exit 60 93, exit_group 231 94, wait4 61 260, waitid 247
95, times 100 153, time 201 -, gettimeofday 96 169, clock_gettime 228 113, clock_getres 229 114, clock_nanosleep 230
115, nanosleep 35 101, uname 63 160, sysinfo 99 179, getrandom 318 278
"""
_CHANNELS = """
poll 7 -, ppoll 271 73, select 23 -, pselect6 270 72, epoll_create 213 -, epoll_create1 291 20, epoll_ctl 233 21,
epoll_wait 232 -, epoll_pwait 281 22, epoll_pwait2 441 441, eventfd 284 -, eventfd2 290 19, timerfd_create 283 85,
timerfd_settime 286 86, timerfd_gettime 287 87, sendto 44 206, recvfrom 45 207, sendmsg 46 211, recvmsg 47 212,
shutdown 48 210, getsockname 51 204, getpeername 52 205, getsockopt 55 209
"""
# Harmless where every process in sight is the job's own, and all that can be written has a size and goes with it.
_IN_NAMESPACES = """
fork 57 -, vfork 58 -, setsid 112 157, setpgid 109 154, kill 62 129, tgkill 234 131, chmod 90 -, fchmod 91 52,
fchmodat 268 53, fchmodat2 452 452, utimensat 280 88, utime 132 -, utimes 235 -, futimesat 261 -, truncate 76 45,
fallocate 285 47,
getxattr 191 8, lgetxattr 192 9, fgetxattr 193 10, listxattr 194 11, llistxattr 195 12, flistxattr 196 13
"""
_BY_ARGUMENT = """
clone 56 220, clone3 435 435, fcntl 72 25, ioctl 16 29, kill 62 129, openat2 437 437, prctl 157 167, prlimit64 302
261, getpgid 121 155, getsid 124 156, sched_getaffinity 204 123, socketpair 53 199, tgkill 234 131
"""

# All namespaces, tracing, and becoming a sibling of one's parent (linux/sched.h).
_CLONE_FORBIDDEN = 0x7E020000 | 0x00802000 | 0x00008000
# Duplicate; flags of descriptors and files; locks of both kinds; duplicate with close-on-exec; the size of a pipe.
_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032)
# What kind of terminal (old and new), its size; close-on-exec off and on; blocking; how much is there to read.
_IOCTL = (0x5401, 0x802C542A, 0x5413, 0x5450, 0x5451, 0x5421, 0x541B)
_PRCTL = (15, 16)  # the name of a thread
_SOCKET_FLAGS = (0, socket.SOCK_NONBLOCK, socket.SOCK_CLOEXEC, socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
OWN = 0xFFFFFFFF  # stands for the id of the process that is confined
_PAIRS = tuple(kind | flags for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET) for flags in _SOCKET_FLAGS)


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOf:
    """The argument of that number (its lower half: all are `int` to the kernel) is one of these."""

    argument: int
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoneOf:
    """The argument of that number has none of these bits set."""

    argument: int
    bits: int


Conditions = tuple[OneOf | NoneOf, ...]
"""All have to hold for the call to be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What becomes of system calls, by number.

    Attributes:
        allowed: Calls that may be made, and under which conditions.
        absent: Calls that fail as on a kernel without them, so that the C library falls back to an allowed one.
    """

    allowed: dict[int, Conditions]
    absent: frozenset[int]


def policy(isolation: Literal["namespaces", "rlimits"], machine: str) -> Policy:
    """The policy for a job on this kind of machine."""
    column = _COLUMNS[machine]
    numbers = _numbers(_BY_ARGUMENT, column)
    itself = OneOf(argument=0, values=(0, OWN))
    conditions: dict[str, Conditions] = {
        "fcntl": (OneOf(argument=1, values=_FCNTL),),
        "ioctl": (OneOf(argument=1, values=_IOCTL),),
        "prctl": (OneOf(argument=0, values=_PRCTL),),
        "socketpair": (OneOf(argument=0, values=(socket.AF_UNIX,)), OneOf(argument=1, values=_PAIRS)),
        **dict.fromkeys(("prlimit64", "sched_getaffinity", "getpgid", "getsid"), (itself,)),
    }
    names = _FILES + "," + _PROCESS + "," + _CHANNELS
    if isolation == "namespaces":
        names += "," + _IN_NAMESPACES
        conditions["clone"] = (NoneOf(argument=0, bits=_CLONE_FORBIDDEN),)
    else:
        conditions |= dict.fromkeys(("kill", "tgkill"), (OneOf(argument=0, values=(OWN,)),))
    allowed: dict[int, Conditions] = dict.fromkeys(_numbers(names, column).values(), ())
    allowed |= {numbers[name]: wanted for name, wanted in conditions.items()}
    return Policy(allowed=allowed, absent=frozenset({numbers["clone3"], numbers["openat2"]}))


def known(machine: str) -> bool:
    """Whether the calls of this kind of machine are listed here."""
    return machine in _COLUMNS


def _numbers(table: str, column: int) -> dict[str, int]:
    rows = [entry.split() for entry in table.split(",")]
    return {name: int(numbers[column]) for name, *numbers in rows if numbers[column] != "-"}
