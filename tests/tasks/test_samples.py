"""The bundled samples of GSM8K, MATH, HumanEval, MMLU and MMLU-Pro: well formed, right, varied, and our own."""

import ast
import json
import re
from collections import Counter, defaultdict
from fractions import Fraction

import pytest
import sympy

from mar.tasks.registry import load_task
from mar.tasks.scoring.boxed import last_boxed
from mar.tasks.scoring.expressions import compare
from mar.tasks.scoring.numbers import read_number
from tests.tasks.benchmarks import SPLITS, assert_disjoint, real, sample, score_all, sizes

NAMES = ("gsm8k", "math", "humaneval", "mmlu", "mmlu_pro")
SIZES = {"train": 18, "validation": 6, "test": 16}
SYMPY = vars(sympy) | {"I_": sympy.I} | dict(zip("xy", sympy.symbols("x y"), strict=True))
NEAR = 0.5  # share of word triples in common


def rows(name):
    return [json.loads(line) for line in sample(name).read_text(encoding="utf-8").splitlines()]


def load(name):
    return load_task(name, path=sample(name))


@pytest.mark.parametrize("name", NAMES)
def test_every_sample_loads_with_all_splits(name):
    task = load(name)
    assert sizes(task) == SIZES
    assert_disjoint(task)


@pytest.mark.parametrize("name", NAMES)
def test_without_data_every_task_is_its_sample(name, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    assert load_task(name).notes["data"] == f"bundled sample ({name})"


@pytest.mark.parametrize("row", rows("gsm8k"), ids=lambda r: f"row{r['id']}")
def test_the_calculations_of_a_word_problem_are_right_and_end_in_gold(row):
    steps = re.findall(r"<<([^=]*)=([^>]*)>>", row["answer"])
    assert steps
    for expression, result in steps:
        exact = re.sub(r"\d+(?:\.\d+)?", lambda m: f"Fraction('{m[0]}')", expression)
        assert eval(exact, {"Fraction": Fraction}) == Fraction(result)
    assert read_number(row["answer"].rpartition("####")[2]) == Fraction(steps[-1][1])


@pytest.mark.parametrize("row", rows("math"), ids=lambda r: f"row{r['id']}")
def test_the_gold_of_a_competition_problem_is_what_sympy_finds(row):
    gold = last_boxed(row["solution"])
    assert compare(gold, sympy.latex(sympy.sympify(eval(row["check"], dict(SYMPY))))) == "equal"


def test_the_canonical_solutions_pass_and_stubs_do_not():
    task = load("humaneval")
    stub = "def {}(*args):\n    return None\n"
    assert all(s.solved for s in score_all(task, [(i, i.reference) for i in task.all_items]))
    assert not any(s.solved for s in score_all(task, [(i, stub.format(i.entry_point)) for i in task.all_items]))
    assert all(i.shown for i in task.all_items)


def test_difficulty_and_subjects_vary():
    assert len({item.solution.count("\n") for item in load("gsm8k").all_items}) >= 4
    assert {item.level for item in load("math").all_items} == {1, 2, 3, 4, 5}
    assert len({item.subject for item in load("math").all_items}) == 7
    assert len({item.category for item in load("mmlu").all_items}) == 10
    assert len({item.category for item in load("mmlu_pro").all_items}) == 11


@pytest.mark.parametrize("name", ["mmlu", "mmlu_pro"])
def test_no_letter_is_right_much_more_often_than_others(name):
    items = load(name).all_items
    letters = Counter(i.gold for i in items)
    assert max(letters.values()) <= 40 * 2 / min(len(i.options) for i in items)
    assert all(len(set(i.options)) == len(i.options) for i in items)


TEXT = {"gsm8k": "question", "math": "problem", "humaneval": "prompt", "mmlu": "question", "mmlu_pro": "question"}
REAL = {"gsm8k": "gsm8k", "math": "MATH", "humaneval": "humaneval", "mmlu": "MMLU", "mmlu_pro": "mmlu_pro"}


def triples(text):
    words = re.findall(r"[a-z0-9]+", text.lower())
    return {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}


@pytest.mark.parametrize("name", NAMES)
def test_no_item_is_nearly_a_real_one(name):
    options = {"full_test": True} if name == "mmlu" else {"own_train": True} if name == "gsm8k" else {}
    task = load_task(name, data=real(REAL[name]).parent, **options)
    own = {row[TEXT[name]]: triples(row[TEXT[name]]) for row in rows(name)}
    having = defaultdict(list)
    for text, parts in own.items():
        for part in parts:
            having[part].append(text)
    for item in (i for split in SPLITS for i in task.items(split)):
        theirs = triples(getattr(item, TEXT[name]))
        shared = Counter(text for part in theirs for text in having.get(part, ()))
        near = [text for text, n in shared.items() if n / len(own[text] | theirs) >= NEAR]
        assert not near, f"too close to {item.id}"


def test_no_function_has_the_name_of_a_real_one():
    task = load_task("humaneval", data=real("humaneval").parent)
    names = {row["entry_point"] for row in rows("humaneval")}
    assert len(names) == 40
    assert not names & {i.entry_point for i in task.all_items}
    assert all(ast.parse(row["prompt"] + row["canonical_solution"]) for row in rows("humaneval"))
