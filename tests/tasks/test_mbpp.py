"""MBPP as mar loads it: splits, what a query shows, how answers are judged, and what a bad row says."""

import gzip
import json
from collections import Counter

import anyio
import pytest

from mar.errors import ConfigError, DataError
from mar.runtime.sandbox import Sandbox
from mar.tasks import sources
from mar.tasks.mbpp import Mbpp, PythonFunction, published_split
from tests.tasks import benchmarks

ROW = {
    "task_id": 601,
    "text": "Write a function to double a number.",
    "code": "def twice(x):\n    return 2 * x",
    "test_list": ["assert twice(2) == 4", "assert twice(3) == 6", "assert twice(0) == 0"],
    "test_setup_code": "",
}


@pytest.fixture(scope="module")
def real():
    return Mbpp.load(path=benchmarks.real("mbpp/mbpp.jsonl"))


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No data folder, no network: only the bundled sample is left."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


def write(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def load(tmp_path, *rows, **options):
    return Mbpp.load(path=write(tmp_path / "rows.jsonl", *rows), **options)


def score(task, item, answer):
    async def main():
        async with Sandbox(workers=1) as sandbox:
            return await task.score(item, answer, sandbox)

    return anyio.run(main)


# Splits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task_id", "split"),
    [
        (1, None),
        (10, None),
        (11, "test"),
        (510, "test"),
        (511, "validation"),
        (600, "validation"),
        (601, "train"),
        (974, "train"),
        (975, None),
    ],
)
def test_the_published_split_goes_by_task_id(task_id, split):
    assert published_split(task_id) == split


def test_the_real_file_has_the_published_sizes(real):
    # 11-510, 511-600 and 601-974 are 500, 90 and 374 ids
    assert Counter(item.split for item in real.all_items) == {"test": 500, "validation": 90, "train": 374}


def test_items_stand_by_ascending_task_id_whatever_the_files_order(tmp_path):
    task = load(tmp_path, *({**ROW, "task_id": n} for n in (700, 605, 611)))
    assert [item.id for item in task.items("train")] == ["605", "611", "700"]


def test_the_bundled_sample_has_all_splits(offline):
    task = Mbpp.load()
    assert {split: len(task.items(split)) for split in ("train", "validation", "test")} == {
        "train": 32,
        "validation": 12,
        "test": 24,
    }
    assert task.notes["data"] == "bundled sample (mbpp)"


# What a query shows -------------------------------------------------------------------------------------------


def test_a_query_shows_the_first_test_only(tmp_path):
    task = load(tmp_path, ROW)
    query = task.query(task.items("train")[0])
    assert query.shown_tests.tests == ("assert twice(2) == 4",)
    assert query.id == "mbpp/601"
    assert query.domain == "Code"  # what training knows; at test time the classifier decides
    assert task.notes["shown tests"] == "first"


def test_show_tests_all_shows_all_and_says_so(tmp_path):
    task = load(tmp_path, ROW, show_tests="all")
    assert task.query(task.items("train")[0]).shown_tests.tests == tuple(ROW["test_list"])
    assert task.notes["shown tests"] == "all"


def test_no_query_holds_the_reference(real):
    for item in real.all_items:
        query = real.query(item)
        assert item.code not in query.text
        assert query.shown_tests.tests == item.tests[:1]


def test_another_way_of_showing_tests_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"'none'.*first or all"):
        load(tmp_path, ROW, show_tests="none")


# Scoring ------------------------------------------------------------------------------------------------------


def test_an_answer_is_solved_when_it_passes_every_test(tmp_path):
    task = load(tmp_path, ROW)
    item = task.items("train")[0]
    right = score(task, item, "def twice(n):\n    return n + n")
    square = score(task, item, "def twice(x):\n    return x * x")  # 2 * 2 = 4 and 0 pass, 3 * 3 = 9 does not
    assert (right.value, right.solved) == (1.0, True)
    assert (square.value, square.solved, square.failure) == (0.0, False, None)
    assert square.feedback.startswith("failed")


def test_no_answer_scores_zero_and_says_why(tmp_path):
    task = load(tmp_path, ROW)
    nothing = score(task, task.items("train")[0], None)
    assert (nothing.value, nothing.solved, nothing.feedback) == (0.0, False, "no code in the answer")


def test_the_references_of_all_rows_with_a_setup_pass(real):
    rows = [item for item in real.all_items if item.setup]
    assert {item.id for item in rows} >= {"367", "927"}
    assert all(item.setup_after_code for item in rows if item.id in {"367", "927"})  # they build on the solution

    async def main():
        async with Sandbox() as sandbox:
            return {item.id: (await real.score(item, item.code, sandbox)).solved for item in rows}

    assert all(anyio.run(main).values())


def test_a_setup_that_the_code_needs_runs_before_it(tmp_path):
    row = {
        **ROW,
        "test_setup_code": "import math\nLIMIT = 10",
        "code": "START = LIMIT\ndef f(x):\n    return math.floor(x) + START",
        "test_list": ["assert f(1.5) == 11"],
    }
    task = load(tmp_path, row)
    (item,) = task.items("train")
    assert not item.setup_after_code
    assert score(task, item, item.code).solved


