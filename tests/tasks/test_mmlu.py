"""MMLU and MMLU-Pro as mar loads them: layouts, splits, bad rows."""

import csv

import pytest

from mar.errors import DataError
from mar.tasks.mmlu import Mmlu
from mar.tasks.mmlu_pro import MmluPro
from tests.tasks.benchmarks import assert_disjoint, assert_world_is_right, real, sample, score_all, sizes, write

PRO = {"question_id": 1, "question": "Which?", "options": ["one", "two"], "answer": "B", "category": "law"}
HEADER = ["question", "choice0", "choice1", "choice2", "choice3", "answer"]


def table(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def test_dev_trains_and_a_sample_of_the_test_part_tests():
    task = Mmlu.load(data=real("MMLU").parent)
    # 285 questions of dev, of which 15% (42) validate, since there is no validation part; 80 batches of 16 test
    assert sizes(task) == {"train": 243, "validation": 42, "test": 1280}
    assert len({i.category for i in task.all_items}) == 57
    assert_disjoint(task)
    assert sizes(Mmlu.load(data=real("MMLU").parent, full_test=True))["test"] == 14_042


def test_mmlu_pro_is_split_within_each_category():
    task = MmluPro.load(data=real("mmlu_pro").parent)
    assert sizes(task) == {"train": 9640, "validation": 1196, "test": 1196}
    assert_disjoint(task)
    for category in {i.category for i in task.all_items}:
        of = [sum(i.category == category for i in task.items(s)) for s in ("train", "validation", "test")]
        assert of[1] == of[2] == sum(of) // 10


@pytest.mark.parametrize("header", [True, False])
def test_tables_are_read_with_and_without_a_header_and_with_letters_and_positions(tmp_path, header):
    head = [HEADER] if header else []
    for part in ("dev", "val", "test"):
        path = tmp_path / "MMLU" / "data" / part / f"high_school_law_{part}.csv"
        table(path, *head, [f"{part} 1?", "a", "b", "c", "d", "2"], [f'{part} "2", or?', "a", "b", "c", "d", "A"])
    task = Mmlu.load(data=tmp_path)
    assert sizes(task) == {"train": 2, "validation": 2, "test": 2}
    assert {(i.gold, i.category) for i in task.all_items} == {("C", "high_school_law"), ("A", "high_school_law")}
    query = task.query(task.items("train")[0])
    assert query.text == "dev 1?\nA. a\nB. b\nC. c\nD. d"
    assert query.answer_format.instruction.endswith("from A to D.")


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (["q", "a", "b", "A"], "4 cells"),
        (["q", "a", "b", "c", "d", "E"], "answer is 'E'"),
        (["q", "a", "b", "c", "d", "4"], "'4'"),
    ],
)
def test_a_bad_line_is_named_with_its_file_and_number(tmp_path, cells, says):
    path = tmp_path / "MMLU" / "data" / "dev" / "law_dev.csv"
    table(path, ["q", "a", "b", "c", "d", "A"], cells)
    with pytest.raises(DataError) as error:
        Mmlu.load(data=tmp_path)
    assert f"{path}, row 2: " in str(error.value)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"options": []}, "field options is no list of 1 to 10 texts"),
        ({"options": ["x"] * 11}, "field options is no list"),
        ({"answer": "C"}, "answer is 'C'; expected a letter from A to B"),
        ({"category": None}, "field category is None"),
        ({"question_id": 1}, "question_id 1 is given twice"),
    ],
)
def test_a_bad_row_of_mmlu_pro_is_named_with_its_file_and_number(tmp_path, change, says):
    path = write(tmp_path / "rows.jsonl", PRO, PRO | {"question_id": 2} | change)
    with pytest.raises(DataError) as error:
        MmluPro.load(path=path)
    assert f"{path}, line 2: " in str(error.value)
    assert says in str(error.value)


def test_parquet_is_read(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "MMLU-Pro" / "data" / "test-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([PRO, PRO | {"question_id": 2}]), path)
    assert len(MmluPro.load(data=tmp_path).all_items) == 2
    path.write_bytes(b"PAR1 nonsense")
    with pytest.raises(DataError, match="cannot be read"):
        MmluPro.load(data=tmp_path)


@pytest.mark.parametrize("kind", [Mmlu, MmluPro])
def test_letters_are_scored_and_the_world_of_the_sample_is_right(kind):
    task = kind.load(path=sample(kind.name))
    item = task.items("test")[0]
    right, none = score_all(task, [(item, item.gold), (item, None)])
    assert (right.solved, none.solved, none.feedback) == (True, False, "no option in the answer")
    assert_world_is_right(task, task.items("test"))
