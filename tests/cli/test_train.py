"""`mar train` on the example task, in this process with an encoder that needs no model."""

import json
import sys
from functools import partial

import pytest

from mar.cli.main import main
from mar.controllers.embeddings import HashEncoder
from mar.learning.settings import TrainSettings
from tests.tasks.benchmarks import CHECKOUT

TASK = str(CHECKOUT / "examples" / "my_task" / "task.toml")
TINY = ("--limit", "3", "--epochs", "1", "--no-baselines", "--cost_rate", "20")


@pytest.fixture
def mar(tmp_path, monkeypatch, capsys):
    """Calls the command in an empty folder; gives exit status, output and errors."""
    monkeypatch.setenv("MAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mar.evaluation.experiment.MiniLM", HashEncoder)
    monkeypatch.setattr("mar.evaluation.experiment.TrainSettings", partial(TrainSettings, updates=2, generations=1))

    def call(*argv):
        monkeypatch.setattr(sys, "argv", ["mar", *argv])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return call


def test_a_file_and_rows_are_enough_to_train_test_and_report(mar, tmp_path):
    code, out, err = mar("train", "--task", TASK, *TINY)
    assert code == 0, err
    assert "kitchen, 3 test items (simulated pool)" in out
    run = tmp_path / "runs" / "kitchen-seed0"
    results = json.loads((run / "results.json").read_text())
    assert results["notes"]["metric"] == "exact text"
    assert (results["rows"][0]["n"], results["rows"][0]["n_failed"]) == (3, 0)
    assert json.loads((run / "args.json").read_text())["task"] == TASK
    assert (run / "checkpoint.safetensors").is_file()


def test_help_lists_the_options_of_the_benchmark_scripts(mar):
    code, out, _ = mar("train", "--help")
    assert code == 0
    assert all(option in out for option in ("--task", "--pool", "--cost_rate", "--max_agent", "--dataset_json"))
    assert "--data " not in out


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (TINY, "--task is missing"),
        (("--task", "none.toml"), "none.toml cannot be read"),
        (("--task", "odd.toml"), "odd.toml: field rows: Field required"),
        (("--task", TASK, "--dataset_json", "odd.jsonl"), "odd.jsonl, line 1: field question is None"),
        (("--task", TASK, "--luck"), "--luck"),
    ],
)
def test_what_cannot_be_used_ends_in_one_line(mar, tmp_path, argv, says):
    (tmp_path / "odd.toml").write_text('name = "a"\ndomain = "Math"\n[grader]\nkind = "exact"\n')
    (tmp_path / "odd.jsonl").write_text('{"id": 1, "answer": "x"}\n')
    there = {p.name for p in tmp_path.iterdir()}
    code, out, err = mar("train", *argv)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert says in err
    assert {p.name for p in tmp_path.iterdir()} == there
