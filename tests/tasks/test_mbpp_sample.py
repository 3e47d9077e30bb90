"""The packaged MBPP-style sample is well formed, solvable, not trivially passed, and not a copy of MBPP."""

import ast
import difflib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.tasks.benchmarks import real, sample

FIELDS = {"task_id", "text", "code", "test_list", "test_setup_code", "challenge_test_list", "split"}
SPLIT_SIZES = {"prompt": 4, "test": 24, "validation": 12, "train": 32}
NEAR_DUPLICATE_RATIO = 0.9

Row = dict[str, Any]


def read_jsonl(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


ROWS = read_jsonl(sample("mbpp"))
every_row = pytest.mark.parametrize("row", ROWS, ids=[f"task{row['task_id']}" for row in ROWS])


def normalised(text: str) -> str:
    """Lower-case words only, without the opening "write a (python) function to" that all tasks share."""
    words = " ".join(re.findall(r"[a-z0-9]+", text.lower()))
    return re.sub(r"^write a (python )?function (to|that) ", "", words)


def called_name(test: str) -> str:
    match = re.match(r"assert (\w+)\(", test)
    assert match, f"not an assert that starts with a call: {test}"
    return match[1]


def run(code: str, test: str) -> None:
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    exec(test, namespace)


@pytest.fixture(scope="module")
def real_rows() -> list[Row]:
    return read_jsonl(real("mbpp/mbpp.jsonl"))


def test_ids_run_from_one_without_gaps():
    assert [row["task_id"] for row in ROWS] == list(range(1, len(ROWS) + 1))


def test_splits_have_their_published_sizes():
    assert Counter(row["split"] for row in ROWS) == SPLIT_SIZES


def test_no_two_tasks_share_a_text_or_a_function_name():
    assert len({normalised(row["text"]) for row in ROWS}) == len(ROWS)
    assert len({called_name(row["test_list"][0]) for row in ROWS}) == len(ROWS)


@every_row
def test_row_has_exactly_the_fields_with_their_types(row: Row):
    assert set(row) == FIELDS
    assert type(row["task_id"]) is int
    assert all(type(row[field]) is str for field in ("text", "code", "test_setup_code", "split"))
    assert all(type(row[field]) is list for field in ("test_list", "challenge_test_list"))


@every_row
def test_text_is_one_sentence_in_the_style_of_mbpp(row: Row):
    assert re.match(r"Write a (python )?function to ", row["text"])
    assert row["text"].endswith(".")
    assert "\n" not in row["text"]


@every_row
def test_row_has_three_distinct_asserts_that_call_the_reference(row: Row):
    tests = row["test_list"]
    assert len(tests) == len(set(tests)) == 3
    defined = {node.name for node in ast.parse(row["code"]).body if isinstance(node, ast.FunctionDef)}
    for test in tests:
        (statement,) = ast.parse(test).body
        assert isinstance(statement, ast.Assert)
        assert called_name(test) in defined
    assert len({called_name(test) for test in tests}) == 1


@every_row
def test_reference_passes_each_test(row: Row):
    for test in row["test_list"]:
        run(row["test_setup_code"] + "\n" + row["code"], test)


@every_row
def test_stub_that_returns_none_fails_each_test(row: Row):
    stub = f"def {called_name(row['test_list'][0])}(*args):\n    return None\n"
    for test in row["test_list"]:
        with pytest.raises((AssertionError, TypeError)):
            run(stub, test)


@every_row
def test_text_equals_or_nearly_equals_no_real_task(row: Row, real_rows: list[Row]):
    matcher = difflib.SequenceMatcher(b=normalised(row["text"]), autojunk=False)
    for other in real_rows:
        matcher.set_seq1(normalised(other["text"]))
        near = matcher.quick_ratio() >= NEAR_DUPLICATE_RATIO and matcher.ratio() >= NEAR_DUPLICATE_RATIO
        assert not near, f"too close to MBPP {other['task_id']}: {other['text']}"


def test_no_function_name_is_one_of_the_real_ones(real_rows: list[Row]):
    taken = {name for real in real_rows for name in re.findall(r"\bdef (\w+)\(", real["code"])}
    assert not taken & {called_name(row["test_list"][0]) for row in ROWS}
