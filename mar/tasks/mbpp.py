"""MBPP: short Python tasks with assertions (Austin et al. 2021, "Program Synthesis with Large Language Models")."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from mar.errors import ConfigError, DataError
from mar.pool.simulated import MBPP_RHO, World, item_difficulties, program_complexity
from mar.runtime.code import parses
from mar.runtime.sandbox import Sandbox, TestJob
from mar.tasks.readers import Row
from mar.tasks.scoring.programs import PythonFunction, asked_names, entry_points, judged
from mar.tasks.sources import Located, Rows, find_rows, layouts
from mar.tasks.task import SPLITS, Score, Split
from mar.tasks.wrong_code import CodeItem, code_world
from mar.types import Domain, Query, ShownTests

ShowTests = Literal["first", "all"]
HUB = "google-research-datasets/mbpp"
FILES = layouts(
    *("mbpp/mbpp.jsonl", "mbpp/sanitized-mbpp.json", "mbpp/{part}-*.parquet"),
    *("mbpp/full/{part}-*.parquet", "mbpp/sanitized/{part}-*.parquet"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MbppItem:
    """One MBPP task."""

    id: str
    split: Split
    text: str
    code: str  # the reference solution
    tests: tuple[str, ...]
    setup: str = ""  # code that the tests need
    setup_after_code: bool = False  # the setup builds on names that the solution defines

    def job(self, code: str, tests: tuple[str, ...] | None = None) -> TestJob:
        """The tests of this item on a program."""
        return TestJob(
            code=code,
            tests=self.tests if tests is None else tests,
            setup=self.setup,
            setup_after_code=self.setup_after_code,
            entry_points=entry_points(self.code, self.tests),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mbpp:
    """MBPP with its published split (by task_id: 511-600 validation, 601-974 train, 11-510 test), scored by pass@1.

    `show_tests="first"` shows agents the first test only. "all" is the published protocol of multi-agent papers; it
    lets agents optimise on the very tests that grade them.
    """

    all_items: tuple[MbppItem, ...]
    source: str
    show_tests: ShowTests = "first"

    name = "mbpp"
    domain: Domain = "Code"

    @classmethod
    def load(cls, *, path: Path | None = None, data: Path | None = None, show_tests: str = "first") -> Mbpp:
        """Load MBPP from a file, a data folder, the hub, or the bundled sample, in this order.

        Raises:
            DataError: A file is missing or malformed, or a row has no tests; names file and line.
            ConfigError: `show_tests` is neither "first" nor "all".
        """
        if show_tests not in get_args(ShowTests):
            raise ConfigError(f"--show_tests is {show_tests!r}; expected first or all")
        found = find_rows(explicit=path, data_root=data, within=FILES, hub=_from_hub, sample="mbpp")
        items: dict[str, MbppItem] = {}
        for at in found.located:
            item = _item(at)
            if item is None:
                continue
            if item.id in items:
                raise DataError(f"{at.where}: task_id {item.id} is given twice; expected one row per task")
            items[item.id] = item
        return cls(all_items=tuple(items.values()), source=found.source, show_tests=cast(ShowTests, show_tests))

    @property
    def notes(self) -> Mapping[str, str]:
        """Data source and protocol."""
        return {"data": self.source, "shown tests": self.show_tests, "metric": "pass@1 on test_list"}

    def items(self, split: Split) -> Sequence[MbppItem]:
        """Items of a split by ascending task id."""
        return sorted((i for i in self.all_items if i.split == split), key=lambda i: int(i.id))

    def query(self, item: MbppItem) -> Query:
        """The task's text with the tests that may be shown."""
        tests = item.tests if self.show_tests == "all" else item.tests[:1]
        shown = ShownTests(setup=item.setup, tests=tests, setup_after_code=item.setup_after_code)
        asked = asked_names([*tests, item.setup])
        form = PythonFunction(names=tuple(n for n in asked if n not in _defined(item.setup)))
        return Query(id=f"mbpp/{item.id}", domain=self.domain, text=item.text, shown_tests=shown, answer_format=form)

    async def score(self, item: MbppItem, answer: str | None, sandbox: Sandbox) -> Score:
        """Run all tests of the item."""
        if answer is None:
            return Score(value=0.0, solved=False, feedback="no code in the answer")
        return judged(await sandbox.run_tests(item.job(answer)))

    async def world(self, items: Sequence[MbppItem], sandbox: Sandbox) -> World:
        """Reference solutions and verified wrong ones, with a difficulty that grows with the reference's complexity.

        Difficulties are ranks within the whole benchmark, so an item is as hard in a small run as in a large one.
        """
        everything = [self.query(i).id for i in self.all_items]
        complexity = [program_complexity(i.code) for i in self.all_items]
        levels = dict(zip(everything, item_difficulties(everything, complexity, rho=MBPP_RHO), strict=True))
        programs = {
            q.id: CodeItem(reference=i.code, difficulty=levels[q.id], job=i.job, shown=q.shown_tests.tests)
            for q, i in ((self.query(i), i) for i in items)
        }
        return await code_world(programs, sandbox, benchmark="mbpp")


