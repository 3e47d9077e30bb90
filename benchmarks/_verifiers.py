"""What the first test says of recorded programs: part 6 of fit_simulator.py.

RouterBench's MBPP prompts neither name the function nor show a test, and only some of them are an MBPP text to the
letter. Those are taken whose text belongs to one task, and of their answers the programs with one function at top
level, which gets the name that the tests call. Each is run with all tests of its task, and wrong if one of them fails.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations, permutations
from pathlib import Path
from typing import Literal, get_args

import anyio
import numpy as np
from _outcomes import read_lines

from mar.concurrency import gather
from mar.pool.simulated import FALSE_PASS, SimItem, World
from mar.runtime.code import extract_code
from mar.runtime.sandbox import Sandbox, TestReport
from mar.tasks.humaneval import HumanEval
from mar.tasks.mbpp import Mbpp, MbppItem
from mar.tasks.scoring.programs import asked_names

Kind = Literal["no result", "signature", "crash", "wrong value"]
_OTHER_SIGNATURE = ("positional argument", "unexpected keyword")  # of the TypeError for a call that does not fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one recorded program."""

    task: str
    model: str
    recorded: bool  # right, as RouterBench scored the answer
    passed: tuple[bool, ...]  # each test
    kind: Kind | None  # what the first failing test found; None for a right program

    @property
    def wrong(self) -> bool:
        """Whether a test fails."""
        return not all(self.passed)


def recorded_verdicts(data: Path) -> list[Verdict]:
    """Every recorded program that can be run, judged."""

    async def work() -> list[Verdict]:
        async with Sandbox() as sandbox:
            found = await gather([partial(_judge, sandbox, *program) for program in _programs(data)], limit=32)
            return [v for v in found if v is not None]

    return anyio.run(work)


def _programs(data: Path) -> Iterator[tuple[MbppItem, str, str, str, bool]]:
    """Task, name that its tests call, model, program under that name, recorded score."""
    by_text: dict[str, list[MbppItem]] = defaultdict(list)
    for item in Mbpp.load(data=data).all_items:
        by_text[item.text].append(item)
    for row in read_lines(data / "outcomes/routerbench_mbpp/mbpp.jsonl.gz"):
        tasks = by_text[row["prompt"].strip()]
        names = asked_names(tasks[0].tests) if len(tasks) == 1 else ()
        if len(names) != 1:
            continue
        for model, answer in row["models"].items():
            program = _renamed(extract_code(answer["response"]) or "", names[0])
            if program is not None:
                yield tasks[0], names[0], model, program, answer["score"] > 0


