"""MATH as mar loads it: layouts, splits, gold answers, and every gold solution scored."""

import json
import re

import pytest

from mar.errors import DataError
from mar.tasks.math import Math
from mar.tasks.scoring.boxed import extract_expression
from mar.tasks.scoring.expressions import compare
from tests.tasks.benchmarks import assert_disjoint, assert_world_is_right, real, sample, score_all, sizes, write

ROW = {
    "problem": "What is 1/2 + 1/4?",
    "solution": r"It is $\boxed{\frac{3}{4}}$.",
    "level": "Level 2",
    "type": "Algebra",
}


def test_every_gold_solution_is_right_for_its_item_and_wrong_for_the_next():
    """Two neighbours are equal in value and only written differently: "5" and "x=5", "-1" and "y = -1"."""
    folder = real("MATH")
    items = [i for part in ("test", "train") for i in Math.load(path=folder / f"{part}.jsonl").all_items]
    assert len(items) == 499 + 552
    said = [extract_expression(i.solution) or "" for i in items]
    assert [i.id for i, answer in zip(items, said, strict=True) if compare(i.gold, answer) != "equal"] == []

    def value(text):
        return re.sub(r"^[xy]\s*=\s*", "", text)

    for answer, after in zip(said, [*items[1:], items[0]], strict=True):
        assert (compare(after.gold, answer) == "equal") == (value(answer) == value(after.gold)), (answer, after.gold)


def test_519_training_problems_are_sampled_and_the_test_file_tests():
    task = Math.load(data=real("MATH").parent)
    # 15% of 519 are 77
    assert sizes(task) == {"train": 442, "validation": 77, "test": 499}
    assert_disjoint(task)
    assert not {i.problem for i in task.items("train")} & {i.problem for i in task.items("test")}


def test_the_original_folders_are_read(tmp_path):
    for part, subject, name in (("train", "algebra", "1"), ("train", "geometry", "1"), ("test", "algebra", "1")):
        path = tmp_path / "benchmarks" / "MATH" / part / subject / f"{name}.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(ROW | {"type": subject.title()}, indent=2))
    task = Math.load(data=tmp_path)
    assert sizes(task) == {"train": 2, "validation": 0, "test": 1}
    assert {i.id for i in task.all_items} == {"train/Algebra/1/1", "train/Geometry/1/1", "test/Algebra/1/1"}
    assert task.all_items[0].level == 2


def test_a_named_folder_is_read(tmp_path):
    write(tmp_path / "train.jsonl", *[ROW] * 5)
    write(tmp_path / "test.jsonl", ROW)
    assert sizes(Math.load(path=tmp_path)) == {"train": 5, "validation": 0, "test": 1}


def test_a_solution_without_a_box_is_refused(tmp_path):
    path = write(tmp_path / "rows.jsonl", ROW, ROW | {"solution": "It is 3/4."})
    with pytest.raises(DataError, match=r"line 2: field solution has no \\boxed answer"):
        Math.load(path=path)


def test_answers_are_scored_by_value(tmp_path):
    task = Math.load(path=write(tmp_path / "rows.jsonl", ROW))
    (item,) = task.all_items
    answers = ("0.75", r"\frac{6}{8}", r"\frac{4}{3}", "9^{9^{9^{9}}}", None)
    right, same, wrong, hostile, none = score_all(task, [(item, a) for a in answers])
    assert (right.solved, same.solved, wrong.solved, hostile.solved, none.solved) == (True, True, False, False, False)
    assert none.feedback == "no expression in the answer"


def test_the_world_of_the_sample_is_right():
    task = Math.load(path=sample("math"))
    assert_world_is_right(task, task.items("test")[:8])