def published_split(task_id: int) -> Split | None:
    """The split of an MBPP task; None for the ten few-shot prompts."""
    if 11 <= task_id <= 510:
        return "test"
    if 511 <= task_id <= 600:
        return "validation"
    return "train" if 601 <= task_id <= 974 else None


def _item(at: Located) -> MbppItem | None:
    """The item of a row of the full file, or of the sanitized one: text is prompt there, and tests have imports."""
    row, where = at.row, at.where
    task_id = row.get("task_id")
    if type(task_id) is not int:
        raise DataError(f"{where}: task_id is {task_id!r}; expected a whole number")
    text, code, tests = at.value("text", "prompt"), row.get("code"), row.get("test_list")
    for name, value in (("text", text), ("code", code)):
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{where} (task_id {task_id}): field {name} is {value!r}; expected a text")
    if not isinstance(tests, list) or not tests or not all(isinstance(t, str) for t in cast(list[Any], tests)):
        raise DataError(f"{where} (task_id {task_id}): test_list holds no tests; expected a list of assertions")
    setup = _setup(at)
    for name, value in (("code", code), ("test_setup_code", setup)):
        if not isinstance(value, str) or (value.strip() and not parses(value)):
            raise DataError(f"{where} (task_id {task_id}): field {name} is no Python program")
    split = row.get("split") or published_split(task_id)
    if split is None or split == "prompt":
        return None
    if split not in SPLITS:
        raise DataError(f"{where} (task_id {task_id}): split is {split!r}; expected {', '.join(SPLITS)} or prompt")
    return MbppItem(
        id=str(task_id),
        split=split,
        text=cast(str, text).strip(),
        code=cast(str, code),
        tests=tuple(cast(list[str], tests)),
        setup=setup,
        setup_after_code=bool(setup) and _builds_on(setup, cast(str, code)),
    )


def _setup(at: Located) -> Any:
    """The code that tests need: imports of the sanitized file, and the full file's setup."""
    imports: Any = at.row.get("test_imports") or []
    setup: Any = at.row.get("test_setup_code") or ""
    if not isinstance(imports, list) or not all(isinstance(i, str) for i in cast(list[Any], imports)):
        raise DataError(f"{at.where}: field test_imports is {imports!r}; expected a list of imports")
    return "\n".join([*cast(list[str], imports), setup]).strip() if imports and isinstance(setup, str) else setup


def _builds_on(setup: str, code: str) -> bool:
    """Whether a setup uses names that only the solution defines, so that it has to run after it."""
    used = {n.id for n in ast.walk(ast.parse(setup)) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    return bool(used & (_defined(code) - _defined(setup)))


def _defined(code: str) -> set[str]:
    """Names that a program binds at its top level."""
    names = set[str]()
    for statement in ast.parse(code).body:
        match statement:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names |= {(a.asname or a.name).partition(".")[0] for a in aliases}
            case _:
                bound = (n for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
                names |= {n.id for n in bound}
    return names


def _from_hub() -> Rows:
    from datasets import load_dataset  # pyright: ignore[reportUnknownVariableType, reportMissingTypeStubs]

    parts = cast(Mapping[str, Any], load_dataset(HUB, "full"))
    rows = sorted((cast(Row, r) for part in parts.values() for r in part), key=lambda r: cast(int, r["task_id"]))
    return Rows.of(rows, source=f"hub {HUB}", place=f"hub {HUB}")
