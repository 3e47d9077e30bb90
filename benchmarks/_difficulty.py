"""How far an item's text or gold solution tells how many LLMs fail on it: part 3 of fit_simulator.py."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _outcomes import Outcomes, load_choices, load_mbpp, load_mmlu_pro, load_model7, read_lines
from numpy.typing import NDArray

from mar.pool.simulated import MBPP_RHO, difficulty_from_complexity, program_complexity
from mar.tasks import gsm8k, humaneval, mmlu, mmlu_pro
from mar.tasks.options import question_with_options

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A benchmark whose items' difficulty was recorded and whose items' complexity the simulator uses."""

    name: str
    what: str  # the measure of complexity
    outcomes: Outcomes
    texts: Sequence[str]  # of each item of the outcomes
    complexity: Sequence[float]
    packaged: float  # the correlation that the task's module states


def show_difficulty(data: Path) -> None:
    """Print part 3's first half."""
    print("3. Difficulty (1 - mean solve rate over models) and what it can be told from, in normal scores")
    _show_mbpp(data)
    for found in others(data):
        solved = found.outcomes.successes
        hard = difficulty_from_complexity((-solved.mean(axis=1)).tolist())
        reliability = split_half_reliability(solved)
        r = correlation(difficulty_from_complexity(found.complexity), hard)
        print(f"   {found.name}: {len(hard)} items, {solved.shape[1]} models, reliability {reliability:.2f}")
        print(_line(found.what, r, reliability, found.packaged))


def _line(what: str, r: float, reliability: float, packaged: float | None = None) -> str:
    stated = "" if packaged is None else f"   packaged {packaged:.2f}"
    return f"      {what:42} {r:.2f}, corrected for reliability {r / reliability**0.5:.2f}{stated}"


def _show_mbpp(data: Path) -> None:
    rows = read_lines(data / "outcomes/routerbench_mbpp/mbpp.jsonl.gz")
    outcomes = load_mbpp(data).successes
    hardness = 1 - outcomes.mean(axis=1)
    code = {_key(row["text"]): row["code"] for row in read_lines(data / "benchmarks/mbpp/mbpp.jsonl")}
    matched = [(i, code[_key(row["prompt"])]) for i, row in enumerate(rows) if _key(row["prompt"]) in code]
    hard = difficulty_from_complexity([float(hardness[i]) for i, _ in matched])
    reliability = split_half_reliability(outcomes)
    print(
        f"   mbpp: {len(rows)} prompts, 11 models, reliability {reliability:.2f}; {len(matched)} matched to a solution"
    )
    for name, measure, packaged in (
        ("syntax tree nodes of the solution", program_complexity, MBPP_RHO),
        ("its nesting", _nesting, None),
        ("its lines", _lines, None),
    ):
        r = correlation(difficulty_from_complexity([measure(text) for _, text in matched]), hard)
        print(_line(name, r, reliability, packaged))


def others(data: Path) -> Iterator[Measured]:
    """All but MBPP."""
    steps = {_key(i.question): gsm8k.complexity(i) for i in gsm8k.Gsm8k.load(data=data, own_train=True).all_items}
    yield _of_seven(data, "gsm8k", "lines of the gold solution", steps, gsm8k.RHO, ("test",), attempts=10)
    sizes = {_key(i.prompt): humaneval.complexity(i) for i in humaneval.HumanEval.load(data=data).all_items}
    parts = ("train", "test")
    yield _of_seven(data, "humaneval", "syntax tree nodes of the solution", sizes, humaneval.RHO, parts, attempts=10)
    options = mmlu.Mmlu.load(data=data, full_test=True).all_items
    digits = {_key(question_with_options(i)): mmlu.Mmlu.complexity(i) for i in options}
    yield _of_seven(data, "mmlu", "digits of question and options", digits, mmlu.RHO, ("test",), attempts=1)
    recorded = load_choices(data)
    yield Measured(
        name="mmlu_pro",
        what="words of the question",
        outcomes=load_mmlu_pro(data),
        texts=recorded.texts,
        complexity=recorded.words(),
        packaged=mmlu_pro.RHO,
    )


def _of_seven(
    data: Path,
    name: str,
    what: str,
    complexity: Mapping[str, float],
    packaged: float,
    parts: Sequence[str],
    *,
    attempts: int,
) -> Measured:
    """A benchmark that the seven 7-8B models answered; its rows are found by their text."""
    names = [f"{name}_{part}" for part in parts]
    rows = [row for n in names for row in read_lines(data / f"outcomes/model7/{n}.jsonl.gz")]
    return Measured(
        name=name,
        what=what,
        outcomes=load_model7(data, *names, attempts=attempts),
        texts=[row["question"] for row in rows],
        complexity=[complexity[_key(row["question"])] for row in rows],
        packaged=packaged,
    )


def split_half_reliability(outcomes: NDArray[np.int64], draws_: int = 200) -> float:
    """Reliability of the mean over models (Spearman-Brown), averaged over random halves."""
    rng = np.random.default_rng(0)
    values: list[float] = []
    for _ in range(draws_):
        order = rng.permutation(outcomes.shape[1])
        half = outcomes.shape[1] // 2
        r = correlation(outcomes[:, order[:half]].mean(axis=1), outcomes[:, order[half:]].mean(axis=1))
        values.append(2 * r / (1 + r))
    return float(np.mean(values))


def correlation(a: Sequence[float] | Array, b: Sequence[float] | Array) -> float:
    """Pearson's."""
    return float(np.corrcoef(a, b)[0, 1])


def _key(text: str) -> str:
    return " ".join(text.lower().split())


def _lines(code: str) -> float:
    return float(len(code.splitlines()))


def _nesting(code: str) -> float:
    blocks = (ast.For, ast.While, ast.If, ast.FunctionDef, ast.comprehension, ast.Lambda)

    def depth(node: ast.AST, level: int) -> int:
        return max([level, *(depth(c, level + isinstance(c, blocks)) for c in ast.iter_child_nodes(node))])

    return float(depth(ast.parse(code), 0))
