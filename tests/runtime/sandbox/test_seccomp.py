"""The filter program, run by a small interpreter of what the kernel would do with it."""

from __future__ import annotations

import errno

import pytest

from mar.runtime.sandbox.inside import syscalls
from mar.runtime.sandbox.inside.seccomp import assemble
from mar.runtime.sandbox.inside.syscalls import NoneOf, OneOf, Policy

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}
ALLOW, KILL = 0x7FFF0000, 0x80000000
REFUSE, ABSENT = 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS


def verdict(program: list[tuple[int, int, int, int]], machine: int, number: int, *arguments: int) -> int:
    """What the program says of a call (the codes are those of `linux/bpf_common.h`)."""
    data = {0: number, 4: machine} | {16 + 8 * place: value & 0xFFFFFFFF for place, value in enumerate(arguments)}
    value, at = 0, 0
    while True:
        code, then, otherwise, operand = program[at]
        at += 1
        match code:
            case 0x20:
                value = data.get(operand, 0)
            case 0x05:
                at += operand
            case 0x06:
                return operand
            case 0x15 | 0x35 | 0x45:
                holds = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[code]
                at += then if holds else otherwise
            case _:
                raise AssertionError(code)


def test_each_number_meets_its_rule_and_no_other() -> None:
    allowed: dict[int, syscalls.Conditions] = dict.fromkeys((0, 1, 2, 5, 9, 10, 300), ())
    allowed[7] = (OneOf(argument=1, values=(3, 4)), NoneOf(argument=0, bits=0b110))
    program = assemble(Policy(allowed=allowed, absent=frozenset({11})), "x86_64")
    expected = dict.fromkeys((0, 1, 2, 5, 9, 10, 300), ALLOW) | {11: ABSENT}
    for number in [*range(320), 0x40000000, 0x40000001, 0xFFFFFFFF]:
        assert verdict(program, MACHINES["x86_64"], number, 0, 0) == expected.get(number, REFUSE), number
    seven = [((0, 3), ALLOW), ((1, 4), ALLOW), ((0, 5), REFUSE), ((2, 3), REFUSE), ((1 << 32, (1 << 32) + 4), ALLOW)]
    for arguments, wanted in seven:
        assert verdict(program, MACHINES["x86_64"], 7, *arguments) == wanted, arguments


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_of_another_machine_end_the_process(machine: str) -> None:
    program = assemble(syscalls.policy("namespaces", machine), machine)
    for other in (*MACHINES.values(), 0x40000003):  # the last is i386
        if other != MACHINES[machine]:
            assert verdict(program, other, 1) == KILL


# Numbers from the kernel's tables, once more and by hand: write, clone3, socket, ptrace, memfd_create, io_uring_setup,
# kill with pid 0, clone of a thread, clone of a user namespace.
@pytest.mark.parametrize(
    ("machine", "write", "socket", "ptrace", "memfd", "kill", "clone"),
    [("x86_64", 1, 41, 101, 319, 62, 56), ("aarch64", 64, 198, 117, 279, 129, 220)],
)
def test_what_jobs_may_call(
    machine: str, write: int, socket: int, ptrace: int, memfd: int, kill: int, clone: int
) -> None:
    spaces = assemble(syscalls.policy("namespaces", machine), machine)
    limits = assemble(syscalls.policy("rlimits", machine), machine)
    for program in (spaces, limits):
        assert verdict(program, MACHINES[machine], write) == ALLOW
        assert verdict(program, MACHINES[machine], 435) == ABSENT
        for number in (socket, ptrace, memfd, 425, 434, 10_000):
            assert verdict(program, MACHINES[machine], number) == REFUSE
    thread, user_namespace = 0x3D0F00, 0x10000011
    assert [verdict(spaces, MACHINES[machine], clone, flags) for flags in (thread, user_namespace)] == [ALLOW, REFUSE]
    assert verdict(limits, MACHINES[machine], clone, thread) == REFUSE
    assert verdict(spaces, MACHINES[machine], kill, 0) == ALLOW
    assert verdict(limits, MACHINES[machine], kill, 0) == REFUSE
    assert verdict(limits, MACHINES[machine], kill, syscalls.OWN) == ALLOW
