"""Puts a process under a list of system calls: assembles the list into a filter program for the kernel (BPF).

The kernel runs the program at every system call, on the call's number and arguments. It looks the number up by halving,
which keeps its installation, done anew by each job, to a fifth of a millisecond. Sources: the kernel's
`Documentation/userspace-api/seccomp_filter.rst` and `linux/bpf_common.h`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from dataclasses import dataclass
from typing import Literal

from . import syscalls
from .kernel import call
from .syscalls import Conditions, OneOf, Policy

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _JUMP, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x05, 0x06
_NUMBER_AT, _MACHINE_AT, _ARGUMENTS_AT = 0, 4, 16  # in struct seccomp_data
_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_AUDIT_MACHINE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}
_SECCOMP = {"x86_64": 317, "aarch64": 277, "riscv64": 277}
_SET_FILTER, _ACTION_KNOWN = 1, 2
_KEEP_SPECULATION = 1 << 2  # else older kernels slow the whole process down
_INSTRUCTION = struct.Struct("=HBBI")
_OPERAND_AT = 4

Instruction = tuple[int, int, int, int]
"""Code, instructions to skip if the comparison holds, and if not, operand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A filter program, ready for the processes that will install it.

    Attributes:
        code: The instructions.
        own_at: Where in them the id of the process belongs.
    """

    code: bytes
    own_at: tuple[int, ...]


def prepare(isolation: Literal["namespaces", "rlimits"]) -> Filter | None:
    """The filter for jobs; None if this kernel takes none, or the calls of this kind of machine are not listed."""
    machine = os.uname().machine
    if not syscalls.known(machine):
        return None
    action = ctypes.c_uint32(_KILL_PROCESS)
    try:
        call(_SECCOMP[machine], _ACTION_KNOWN, 0, ctypes.addressof(action))
    except OSError:
        return None
    program = assemble(syscalls.policy(isolation, machine), machine)
    code = b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)
    own_at = tuple(place for place, instruction in enumerate(program) if instruction[3] == syscalls.OWN)
    return Filter(code=code, own_at=tuple(_INSTRUCTION.size * place + _OPERAND_AT for place in own_at))


def confine(prepared: Filter) -> None:
    """Put this process, which must have forbidden itself new privileges, under the list for good."""
    code = ctypes.create_string_buffer(prepared.code, len(prepared.code))
    for place in prepared.own_at:
        struct.pack_into("=I", code, place, os.getpid())
    count = len(prepared.code) // _INSTRUCTION.size
    program = ctypes.create_string_buffer(struct.pack("@HP", count, ctypes.addressof(code)))
    call(_SECCOMP[os.uname().machine], _SET_FILTER, _KEEP_SPECULATION, ctypes.addressof(program))


def assemble(policy: Policy, machine: str) -> list[Instruction]:
    """The program. Calls in the manner of another machine (32-bit ones on a 64-bit kernel) end the process."""
    blocks = [(number, 1, _conditional(wanted)) for number, wanted in policy.allowed.items() if wanted]
    blocks += [(number, 1, [_give(_ERRNO | errno.ENOSYS)]) for number in policy.absent]
    blocks += [(first, size, [_give(_ALLOW)]) for first, size in _runs(policy)]
    return [
        (_LOAD, 0, 0, _MACHINE_AT),
        (_EQUAL, 1, 0, _AUDIT_MACHINE[machine]),
        _give(_KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_AT),
        *_look_up(sorted(blocks)),
    ]


def _runs(policy: Policy) -> list[tuple[int, int]]:
    """The numbers allowed without conditions, as first ones and lengths of runs."""
    runs: list[tuple[int, int]] = []
    for number in sorted(number for number, wanted in policy.allowed.items() if not wanted):
        if runs and number == sum(runs[-1]):
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((number, 1))
    return runs


def _look_up(blocks: list[tuple[int, int, list[Instruction]]]) -> list[Instruction]:
    if len(blocks) == 1:
        first, size, block = blocks[0]
        # Below the run: skip the second comparison and what follows it.
        return [
            (_AT_LEAST, 0, 1, first),
            (_AT_LEAST, 0, 1, first + size),
            _give(_ERRNO | errno.EPERM),
            *block,
        ]
    middle = len(blocks) // 2
    lower, upper = _look_up(blocks[:middle]), _look_up(blocks[middle:])
    # Only an unconditional jump can be longer than 255 instructions.
    return [(_AT_LEAST, 0, 1, blocks[middle][0]), (_JUMP, 0, 0, len(lower)), *lower, *upper]


def _conditional(wanted: Conditions) -> list[Instruction]:
    program: list[Instruction] = []
    for condition in wanted:
        program.append((_LOAD, 0, 0, _ARGUMENTS_AT + 8 * condition.argument))
        if isinstance(condition, OneOf):
            count = len(condition.values)
            program += [(_EQUAL, count - place, 0, value) for place, value in enumerate(condition.values)]
        else:
            program.append((_ANY_BIT, 0, 1, condition.bits))
        program.append(_give(_ERRNO | errno.EPERM))
    return [*program, _give(_ALLOW)]


def _give(verdict: int) -> Instruction:
    return (_RETURN, 0, 0, verdict)