@pytest.mark.parametrize(
    "code",
    [
        "class Point:\n    def __init__(self, x):\n        self.x = x\ndef f(p):\n    return p.x",
        "from collections import namedtuple\nPoint = namedtuple('Point', 'x')\ndef f(p):\n    return p.x",
    ],
)
def test_a_setup_that_builds_on_the_code_runs_after_it(tmp_path, code):
    row = {**ROW, "test_setup_code": "p = Point(3)", "code": code, "test_list": ["assert f(p) == 3"]}
    task = load(tmp_path, row)
    (item,) = task.items("train")
    assert item.setup_after_code
    assert task.query(item).shown_tests.setup_after_code
    assert score(task, item, item.code).solved


def test_the_answer_format_reads_a_fenced_program():
    text = "Here:\n```python\ndef f():\n    return 1\n```\n"
    assert PythonFunction().extract(text) == "def f():\n    return 1"
    assert PythonFunction().equivalent("def f(): return 1", "def f():\n    return 1  # one")
    assert PythonFunction().extract("I do not know.") is None


def test_what_a_setup_that_runs_after_the_answer_needs_is_asked_for_as_well(real):
    item = next(i for i in real.all_items if i.id == "927")  # its setup builds a tree of the answer's class Node
    blocks = item.code.replace("\r", "").replace("\ndef ", "\n```\n```python\ndef ", 1)
    answer = real.query(item).answer_format.extract(f"```python\n{blocks}\n```")
    assert score(real, item, answer).solved


# Rows that cannot be used -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"task_id": "601"}, "task_id is '601'"),
        ({"task_id": True}, "task_id is True"),
        ({"text": ""}, "field text is ''"),
        ({"code": None}, "field code is None"),
        ({"code": "def f(:"}, "field code is no Python program"),
        ({"test_setup_code": "x ="}, "field test_setup_code is no Python program"),
        ({"test_setup_code": 3}, "field test_setup_code is no Python program"),
        ({"test_list": []}, "test_list holds no tests"),
        ({"test_list": "assert True"}, "test_list holds no tests"),
        ({"split": "dev"}, "split is 'dev'; expected train, validation, test"),
        ({"split": ["test"]}, "split is"),
    ],
)
def test_a_bad_row_is_named_with_its_file_and_number(tmp_path, change, says):
    with pytest.raises(DataError) as error:
        load(tmp_path, ROW, {**ROW, "task_id": 602, **change})
    assert str(tmp_path / "rows.jsonl") in str(error.value)
    assert "line 2" in str(error.value)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_task_given_twice_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"line 2: task_id 601 is given twice"):
        load(tmp_path, ROW, ROW)


# Where rows come from -----------------------------------------------------------------------------------------


def test_a_named_file_comes_before_the_data_folder(tmp_path):
    named = write(tmp_path / "named.jsonl", {**ROW, "text": "named"})
    write(tmp_path / "data" / "mbpp" / "mbpp.jsonl", {**ROW, "text": "folder"})
    task = Mbpp.load(path=named, data=tmp_path / "data")
    assert task.all_items[0].text == "named"
    assert task.notes["data"] == f"file {named}"


@pytest.mark.parametrize("within", ["benchmarks/mbpp/mbpp.jsonl", "mbpp/mbpp.jsonl", "mbpp.jsonl"])
def test_a_data_folder_comes_before_mar_data(tmp_path, monkeypatch, within):
    write(tmp_path / "a" / within, {**ROW, "text": "flag"})
    write(tmp_path / "b" / within, {**ROW, "text": "variable"})
    monkeypatch.setenv("MAR_DATA", str(tmp_path / "b"))
    assert Mbpp.load(data=tmp_path / "a").all_items[0].text == "flag"
    assert Mbpp.load().all_items[0].text == "variable"


def test_a_data_folder_without_the_benchmark_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"holds none of: benchmarks/mbpp/mbpp\.jsonl"):
        Mbpp.load(data=tmp_path)


def test_the_datasets_folder_comes_before_the_hub(offline, tmp_path, monkeypatch):
    write(tmp_path / "Datasets" / "mbpp.jsonl", {**ROW, "text": "here"})
    monkeypatch.setattr(sources, "hub_reachable", lambda: True)
    assert Mbpp.load().all_items[0].text == "here"


def test_the_hub_is_asked_when_there_is_no_file(offline, monkeypatch):
    asked = []

    def load_dataset(name, config):
        asked.append((name, config))
        return {"train": [{**ROW, "task_id": 700}], "test": [{**ROW, "task_id": 11}]}

    monkeypatch.setattr(sources, "hub_reachable", lambda: True)
    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    task = Mbpp.load()
    assert asked == [("google-research-datasets/mbpp", "full")]
    assert [item.id for item in task.all_items] == ["11", "700"]
    assert task.notes["data"] == "hub google-research-datasets/mbpp"


def test_a_hub_that_fails_halfway_leaves_the_sample_and_says_so(offline, monkeypatch):
    def load_dataset(name, config):
        raise ConnectionError("gone")

    monkeypatch.setattr(sources, "hub_reachable", lambda: True)
    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    assert Mbpp.load().notes["data"] == "bundled sample (mbpp, since the hub failed with ConnectionError)"


def test_gzipped_rows_and_a_json_list_are_read(tmp_path):
    packed = tmp_path / "rows.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps(ROW).encode()))
    listed = tmp_path / "rows.json"
    listed.write_text(json.dumps([ROW, {**ROW, "task_id": 602}], indent=2))
    assert len(Mbpp.load(path=packed).all_items) == 1
    assert len(Mbpp.load(path=listed).all_items) == 2
