"""Programs that attack. Each is a file in `hostile/`; its first line names the attack and the outcomes expected."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import anyio
import pytest

from mar.runtime.sandbox import Limits, Sandbox, TestJob
from mar.runtime.sandbox.inside.kernel import landlock_version

Mode = Literal["namespaces", "rlimits"]
FOLDER = Path(__file__).parent / "hostile"
TESTS = ("assert solve(1) == 2", "assert abs(solve(2) - 3) < 0.5")
LIMITS = Limits(wall_s=1.0, cpu_s=1.0, memory_mb=256, scratch_mb=4)
HONEST = TestJob(code="def solve(x):\n    return x + 1\n", tests=TESTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    name: str
    code: str
    expected: frozenset[str]
    fenced_only: bool


def read(path: Path) -> Attack:
    code = path.read_text(encoding="utf-8")
    first = re.match(r"# .+; expect: ([a-z ]+)\n", code)
    assert first, f"{path.name} does not start with its attack and the outcomes expected"
    return Attack(
        name=path.stem,
        code=code,
        expected=frozenset(first.group(1).split()),
        fenced_only="\n# fenced only: " in code,
    )


ATTACKS = [read(path) for path in sorted(FOLDER.glob("*.py"))]


def descendants(root: int) -> set[int]:
    """Process ids of all living descendants."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                text = (folder / "stat").read_text()
            except OSError:
                continue
            parents[int(folder.name)] = int(text.rpartition(")")[2].split()[1])
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {root}


def strays() -> set[str]:
    return {str(path) for place in ("/", "/etc", "/usr", "/usr/lib", "/var/tmp", "/dev/shm", "/root", "/home")
            for path in Path(place).glob("mar-sandbox-escape")}  # fmt: skip


@pytest.fixture(autouse=True)
def _canary(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MAR_SANDBOX_CANARY", "secret")
    yield
    assert not strays()


async def only(count: int) -> bool:
    """Whether so many descendants are left, once those that were killed have had time to die."""
    with anyio.move_on_after(5):
        while len(descendants(os.getpid())) != count:  # noqa: ASYNC110 - of other processes
            await anyio.sleep(0.02)
        return True
    return False


async def attack_all(mode: Mode, attacks: list[Attack]) -> list[str]:
    """Run every attack and an honest job after each; returns one line per thing that is not as it should be."""
    wrong: list[str] = []
    async with Sandbox(workers=1, limits=LIMITS, isolation=mode, memo_size=0) as sandbox:
        assert sandbox.isolation == mode
        await sandbox.run_tests(HONEST)
        idle = len(descendants(os.getpid()))  # the template and a judge that waits for the next job
        for attack in attacks:
            began = time.monotonic()
            report = await sandbox.run_tests(TestJob(code=attack.code, tests=TESTS))
            took_s = time.monotonic() - began
            first, second = report.results
            if first.outcome not in attack.expected or "passed" in (first.outcome, second.outcome):
                wrong.append(f"{attack.name}: {first.outcome} ({first.detail}), {second.outcome} ({second.detail})")
            if took_s > LIMITS.wall_s + 1.0:
                wrong.append(f"{attack.name}: took {took_s:.1f} s")
            honest = await sandbox.run_tests(HONEST)
            if not honest.passed or honest.wall_s > 0.8:
                wrong.append(f"{attack.name}: the next job went {honest}")
            if not await only(idle):
                wrong.append(f"{attack.name}: left processes behind")
    return wrong


def test_the_corpus_covers_enough() -> None:
    assert len(ATTACKS) >= 25


@pytest.mark.parametrize("half", [0, 1])
def test_no_attack_passes_or_harms_under_namespaces(half: int, namespaces_work: bool) -> None:
    if not namespaces_work:
        pytest.skip("this machine forbids unprivileged namespaces")
    backend = ("asyncio", "trio")[half]
    wrong = anyio.run(attack_all, "namespaces", ATTACKS[half::2], backend=backend)
    assert not wrong, "\n".join(wrong)


def test_no_attack_passes_or_harms_under_rlimits() -> None:
    # Each file left out says why. Landlock holds back signals from version 6 on.
    fence = landlock_version() >= 6
    attacks = [attack for attack in ATTACKS if fence or not attack.fenced_only]
    wrong = anyio.run(attack_all, "rlimits", attacks)
    assert not wrong, "\n".join(wrong)
