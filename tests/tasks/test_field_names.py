"""Published files that call their fields, parts and options otherwise; fields that contradict each other."""

import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mar.errors import DataError
from mar.tasks.gsm8k import Gsm8k
from mar.tasks.math import Math
from mar.tasks.mbpp import Mbpp
from mar.tasks.mmlu import Mmlu
from mar.tasks.mmlu_pro import MmluPro
from tests.tasks.benchmarks import write

QUESTION = {"question": "Which is a planet?", "subject": "astronomy"}
OPTIONS = ["Sun", "Venus", "Moon", "Ceres"]
MBPP = {"task_id": 601, "code": "def f(x):\n    return x", "test_list": ["assert f(1) == 1"]}
MATH = {"problem": "1 + 1?", "solution": r"It is \\boxed{2}.".replace("\\\\", "\\")}
GSM8K = {"question": "How much is left?", "answer": "He owes 3.\n#### 3"}


@pytest.mark.parametrize(
    "row",
    [
        {"choices": OPTIONS, "answer": 1},
        {"options": OPTIONS, "answer": "B"},
        {"choices": OPTIONS, "answer": "1"},
        {"A": "Sun", "B": "Venus", "C": "Moon", "D": "Ceres", "answer": "b"},
        {"choices": OPTIONS, "answer": "B", "answer_index": 1},
        {"choices": OPTIONS, "label": 1},
    ],
)
def test_options_and_answers_of_mmlu_go_by_several_names(tmp_path, row):
    (item,) = Mmlu.load(path=write(tmp_path / "rows.jsonl", QUESTION | row)).all_items
    assert (item.options, item.gold) == (tuple(OPTIONS), "B")


@pytest.mark.parametrize(
    ("lines", "gold"),
    [
        ("question,A,B,C,D,answer\nWhich?,Sun,Venus,Moon,Ceres,B\n", "B"),
        ("Question,choice0,choice1,choice2,choice3,Answer\nWhich?,Sun,Venus,Moon,Ceres,1\n", "B"),
        ("answer,subject,question,option_a,option_b,option_c,option_d\nB,astronomy,Which?,Sun,Venus,Moon,Ceres\n", "B"),
        ("Which?,Sun,Venus,Moon,Ceres,B\n", "B"),  # without a header, as published
    ],
)
def test_a_header_of_mmlu_says_which_column_is_which(tmp_path, lines, gold):
    path = tmp_path / "astronomy_test.csv"
    path.write_text(lines, encoding="utf-8")
    (item,) = Mmlu.load(path=path).all_items
    assert (item.question, item.options, item.gold) == ("Which?", tuple(OPTIONS), gold)


def test_the_sanitized_mbpp_has_prompts_and_imports(tmp_path):
    row = MBPP | {"prompt": "Give x back.", "test_imports": ["import math"], "source_file": "x.ipynb"}
    (item,) = Mbpp.load(path=write(tmp_path / "sanitized-mbpp.jsonl", row)).all_items
    assert (item.text, item.setup) == ("Give x back.", "import math")


def test_parts_of_a_parquet_data_set_are_known_by_their_names(tmp_path):
    for part, count in (("train", 2), ("test", 3)):
        rows = [GSM8K | {"question": f"{part} {n}?"} for n in range(count)]
        (tmp_path / "gsm8k").mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "gsm8k" / f"{part}-00000-of-00001.parquet")
    task = Gsm8k.load(data=tmp_path, own_train=True)
    assert [i.id for i in task.items("test")] == ["test-1", "test-2", "test-3"]
    assert len(Gsm8k.load(path=tmp_path / "gsm8k" / "test-00000-of-00001.parquet").all_items) == 3


def test_a_debt_stays_one(tmp_path):
    row = GSM8K | {"answer": "He owes 3.\n#### -\\$3"}
    (item,) = Gsm8k.load(path=write(tmp_path / "rows.jsonl", row)).all_items
    assert item.gold == "-3"


@pytest.mark.parametrize(
    ("load", "good", "bad", "says"),
    [
        (
            Mmlu.load,
            QUESTION | {"choices": OPTIONS, "answer": "B"},
            {"answer_index": 2},
            "fields answer and answer_index contradict each other: 'B', 2",
        ),
        (
            MmluPro.load,
            {"question_id": 1, "question": "Which?", "category": "a", "options": OPTIONS, "answer": "B"},
            {"question_id": 2, "answer_index": 0},
            "fields answer and answer_index contradict each other: 'B', 0",
        ),
        (
            Mbpp.load,
            MBPP | {"text": "Give x back."},
            {"task_id": 602, "prompt": "Give y back."},
            "fields text and prompt contradict each other: 'Give x back.', 'Give y back.'",
        ),
        (Math.load, MATH | {"id": "a"}, {"id": "b", "answer": "3"}, "field answer is '3', which contradicts"),
        (
            Gsm8k.load,
            GSM8K | {"id": "a"},
            {"id": "b", "final_answer": 4},
            "the final answer 4 contradicts field answer",
        ),
    ],
)
def test_fields_that_contradict_each_other_are_named_with_their_line(tmp_path, load, good, bad, says):
    path = write(tmp_path / "rows.jsonl", good, good | bad)
    with pytest.raises(DataError, match=re.escape(f"{path}, line 2: {says}")):
        load(path=path)