def _renamed(code: str, name: str) -> str | None:
    """The program with its only function under another name; None when it has none, several, or does not parse."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return None
    functions = [s for s in tree.body if isinstance(s, ast.FunctionDef)]
    if len(functions) != 1:
        return None
    old, functions[0].name = functions[0].name, name
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == old:
            node.id = name
    return ast.unparse(tree)


async def _judge(
    sandbox: Sandbox, item: MbppItem, name: str, model: str, program: str, recorded: bool
) -> Verdict | None:
    """The verdict on a program, with a second question to every test: is there a result at all?"""
    probes = tuple(_probe(t, name) for t in item.tests)
    report = await sandbox.run_tests(item.job(program, item.tests + probes))
    if report.count("unsupported"):
        return None
    n = len(item.tests)
    passed = tuple(r.outcome == "passed" for r in report.results[:n])
    kind = None if all(passed) else _kind(report, passed.index(False), n)
    return Verdict(task=item.id, model=model, recorded=recorded, passed=passed, kind=kind)


def _probe(test: str, name: str) -> str:
    calls = (n for n in ast.walk(ast.parse(test)) if isinstance(n, ast.Call))
    ours = [ast.unparse(c) for c in calls if isinstance(c.func, ast.Name) and c.func.id == name]
    return "\n".join(f"assert ({c}) is not None" for c in ours) or "pass"


def _kind(report: TestReport, first: int, tests: int) -> Kind:
    failing, probe = report.results[first], report.results[first + tests]
    if probe.outcome == "failed":
        return "no result"
    if failing.outcome == "failed":
        return "wrong value"
    return "signature" if any(words in failing.detail for words in _OTHER_SIGNATURE) else "crash"


def share(values: Sequence[bool]) -> float:
    """Of true ones; NaN of none."""
    return sum(values) / len(values) if values else float("nan")


def show_verifiers(data: Path) -> None:
    """Print part 6."""
    print("6. False passes: how often wrong programs pass the tests that are shown")
    verdicts = recorded_verdicts(data)
    _show_shares(verdicts)
    _show_kinds(verdicts)
    _show_tasks(verdicts)
    for task in (Mbpp.load(data=data), HumanEval.load(data=data)):
        _show_simulated(task)


def _show_shares(verdicts: Sequence[Verdict]) -> None:
    wrong, right = ([v for v in verdicts if v.wrong is wanted] for wanted in (True, False))
    agree = share([v.wrong != v.recorded for v in verdicts])
    print(f"   recorded: {len(verdicts)} programs, {len(wrong)} wrong; the recorded score agrees on {agree:.3f}")
    print(f"      P(first test passes | right) {share([v.passed[0] for v in right]):.3f}")
    error = _error_over_tasks(wrong)
    one = share([v.passed[0] for v in wrong])
    print(f"      P(first test passes | wrong) {one:.3f} (standard error {error:.3f}), packaged {FALSE_PASS.one}")
    each = " ".join(f"{share([v.passed[k] for v in wrong]):.3f}" for k in range(3))
    print(f"      P(k-th test passes | wrong), k = 1, 2, 3: {each}")
    two = [share([v.passed[a] and v.passed[b] for v in wrong]) for a, b in combinations(range(3), 2)]
    print(f"      P(two tests pass | wrong), mean of the three pairs {np.mean(two):.3f}, packaged {FALSE_PASS.more}")
    both = [v.passed[0] for v in wrong if not v.recorded]
    print(f"      P(first test passes | wrong by the recorded score, too) {share(both):.3f} of {len(both)}")
    for model in dict.fromkeys(v.model for v in verdicts):
        first = [v.passed[0] for v in wrong if v.model == model]
        print(f"         {model:34} {share(first):.3f} of {len(first)} wrong")


def _show_kinds(verdicts: Sequence[Verdict]) -> None:
    print("      kind of the first failing test's finding: share of the wrong, P(first test passes | kind)")
    wrong = [v for v in verdicts if v.wrong]
    for kind in get_args(Kind):
        first = [v.passed[0] for v in wrong if v.kind == kind]
        print(f"         {kind:12} {len(first) / len(wrong):.3f} {share(first):.3f}")


def _show_tasks(verdicts: Sequence[Verdict]) -> None:
    tasks = _first_by_task([v for v in verdicts if v.wrong])
    lenient = [passed for passed in tasks if any(passed)]
    alike = share([p for passed in tasks for p in passed]) * len(tasks) / len(lenient)
    print(f"      tasks with a false pass {len(lenient) / len(tasks):.3f} of {len(tasks)}; so ", end="")
    print(f"{alike:.2f} of the wrong programs pass there, packaged {FALSE_PASS.alike}")
    pairs = [(a, b) for passed in tasks for a, b in permutations(passed, 2)]
    print(f"      P(another model's wrong program passes | one does) {share([b for a, b in pairs if a]):.3f}")


def _first_by_task(wrong: Sequence[Verdict]) -> list[list[bool]]:
    by_task: dict[str, list[bool]] = defaultdict(list)
    for v in wrong:
        by_task[v.task].append(v.passed[0])
    return list(by_task.values())


def _error_over_tasks(wrong: Sequence[Verdict], draws: int = 1000) -> float:
    """Standard error of the share of false passes, by resampling tasks."""
    tasks, rng = _first_by_task(wrong), np.random.default_rng(0)
    passed, count = np.array([[sum(t), len(t)] for t in tasks]).T
    picks = rng.integers(len(tasks), size=(draws, len(tasks)))
    return float(np.std(passed[picks].sum(axis=1) / count[picks].sum(axis=1)))


def _show_simulated(task: Mbpp | HumanEval) -> None:
    items = simulated_items(task)
    print(f"   simulated {task.name}: {len(items)} of {len(task.all_items)} items show tests")
    first, anywhere = share([0 in i.passing for i in items]), share([bool(i.passing) for i in items])
    every = float(np.mean([len(i.passing) / len(i.wrong) for i in items]))
    print(f"      P(shown tests pass | wrong): most popular wrong program {first:.3f}, mean over an item's {every:.3f}")
    print(f"      items with a wrong program that passes {anywhere:.3f}")


def simulated_items(task: Mbpp | HumanEval) -> list[SimItem]:
    """What a simulated pool knows about those items of a benchmark that show tests."""

    async def work() -> World:
        async with Sandbox() as sandbox:
            if isinstance(task, Mbpp):
                return await task.world(task.all_items, sandbox)
            return await task.world([i for i in task.all_items if i.shown], sandbox)

    return list(anyio.run(work).items.values())
