"""Tables made from published recordings: which items, which answers, whose score."""

import gzip
import json
from pathlib import Path

import pytest

from mar.errors import DataError
from mar.evaluation.recording_tables import (
    RECORDING_TABLES,
    called_name,
    mmlu_pro_letters,
    mmlu_pro_texts,
    model7,
    renamed,
    routerbench_mbpp,
)
from mar.evaluation.routereval.recorded import MODEL7_PARTS
from mar.pool.recording_table import RecordedAnswer

DOUBLE = {
    "task_id": 601,
    "text": "Write a function to double a number.",
    "code": "def twice(x):\n    return 2 * x",
    "test_list": ["assert twice(2) == 4"],
}


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def data(tmp_path):
    """Two questions of MMLU-Pro, one task of MBPP, three of GSM8K, and what was recorded of them."""
    questions = [
        {"question_id": n, "question": f"q{n}", "options": ["x", "y"], "answer": "B", "category": "c"} for n in (70, 71)
    ]
    write(tmp_path / "benchmarks/mmlu_pro/test.jsonl.gz", lines(*questions))
    outcomes = tmp_path / "outcomes"
    write(outcomes / "mmlu_pro/predictions.csv.gz", "question_id,m,n\n70,B,A\n71,,B\n")
    write(outcomes / "mmlu_pro/response_chars.csv.gz", "question_id,m,n\n70,12,340\n71,5,6\n")
    said = [{"question_id": 70, "pred": "B", "text": "The answer is (B)."}]
    write(outcomes / "mmlu_pro/responses/m.jsonl.gz", lines(*said))
    write(tmp_path / "benchmarks/mbpp/mbpp.jsonl", lines(DOUBLE))
    programs = {
        "one": {"response": "```python\ndef double(n):\n    return n * 2\n```", "score": 1.0, "cost_usd": 0.5},
        "two": {"response": "I cannot.", "score": 0.0, "cost_usd": 0.25},
    }
    rows = [
        {"sample_id": "s1", "split": "train", "prompt": DOUBLE["text"], "models": programs},
        {"sample_id": "s2", "split": "test", "prompt": "Another text.", "models": programs},
    ]
    write(outcomes / "routerbench_mbpp/mbpp.jsonl.gz", lines(*rows))
    sums = [{"question": f"What is {n} and {n}?", "answer": f"It is\n#### {2 * n}"} for n in (1, 2, 3)]
    write(tmp_path / "benchmarks/gsm8k/test.jsonl", lines(*sums))
    for part in MODEL7_PARTS:
        for split in ("train", "test"):
            rows = [{"question": f"{part} {split}?", "scores": {"p": 1.0, "q": 0.0}}]
            if (part, split) == ("gsm8k", "test"):
                rows = [{"question": "What  is 2 and 2?", "scores": {"p": 0.7, "q": 0.1}}]
            write(outcomes / f"model7/{part}_{split}.jsonl.gz", lines(*rows))
    return tmp_path


def test_letters_of_mmlu_pro_keep_what_could_not_be_read_and_how_long_replies_were(data):
    table = mmlu_pro_letters(data)
    assert (table.form, table.graded_by, tuple(table.models)) == ("choice", "task", ("m", "n"))
    assert table.answers == {
        "mmlu_pro/70": {"m": RecordedAnswer(answer="B", chars=12), "n": RecordedAnswer(answer="A", chars=340)},
        "mmlu_pro/71": {"m": RecordedAnswer(answer="", chars=5), "n": RecordedAnswer(answer="B", chars=6)},
    }


@pytest.mark.parametrize(
    "chars", ["question_id,m,k\n70,1,1\n71,1,1\n", "question_id,m,n\n70,1,1\n", "question_id,m,n\n70,1,1\n71,1,x\n"]
)
def test_lengths_of_other_replies_are_refused(data, chars):
    write(data / "outcomes/mmlu_pro/response_chars.csv.gz", chars)
    with pytest.raises(DataError, match=r"response_chars\.csv\.gz"):
        mmlu_pro_letters(data)


def test_texts_of_mmlu_pro_are_whole_replies(data):
    table = mmlu_pro_texts(data)
    assert table.answers == {"mmlu_pro/70": {"m": RecordedAnswer(answer="The answer is (B).")}}
    with pytest.raises(DataError, match="expected the replies of mmlu_pro_outputs"):
        mmlu_pro_texts(data / "outcomes")


def test_programs_get_the_name_that_tests_call_and_keep_the_publishers_score(data):
    table = routerbench_mbpp(data)
    assert table.graded_by == "publisher"
    assert table.answers == {
        "mbpp/601": {
            "one": RecordedAnswer(answer="```python\ndef twice(n):\n    return n * 2\n```", score=1.0, cost_usd=0.5),
            "two": RecordedAnswer(answer="I cannot.", score=0.0, cost_usd=0.25),
        }
    }


def test_scores_of_model7_are_found_by_the_questions_words(data):
    table = model7(data, "gsm8k")
    assert (table.graded_by, table.replies) == ("publisher", False)
    assert table.answers == {"gsm8k/test-2": {"p": RecordedAnswer(score=0.7), "q": RecordedAnswer(score=0.1)}}


def test_a_benchmark_with_none_of_the_questions_is_refused(data):
    write(data / "benchmarks/gsm8k/test.jsonl", lines({"question": "Else?", "answer": "#### 1"}))
    with pytest.raises(DataError, match="model7_gsm8k: no item"):
        model7(data, "gsm8k")


@pytest.mark.parametrize(
    ("test", "name"),
    [("assert f(1) == 2", "f"), ("assert set(g(1)) == {2}", "g"), ("assert 1 == 1", None)],
)
def test_what_a_test_calls_is_its_first_function_that_is_not_pythons(test, name):
    assert called_name(test) == name


@pytest.mark.parametrize(
    ("code", "name", "program"),
    [
        ("def a(n):\n    return a(n - 1)", "b", "def b(n):\n    return b(n - 1)"),
        ("def a(): pass\ndef c(): pass", "b", None),
        ("a = 1", "b", None),
        ("def a(:", "b", None),
        (None, "b", None),
        ("def a(): pass", None, None),
    ],
)
def test_only_a_single_function_is_renamed(code, name, program):
    assert renamed(code, name) == program


def test_every_table_of_the_documentation_can_be_made():
    text = (Path(__file__).resolve().parents[2] / "docs" / "recorded.md").read_text()
    assert all(f"`{name}`" in text for name in RECORDING_TABLES)
