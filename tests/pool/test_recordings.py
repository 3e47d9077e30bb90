import gzip
import json

import pytest

from mar.errors import DataError
from mar.pool import load_mmlu_pro, load_routerbench, mmlu_pro_recordings, routerbench_recordings
from mar.pool.replay import RecordingKey
from tests.machine import DATA

OUTCOMES = DATA / "outcomes"
needs_data = pytest.mark.skipif(not OUTCOMES.exists(), reason="the recordings are not on this machine (MAR_DATA)")

ROW = {
    "sample_id": "s1",
    "split": "train",
    "prompt": "p",
    "models": {"a": {"response": "x", "score": 1.0, "cost_usd": 0.5}},
}


def write(path, *rows):
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def test_a_row_becomes_an_item_with_recordings(tmp_path):
    (item,) = load_routerbench(write(tmp_path / "r.jsonl.gz", ROW))
    assert (item.id, item.split, item.prompt) == ("s1", "train", "p")
    recording = routerbench_recordings([item])[RecordingKey(item="s1", model="a")]
    assert (recording.text, recording.score, recording.cost_usd, recording.latency_s) == ("x", 1.0, 0.5, None)


@pytest.mark.parametrize(
    "change",
    [{"split": "dev"}, {"extra": 1}, {"models": {"a": {"response": "x", "score": 2, "cost_usd": 0}}}, {"prompt": None}],
)
def test_a_wrong_row_is_named_by_its_line(tmp_path, change):
    with pytest.raises(DataError, match=r"r\.jsonl\.gz, line 2: "):
        load_routerbench(write(tmp_path / "r.jsonl.gz", ROW, ROW | change))


def test_a_file_that_is_missing_or_no_gzip_is_an_error(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        load_routerbench(tmp_path / "none.jsonl.gz")
    (tmp_path / "bad.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(DataError, match="cannot be read"):
        load_routerbench(tmp_path / "bad.jsonl.gz")


def test_a_filled_in_letter_is_not_taken_for_an_answer(tmp_path):
    rows = [
        {"question_id": 1, "pred": "G", "text": "the answer is (G)."},
        {"question_id": 2, "pred": "G", "text": "no idea"},
        {"question_id": 3, "pred": "", "text": "no idea"},
        {"question_id": 4, "pred": "B", "text": "it must be B"},
    ]
    answers = load_mmlu_pro(write(tmp_path / "Some-LLM.jsonl.gz", *rows))
    assert [(a.letter, a.filled) for a in answers] == [("G", False), (None, True), (None, False), ("B", False)]
    scores = mmlu_pro_recordings(answers, gold={1: "G", 2: "G", 3: "A", 4: "C"})
    assert [scores[RecordingKey(item=f"mmlu_pro/{n}", model="Some-LLM")].score for n in (1, 2, 3, 4)] == [1, 0, 0, 0]


@needs_data
def test_the_published_routerbench_file_reads_whole():
    items = load_routerbench(OUTCOMES / "routerbench_mbpp" / "mbpp.jsonl.gz")
    assert len(items) == len({i.id for i in items}) == 427
    assert sum(i.split == "train" for i in items) == 299
    assert len(routerbench_recordings(items)) == 427 * 11


@needs_data
def test_published_mmlu_pro_outputs_show_their_filled_letters():
    answers = load_mmlu_pro(OUTCOMES / "mmlu_pro" / "responses" / "mathstral-7B.jsonl.gz")
    assert (len(answers), sum(a.filled for a in answers)) == (12032, 243)
