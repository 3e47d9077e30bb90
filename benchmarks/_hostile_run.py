"""Lets every hostile program loose in one sandbox of this interpreter and prints what each achieved, as JSON.

    python _hostile_run.py namespaces|rlimits PROGRAMS FORGERIES

Run by `hostile_programs.py`, as several users and in several installations of mar.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, cast

import anyio
from _hostile_world import World, peak_of, sandbox_processes, wait_until

from mar.runtime.sandbox import Limits, ProgramOutput, Sandbox, TestJob

LIMITS = Limits(wall_s=1.0, cpu_s=1.0, memory_mb=64, scratch_mb=4, processes=2)
# Two processes and two companions may take 64 MiB each; the rest is what a fork of the template takes.
MOST_MEMORY_MIB = 450.0
MOST_SCRATCH_MIB = 200.0  # what can be written between two looks
TESTS = ("assert solve(1) == 2", "assert abs(solve(2) - 3) < 0.5")
HONEST = TestJob(code="def solve(x):\n    return x + 1\n", tests=TESTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A hostile program, and one that looks for what it left behind, if that is its aim."""

    kind: str
    name: str
    text: str
    then: str = ""
    stated: bool = False  # that it gets through without namespaces is said in every result


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a program achieved; nothing, if it was contained."""

    kind: str
    name: str
    stated: bool
    achieved: list[str]


def read_programs(folder: Path) -> list[Program]:
    """All programs of a folder, one file per kind."""
    programs: list[Program] = []
    for path in sorted(folder.glob("*.txt")):
        for block in re.split(r"^#: ", path.read_text(), flags=re.MULTILINE)[1:]:
            title, _, text = block.partition("\n")
            name, _, note = title.partition(" | ")
            first, _, then = text.partition("#; then\n")
            programs.append(Program(kind=path.stem, name=name, text=first, then=then, stated=note == "stated"))
    return programs


def fill(text: str, names: dict[str, str]) -> str:
    """The program with its placeholders filled in."""
    for name, value in names.items():
        text = text.replace(f"@{name}@", value)
    return text


class Trial:
    """One sandbox and one world."""

    def __init__(self, sandbox: Sandbox, world: World) -> None:
        self._sandbox = sandbox
        self._world = world
        self._idle = 0

    async def settle(self) -> None:
        """Note how many processes there are when nothing runs."""
        await self._sandbox.run_tests(HONEST)
        self._idle = len(sandbox_processes())

    async def run(self, program: Program) -> Finding:
        """Run a program and look at everything."""
        token = secrets.token_hex(10)
        names = self._world.names(token)
        achieved: list[str] = []
        with peak_of(self._world.scratch_folders) as peaks:
            output = await self._timed(fill(program.text, names), achieved)
        if peaks[0].memory > MOST_MEMORY_MIB:
            achieved.append(f"took {peaks[0].memory:.0f} MiB of memory")
        if peaks[0].scratch > MOST_SCRATCH_MIB:
            achieved.append(f"took {peaks[0].scratch:.0f} MiB of disk")
        if program.then and output is not None:
            later = await self._timed(program.then, achieved)
            if later is not None and token in later.stdout:
                achieved.append("the next program finds it")
        return await self._look(program, token, output, achieved)

    async def forge(self, name: str, code: str) -> Finding:
        """Have a program judged that no test should pass."""
        job = TestJob(code=code, tests=TESTS)
        program = Program(kind="forging", name=name, text=code)
        achieved: list[str] = []
        began = time.monotonic()
        report = await self._sandbox.run_tests(job)
        if report.n_passed:
            achieved.append("passed")
        if time.monotonic() - began > LIMITS.wall_s + 1:
            achieved.append("took too long")
        return await self._look(program, secrets.token_hex(10), None, achieved)

    async def _timed(self, text: str, achieved: list[str]) -> ProgramOutput | None:
        began = time.monotonic()
        try:
            output = await self._sandbox.run_program(text)
        except Exception as error:
            achieved.append(f"mar raised {error!r}")
            return None
        took_s = time.monotonic() - began
        if took_s > LIMITS.wall_s + 1:
            achieved.append(f"took {took_s:.1f} s")
        if output.stderr.startswith("the sandbox's own"):
            achieved.append("ended the sandbox's process")
        if "DONE" in output.stdout:
            achieved.append(f"did it: {output.stdout[:80]}")
        told = self._world.told(output.stdout + output.stderr)
        if told:
            achieved.append(f"told {told}")
        return output

    async def _look(self, program: Program, token: str, output: object, achieved: list[str]) -> Finding:
        achieved += self._world.damage(token)
        began = time.monotonic()
        honest = await self._sandbox.run_tests(HONEST)
        if not honest.passed:
            achieved.append(f"the next program: {honest.results}")
        if time.monotonic() - began > 1:
            achieved.append("the next program waited")
        if not wait_until(lambda: len(sandbox_processes()) == self._idle, 1):
            achieved.append(f"{len(sandbox_processes())} processes instead of {self._idle}")
            self._idle = len(sandbox_processes())
        left = [str(path) for folder in self._world.scratch_folders() for path in folder.iterdir()]
        if left:
            achieved.append(f"left {left[:3]}")
        return Finding(kind=program.kind, name=program.name, stated=program.stated, achieved=achieved)


async def main(mode: Literal["namespaces", "rlimits"], programs: list[Program], forgeries: dict[str, str]) -> None:
    world = World(Path(tempfile.mkdtemp(prefix="hostile-world-")))
    try:
        async with Sandbox(workers=1, limits=LIMITS, isolation=mode, memo_size=0) as sandbox:
            trial = Trial(sandbox, world)
            await trial.settle()
            findings = [await trial.run(program) for program in programs]
            findings += [await trial.forge(name, code) for name, code in forgeries.items()]
            print(json.dumps({"fence": str(sandbox.fence), "findings": [asdict(finding) for finding in findings]}))
    finally:
        world.close()


if __name__ == "__main__":
    mode = cast(Literal["namespaces", "rlimits"], sys.argv[1])
    forgeries = {path.stem: path.read_text() for path in sorted(Path(sys.argv[3]).glob("*.py"))}
    anyio.run(main, mode, read_programs(Path(sys.argv[2])), forgeries)
