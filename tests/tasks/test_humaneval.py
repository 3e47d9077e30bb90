"""HumanEval as mar loads it: both forms of the file, the examples shown, and every solution judged."""

import pytest

from mar.errors import DataError
from mar.runtime.sandbox import TestJob
from mar.tasks.docstring_examples import shown_assertions
from mar.tasks.humaneval import MISPRINTS, HumanEval
from mar.tasks.table_program import table_program
from tests.tasks.benchmarks import (
    assert_disjoint,
    assert_world_is_right,
    in_sandbox,
    real,
    sample,
    score_all,
    sizes,
    write,
)

ROW = {
    "task_id": "HumanEval/7",
    "prompt": 'import math\n\n\ndef root(n):\n    """Root of n.\n    >>> root(9)\n    3\n    """\n',
    "entry_point": "root",
    "canonical_solution": "    return math.isqrt(n)\n",
    "test": "def check(candidate):\n    assert candidate(16) == 4\n    assert candidate(9) == 3\n",
}


@pytest.fixture(scope="module")
def original():
    return HumanEval.load(path=real("humaneval/HumanEval.jsonl.gz"))


def test_every_canonical_solution_passes_and_a_stub_does_not(original):
    items = original.all_items
    assert len(items) == 164
    assert all(s.solved for s in score_all(original, [(i, i.reference) for i in items]))
    stubs = [(i, f"def {i.entry_point}(*args):\n    return None\n") for i in items[:20]]
    assert not any(s.solved for s in score_all(original, stubs))


def test_canonical_solutions_pass_the_tests_of_multipl_e(original):
    """All but one of 161: the test of task 151 writes integers as floats, which the solution takes for decimals."""
    other = HumanEval.load(path=real("humaneval/humaneval-py.jsonl"))
    reference = {i.id: i.reference for i in original.all_items}
    scores = score_all(other, [(i, reference[i.id]) for i in other.all_items])
    assert [i.id for i, s in zip(other.all_items, scores, strict=True) if not s.solved] == ["151"]


def test_a_table_of_the_tests_stands_in_for_missing_solutions():
    """All but one of 161: task 92 tells 3 and 3.0 apart, which a look-up by equality does not."""
    other = HumanEval.load(path=real("humaneval/humaneval-py.jsonl"))
    scores = score_all(other, [(i, table_program(i.test, i.entry_point)) for i in other.all_items])
    assert [i.id for i, s in zip(other.all_items, scores, strict=True) if not s.solved] == ["92"]


def test_shown_examples_hold_for_the_canonical_solutions(original):
    """All but eleven docstrings have some. Task 38's, for one, gives none, and the two of 116 are misprints."""

    async def wrong(sandbox):
        found = []
        for item in original.all_items:
            shown = original.query(item).shown_tests
            if shown.tests:
                report = await sandbox.run_tests(TestJob(code=item.reference, tests=shown.tests, setup=shown.setup))
                found += [item.id] * (not report.passed)
        return found

    assert in_sandbox(wrong) == []
    without = [i.id for i in original.all_items if not i.shown]
    assert without == ["38", "41", "50", "80", "81", "83", "105", "115", "116", "149", "160"]


def test_a_misprint_is_an_example_that_the_canonical_solution_fails(original):
    read = {a: i for i in original.all_items for a in shown_assertions(i.prompt, i.entry_point) if a in MISPRINTS}
    assert set(read) == MISPRINTS

    async def passed(sandbox):
        jobs = [TestJob(code=i.reference, tests=(a,), setup=i.preamble.strip()) for a, i in read.items()]
        return [(await sandbox.run_tests(job)).passed for job in jobs]

    assert not any(in_sandbox(passed))


def test_a_fifth_trains(original):
    # 20% of 164 are 32, of which 15% (4) validate
    assert sizes(original) == {"train": 28, "validation": 4, "test": 132}
    assert_disjoint(original)


@pytest.mark.parametrize(
    ("answer", "solved"),
    [
        ("def root(n):\n    return math.isqrt(n)", True),  # the prompt's import need not be repeated
        ("    return math.isqrt(n)", True),  # only the body
        ("def root(n):\n    return n", False),
        ("def other(n):\n    return math.isqrt(n)", False),
    ],
)
def test_an_answer_stands_after_the_prompt(tmp_path, answer, solved):
    task = HumanEval.load(path=write(tmp_path / "rows.jsonl", ROW))
    (score,) = score_all(task, [(task.all_items[0], answer)])
    assert score.solved is solved


@pytest.mark.parametrize("number", ["32", "38", "50"])
def test_helpers_of_the_prompt_cannot_be_redefined_under_the_test(original, number):
    """The tests of these three compare with a helper that the prompt defines."""
    item = next(i for i in original.all_items if i.id == number)
    helper = {"32": "poly", "38": "encode_cyclic", "50": "encode_shift"}[number]
    forged = f"def {helper}(*args):\n    return 0\n\ndef {item.entry_point}(x):\n    return x\n"
    always = "class A(str):\n    __eq__ = lambda *a: True\n\n" + forged.replace("return 0", "return A()")
    scores = score_all(original, [(item, forged), (item, always), (item, item.reference)])
    assert [s.solved for s in scores] == [False, False, True]


def test_the_format_completes_a_body_before_anybody_runs_it(original):
    item = original.all_items[0]
    form = original.query(item).answer_format
    answers = [form.extract(text) for text in (item.solution, f"```\n{item.solution}\n```", item.solution.strip())]
    assert all(a is not None and a.startswith("from typing import List") for a in answers)
    assert all(s.solved for s in score_all(original, [(item, a) for a in answers]))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"task_id": "seven"}, "task_id or name is 'seven'"),
        ({"prompt": "def other():\n    pass\n"}, "does not end in a function root"),
        ({"canonical_solution": "    return ("}, "does not complete the prompt"),
        ({"test": "assert True"}, "defines no function check"),
        ({"test": "def check(:"}, "field test is no Python program"),
        ({}, "task 7 is given twice"),
    ],
)
def test_a_bad_row_is_named_with_its_file_and_number(tmp_path, change, says):
    path = write(tmp_path / "rows.jsonl", ROW, ROW | ({"task_id": "HumanEval/8"} if change else {}) | change)
    with pytest.raises(DataError) as error:
        HumanEval.load(path=path)
    assert f"{path}, line 2: " in str(error.value)
    assert says in str(error.value)


def test_no_query_holds_the_reference(original):
    assert all(i.solution.strip() not in original.query(i).text for i in original.all_items)


def test_the_world_of_the_sample_is_right():
    task = HumanEval.load(path=sample("humaneval"))
    assert_world_is_right(task, task.items("test")[:5])
