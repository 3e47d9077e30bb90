"""HumanEval: Python functions from docstrings (Chen et al. 2021, "Evaluating Large Language Models Trained on Code").

Two forms of the file are read: the original, and that of MultiPL-E (Cassano et al. 2022), which has no solutions.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mar.errors import DataError
from mar.pool.simulated import World, item_difficulties, program_complexity
from mar.runtime.code import completed, defines, parses
from mar.runtime.sandbox import Sandbox, TestJob
from mar.tasks.docstring_examples import shown_assertions
from mar.tasks.scoring.formats import no_answer
from mar.tasks.scoring.programs import PythonFunction, judged
from mar.tasks.sources import Located, Rows, find_rows, hub_rows, layouts, once_each
from mar.tasks.splits import fifth_to_train, of_split, stated_splits
from mar.tasks.table_program import table_program
from mar.tasks.task import Score, Split
from mar.tasks.wrong_code import CodeItem, code_world
from mar.types import Domain, Query, ShownTests

HUB = "openai/openai_humaneval"
FILES = layouts(
    *("humaneval/HumanEval.jsonl.gz", "humaneval/HumanEval.jsonl", "humaneval/humaneval-py.jsonl"),
    *("humaneval/test-*.parquet", "humaneval/openai_humaneval/test-*.parquet"),
)
RHO = 0.41
"""Correlation of difficulty (1 - mean solve rate of seven 7-8B models over ten tries, RouterDC's recordings) with
`complexity`, corrected for the solve rate's reliability of 0.90; 164 tasks (benchmarks/fit_simulator.py)."""
MISPRINTS = frozenset(
    {
        "assert median([-10, 4, 6, 1000, 10, 20]) == 15.0",  # 47
        "assert sort_array([1, 5, 2, 3, 4]) == [1, 2, 3, 4, 5]",  # 116, as is the next
        "assert sort_array([-2, -3, -4, -5, -6]) == [-6, -5, -4, -3, -2]",
        "assert tri(1) == 3",  # 130: members of the sequence, of which the function returns a list
        "assert tri(2) == 2",
        "assert tri(4) == 3",
        "assert bf('Earth', 'Mercury') == 'Venus'",  # 148: a tuple of one is meant
    }
)
"""Examples that contradict the solution, as published; no query shows them as tests."""
INSTRUCTION = (
    "Answer with one fenced Python code block that holds the complete function under the given name and signature, "
    "with every import and helper function it needs, and nothing that runs when it is loaded."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanEvalItem:
    """One HumanEval task."""

    id: str  # its number
    split: Split
    prompt: str  # imports, helpers, signature and docstring
    entry_point: str
    solution: str | None  # the body that completes the prompt; None in MultiPL-E's form
    test: str  # defines and runs check(candidate)
    shown: tuple[str, ...]  # the docstring's examples as assertions

    @property
    def preamble(self) -> str:
        """What the prompt supplies before the function: imports and helpers."""
        return re.split(rf"^def {re.escape(self.entry_point)}\(", self.prompt, maxsplit=1, flags=re.MULTILINE)[0]

    @property
    def reference(self) -> str | None:
        """The whole reference program."""
        return None if self.solution is None else self.prompt + self.solution

    def job(self, answer: str) -> TestJob:
        """The item's test on an answer.

        The prompt's imports and helpers need not be repeated by an answer, and one that is only the function's body
        completes the prompt. Tests that use a helper get it from the prompt, whatever the answer makes of that name.
        """
        whole = answer if defines(answer, self.entry_point) else completed(self.prompt, answer) or answer
        return TestJob(code=whole, tests=(self.test,), setup=self.preamble.strip(), entry_points=(self.entry_point,))


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanEval:
    """HumanEval, scored by pass@1; 20% of the shuffled tasks to train, 80% to test: MasRouter's published setting."""

    all_items: tuple[HumanEvalItem, ...]
    source: str
    protocol: str

    name = "humaneval"
    domain: Domain = "Code"

    @classmethod
    def load(cls, *, path: Path | None = None, data: Path | None = None) -> HumanEval:
        """Load HumanEval from a file, a data folder, the hub, or the bundled sample, in this order.

        Raises:
            DataError: A file is missing or malformed; names file and row.
        """
        found = find_rows(explicit=path, data_root=data, within=FILES, hub=_from_hub, sample="humaneval")
        ids = [_number(at) for at in found.located]
        once_each(ids, found.located, "task")
        stated = stated_splits(ids, found.located)
        splits = stated or fifth_to_train(ids, "humaneval")
        items = [_item(at, i, splits[i]) for i, at in zip(ids, found.located, strict=True)]
        protocol = "as the rows state" if stated else f"20% of {len(ids)} to train, 80% to test"
        items.sort(key=lambda i: int(i.id))
        return cls(all_items=tuple(items), source=found.source, protocol=protocol)

    @property
    def notes(self) -> Mapping[str, str]:
        """Data source and protocol."""
        return {"data": self.source, "split": self.protocol, "shown tests": "docstring", "metric": "pass@1"}

    def items(self, split: Split) -> Sequence[HumanEvalItem]:
        """Items of a split by ascending number."""
        return of_split(self.all_items, split)

    def query(self, item: HumanEvalItem) -> Query:
        """The prompt; the examples in its docstring are the shown tests."""
        shown = ShownTests(setup=item.preamble.strip(), tests=item.shown) if item.shown else ShownTests()
        form = PythonFunction(
            final_role="HumanEval", instruction=INSTRUCTION, names=(item.entry_point,), prompt=item.prompt
        )
        return Query(
            id=f"humaneval/{item.id}", domain=self.domain, text=item.prompt, shown_tests=shown, answer_format=form
        )

    async def score(self, item: HumanEvalItem, answer: str | None, sandbox: Sandbox) -> Score:
        """Run the item's test."""
        return no_answer("code") if answer is None else judged(await sandbox.run_tests(item.job(answer)))

    async def world(self, items: Sequence[HumanEvalItem], sandbox: Sandbox) -> World:
        """Reference solutions and verified wrong ones, with a difficulty that grows with the reference's size.

        A file without solutions gets programs that look the tests' cases up, so that a simulated pool can be right.

        Raises:
            DataError: There is no solution and the tests are too involved to look up.
        """
        everything = [self.query(i).id for i in self.all_items]
        sizes = [complexity(i) for i in self.all_items]
        levels = dict(zip(everything, item_difficulties(everything, sizes, rho=RHO), strict=True))
        programs = {
            q: CodeItem(reference=_program(i), difficulty=levels[q], job=partial(HumanEvalItem.job, i), shown=i.shown)
            for q, i in ((self.query(i).id, i) for i in items)
        }
        return await code_world(programs, sandbox, benchmark="humaneval")


def complexity(item: HumanEvalItem) -> float:
    """What makes a task hard: the size of prompt and solution in syntax tree nodes."""
    return program_complexity(item.reference or f"{item.prompt}    pass\n")


def _program(item: HumanEvalItem) -> str:
    program = item.reference or table_program(item.test, item.entry_point)
    if program is None:
        raise DataError(f"HumanEval task {item.id} has no solution; expected the original file, which has them")
    return program


def _number(at: Located) -> str:
    """The task's number: of task_id "HumanEval/23" or of name "HumanEval_23_strlen"."""
    stated = at.row.get("task_id", at.row.get("name"))
    match = re.search(r"[/_](\d+)(?:_|$)", stated) if isinstance(stated, str) else None
    if match is None:
        raise DataError(
            f"{at.where}: task_id or name is {stated!r}; expected one like HumanEval/23 or HumanEval_23_strlen"
        )
    return match[1]


def _item(at: Located, item_id: str, split: Split) -> HumanEvalItem:
    prompt, entry_point = at.text("prompt"), at.text("entry_point")
    solution = at.text("canonical_solution") if at.row.get("canonical_solution") is not None else None
    if not parses(f"{prompt}\n    pass\n") or not re.search(rf"^def {re.escape(entry_point)}\(", prompt, re.MULTILINE):
        raise DataError(f"{at.where}: field prompt does not end in a function {entry_point} and its docstring")
    if solution is not None and not parses(prompt + solution):
        raise DataError(f"{at.where}: field canonical_solution does not complete the prompt to a Python program")
    return HumanEvalItem(
        id=item_id,
        split=split,
        prompt=prompt,
        entry_point=entry_point,
        solution=solution,
        test=_running(at, entry_point),
        shown=tuple(a for a in shown_assertions(prompt, entry_point) if a not in MISPRINTS),
    )


def _running(at: Located, entry_point: str) -> str:
    """The test, with the call of check() that MultiPL-E's form has and the original leaves to the harness."""
    test = at.text("test")
    try:
        body = ast.parse(test).body
    except SyntaxError:
        raise DataError(f"{at.where}: field test is no Python program") from None
    if not any(isinstance(s, ast.FunctionDef) and s.name == "check" for s in body):
        raise DataError(f"{at.where}: field test defines no function check")
    called = any(isinstance(s, ast.Expr) and isinstance(s.value, ast.Call) for s in body)
    return test if called else f"{test}\n\ncheck({entry_point})\n"


def _from_hub() -> Rows:
    return hub_rows(HUB, parts=("test",))
