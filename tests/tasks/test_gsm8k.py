"""GSM8K as mar loads it: splits, gold numbers, bad rows, and every gold solution scored."""

import pytest

from mar.errors import DataError
from mar.tasks.gsm8k import Gsm8k, wrong_numbers
from mar.tasks.scoring.formats import Number
from mar.tasks.scoring.numbers import same_number
from tests.tasks.benchmarks import assert_disjoint, assert_world_is_right, real, sample, score_all, sizes, write

ROW = {"question": "What is 2 + 3?", "answer": "It is 2+3=<<2+3=5>>5.\n#### 5"}


@pytest.mark.parametrize("part", ["train", "test"])
def test_every_gold_solution_is_right_for_its_item_and_wrong_for_the_next(part):
    items = Gsm8k.load(path=real(f"gsm8k/{part}.jsonl")).all_items
    assert len(items) == {"train": 7473, "test": 1319}[part]
    said = [Number().extract(item.solution) for item in items]
    assert all(same_number(answer or "", item.gold) for answer, item in zip(said, items, strict=True))
    for answer, item, after in zip(said, items, [*items[1:], items[0]], strict=True):
        assert same_number(answer or "", after.gold) == (item.gold == after.gold)


def test_one_file_is_split_20_to_80_as_published():
    task = Gsm8k.load(data=real("gsm8k").parent)
    # 20% of 1,319 are 263, of which 15% (39) validate
    assert sizes(task) == {"train": 224, "validation": 39, "test": 1056}
    assert_disjoint(task)


def test_its_own_training_part_is_an_option():
    task = Gsm8k.load(data=real("gsm8k").parent, own_train=True)
    assert sizes(task) == {"train": 6353, "validation": 1120, "test": 1319}
    assert_disjoint(task)
    assert not {i.question for i in task.items("train")} & {i.question for i in task.items("test")}


def test_its_own_training_part_must_be_there(tmp_path):
    with pytest.raises(DataError, match="no training part"):
        Gsm8k.load(path=write(tmp_path / "gsm8k.jsonl", ROW), own_train=True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"question": ""}, "field question is ''"),
        ({"answer": "5"}, "does not end in ####"),
        ({"answer": 5}, "answer is 5"),
    ],
)
def test_a_bad_row_is_named_with_its_file_and_number(tmp_path, change, says):
    path = write(tmp_path / "rows.jsonl", ROW, ROW | change)
    with pytest.raises(DataError) as error:
        Gsm8k.load(path=path)
    assert f"{path}, line 2: " in str(error.value)
    assert says in str(error.value)


def test_answers_are_scored_by_value(tmp_path):
    task = Gsm8k.load(path=write(tmp_path / "rows.jsonl", ROW))
    (item,) = task.all_items
    right, wrong, none = score_all(task, [(item, "5.0"), (item, "6"), (item, None)])
    assert (right.solved, wrong.solved, none.solved) == (True, False, False)
    assert none.feedback == "no number in the answer"
    assert "5" not in wrong.feedback


def test_wrong_numbers_begin_with_earlier_steps(tmp_path):
    row = {"question": "?", "answer": "4*3=<<4*3=12>>12\n12+8=<<12+8=20>>20\n#### 20"}
    (item,) = Gsm8k.load(path=write(tmp_path / "rows.jsonl", row)).all_items
    assert wrong_numbers(item) == ("12", "40", "21", "19")  # the step before; twice; one more; one less


def test_the_world_of_the_sample_is_right():
    task = Gsm8k.load(path=sample("gsm8k"))
    assert_world_is_right(task, task.items("test")[:8])
