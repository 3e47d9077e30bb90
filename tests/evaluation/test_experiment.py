"""`experiments/run_mbpp.py` on the bundled sample: what it writes, that it resumes, and how it ends when asked wrongly.

Two calls are real processes; the rest run in this one with an encoder that needs no model.
"""

import csv
import json
import os
import runpy
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from matplotlib.image import imread
from safetensors import safe_open

from mar.controllers.embeddings import HashEncoder
from mar.evaluation.telemetry_csv import COLUMNS
from mar.learning.settings import TrainSettings

CHECKOUT = Path(__file__).resolve().parents[2]
SCRIPT = CHECKOUT / "experiments" / "run_mbpp.py"
TINY = ("--train_limit", "4", "--test_limit", "4", "--limit", "4", "--epochs", "1", "--no-baselines")
WRITTEN = {"args.json", "results.json", "results.md", "curves.png", "trade_off.png", "checkpoint.safetensors"}


class Ended:
    """How one call of the script went."""

    def __init__(self, code, out, err, seconds=0.0):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds


# As a process ----------------------------------------------------------------------------------------------------


def process(folder, *argv):
    env = os.environ | {"MAR_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *argv], cwd=folder, env=env, capture_output=True, text=True, timeout=300
    )
    return Ended(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a finished run of the script."""
    folder = tmp_path_factory.mktemp("experiment")
    argv = (*TINY, "--out", "run", "--result_file", "table.json", "--train-telemetry-csv", "telemetry.csv")
    return folder, argv, process(folder, *argv)


def test_a_run_ends_well_and_prints_a_table_that_says_simulated(finished):
    _, _, ended = finished
    assert ended.code == 0, ended.err
    assert "mbpp, 4 test items (simulated pool)" in ended.out
    assert "MasRouter" in ended.out
    assert "Traceback" not in ended.err
    picture, sentence = ended.out.splitlines()[-2:]
    assert picture == f"picture: {Path('run') / 'trade_off.png'}"
    assert sentence.startswith("No model was tested alone")  # without baselines


def test_a_run_writes_all_its_files(finished):
    folder, _, _ = finished
    run = folder / "run"
    assert {p.name for p in run.iterdir()} >= WRITTEN
    assert not [p for p in run.iterdir() if p.name.startswith(".")]  # nothing half-written
    for picture in ("curves.png", "trade_off.png"):
        assert imread(run / picture).size
    with safe_open(run / "checkpoint.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["mar"])["simulated"] is True
    assert (run / "results.md").read_text().startswith("### mbpp, 4 test items (simulated pool)")
    assert len((run / "episodes-test.jsonl").read_text().splitlines()) == 2 * 4  # of both controllers


def test_results_count_items_and_name_source_protocol_and_pool(finished):
    folder, _, _ = finished
    results = json.loads((folder / "run" / "results.json").read_text())
    assert results == json.loads((folder / "table.json").read_text())
    assert "(simulated pool)" in results["title"]
    notes = results["notes"]
    assert notes["data"] == "bundled sample (mbpp)"
    assert notes["shown tests"] == "first"
    assert notes["pool"].startswith("simulated")
    assert notes["arrivals"] == "closed loop"
    row = results["rows"][0]
    assert (row["name"], row["n"], row["n_failed"]) == ("MasRouter", 4, 0)
    assert row["cost_usd_per_100"] > 0
    assert row["latency_p95_s"] >= row["latency_p50_s"] > 0


def test_the_packaged_controller_stands_beside_on_what_it_was_trained_for(tmp_path):
    few = ("--limit", "2", "--epochs", "0", "--cost_rate", "20")
    assert process(tmp_path, *few, "--out", "a").code == 0
    names = [row["name"] for row in results_of(tmp_path / "a")["rows"]]
    assert names[:8] == [
        "MasRouter, untrained",
        "MasRouter, untrained, cost_rate x 0.1",
        "MasRouter, untrained, cost_rate x 10",
        "MasRouter, packaged (200 training items)",
        "sequential, from cards",
        "sequential, from cards, cost_rate x 0.1",
        "sequential, from cards, cost_rate x 10",
        "random plans",
    ]
    groups = {row["group"] for row in results_of(tmp_path / "a")["rows"]}
    assert "learned" not in groups
    assert process(tmp_path, *few, "--effects", "2", "--out", "b").code == 0
    assert not [row for row in results_of(tmp_path / "b")["rows"] if "packaged" in row["name"]]


def test_telemetry_has_the_published_columns_and_an_episode_per_item(finished):
    folder, _, _ = finished
    with (folder / "telemetry.csv").open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert tuple(reader.fieldnames) == COLUMNS
    assert sum(r["record_type"] == "episode" for r in rows) == 2 * 4  # of both controllers
    assert sum(r["record_type"] == "step" for r in rows) >= 4


def test_the_same_call_again_trains_nothing_and_finds_the_same(finished):
    folder, argv, first = finished
    before = (folder / "run" / "results.json").read_bytes()
    state = (folder / "run" / "state.safetensors").read_bytes()
    again = process(folder, *argv)
    assert again.code == 0, again.err
    assert (folder / "run" / "results.json").read_bytes() == before
    assert (folder / "run" / "state.safetensors").read_bytes() == state
    assert again.seconds < max(30.0, first.seconds)


# In this process -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Verdicts of the sandbox, which all runs share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def script(tmp_path, cache, monkeypatch, capsys):
    """Calls the script with an empty folder, no network and no encoder to load."""
    monkeypatch.setenv("MAR_CACHE", str(cache))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mar.evaluation.experiment.MiniLM", HashEncoder)
    # These runs are about files and not about learning well.
    monkeypatch.setattr("mar.evaluation.experiment.TrainSettings", partial(TrainSettings, updates=2, generations=1))

    def call(*argv):
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *argv])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        said = capsys.readouterr()
        return Ended(ended.value.code, said.out, said.err)

    return call


def results_of(folder):
    return json.loads((folder / "results.json").read_text())


def test_a_dry_run_says_what_a_run_would_take_and_runs_nothing(script, tmp_path):
    ended = script(*TINY, "--dry_run")
    assert ended.code == 0
    assert "nothing has been run" in ended.out
    assert all(phase in ended.out for phase in ("pilot", "questions for MasRouter", "plans to correct", "testing"))
    assert not (tmp_path / "runs").exists()


def test_a_run_that_may_cost_nothing_ends_well_with_everything_counted(script, tmp_path):
    ended = script(*TINY, "--max_cost", "0", "--out", "run")
    assert ended.code == 0, ended.err
    results = results_of(tmp_path / "run")
    assert "the run may cost 0 USD" in results["notes"]["cut short"]
    assert results["rows"] == []  # what was not run has no row
    assert results["notes"]["not run"] == "MasRouter, untrained, sequential, from cards"
    assert ended.out.splitlines()[-1].startswith("Nothing was learned")


def test_a_run_that_a_limit_cut_short_goes_on_with_a_higher_one(script, tmp_path):
    argv = (*TINY, "--cost_rate", "20", "--out", "run")
    assert script(*argv, "--max_cost", "0").code == 0
    ended = script(*argv, "--max_cost", "100")
    assert ended.code == 0, ended.err
    results = results_of(tmp_path / "run")
    assert "cut short" not in results["notes"]
    assert results["rows"][0]["n_failed"] == 0


def test_arrivals_change_latencies_and_stand_in_the_notes(script, tmp_path):
    argv = ("--train_limit", "0", "--epochs", "0", "--test_limit", "6", "--no-baselines", "--cost_rate", "20")
    assert script(*argv, "--out", "closed").code == 0
    # closed, all queries start at once and share the simulated servers; at one a minute each is alone
    rates = ("--arrival_rates", "1/min", "600/min", "--arrival_pattern", "constant", "--train_telemetry_csv", "t.csv")
    assert script(*argv, "--out", "rare", *rates).code == 0
    closed, rare = results_of(tmp_path / "closed"), results_of(tmp_path / "rare")
    assert rare["notes"]["arrivals"] == "1/min constant, 600/min constant"
    assert rare["rows"][1]["name"] == "MasRouter, untrained, 600/min constant"
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        episodes = [row for row in csv.DictReader(file) if row["record_type"] == "episode"]
    assert sorted({float(row["arrival_rate"]) for row in episodes}) == pytest.approx([1 / 60, 10.0])
    assert closed["rows"][0]["latency_p95_s"] != rare["rows"][0]["latency_p95_s"]
    assert closed["rows"][0]["accuracy"] == rare["rows"][0]["accuracy"]  # the same draws


def test_a_checkpoint_can_be_tested_without_training(script, tmp_path):
    assert script(*TINY, "--cost_rate", "20", "--out", "a", "--save_checkpoint", "kept.safetensors").code == 0
    argv = (*TINY, "--cost_rate", "20", "--epochs", "0", "--checkpoint", "kept.safetensors", "--out", "b")
    assert script(*argv).code == 0
    trained = [row for row in results_of(tmp_path / "a")["rows"] if row["name"] == "MasRouter"]
    assert trained == results_of(tmp_path / "b")["rows"]
    ended = script(*TINY, "--checkpoint", "kept.safetensors", "--max_cost", "0", "--out", "c")
    assert ended.code == 0, ended.err
    assert results_of(tmp_path / "c")["cost_rate"] == 20.0  # the checkpoint's own, since no pilot could be paid


def test_a_patience_that_ran_out_stays_run_out(script, tmp_path):
    argv = (
        "--limit",
        "2",
        "--epochs",
        "12",
        "--patience",
        "1",
        "--without",
        "imagination",
        "--no-baselines",
        "--cost_rate",
        "20",
        "--out",
        "run",
    )
    assert script(*argv).code == 0
    first, metrics = results_of(tmp_path / "run"), (tmp_path / "run" / "metrics.jsonl").read_text()
    assert "no better validation utility" in first["notes"]["training"]
    assert script(*argv).code == 0
    assert results_of(tmp_path / "run") == first
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == metrics


# What is asked wrongly -------------------------------------------------------------------------------------------


def refused(ended, *says):
    """One line on standard error that says all of this, exit status 2, nothing on standard output."""
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.count("\n") == 1, ended.err
    assert ended.err.startswith("error: ")
    assert all(part in ended.err for part in says), ended.err


CARD = '[[models]]\nname = "m"\nbase_url = "http://127.0.0.1:9/v1"\n'
FILES = {
    "broken.jsonl": '{"task_id": 601,\n',
    "untested.jsonl": '{"task_id": 601, "text": "t", "code": "x = 1", "test_list": []}\n',
    "broken.toml": "[[models]\n",
    "odd.toml": '[[models]]\nname = "m"\nbase_url = "http://127.0.0.1:9/v1"\nprise_in = 1\n',
    "unpriced.toml": CARD,
    "text.safetensors": "not a checkpoint",
}


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("--dataset_json", "none.jsonl"), ("none.jsonl", "expected a JSONL file")),
        (("--dataset_json", "broken.jsonl"), ("broken.jsonl, line 1", "expected a JSON object")),
        (("--dataset_json", "untested.jsonl"), ("untested.jsonl, line 1 (task_id 601)", "list of assertions")),
        (("--data", "empty"), ("empty", "mbpp/mbpp.jsonl")),
        (("--limit", "-1"), ("--limit", "greater than or equal to 0")),
        (("--nonsense",), ("--nonsense",)),
        (("--pool", "nosuch.toml"), ("--pool", "'nosuch.toml'", "expected auto, simulated")),
        (("--pool", "broken.toml"), ("broken.toml", "TOML")),
        (("--pool", "odd.toml"), ("odd.toml", "prise_in", "unknown field")),
        (("--pool", "unpriced.toml"), ("--cost_rate", "no price is known for m", "--cost_rate 0")),
        (("--checkpoint", "none.safetensors"), ("none.safetensors", "--save-checkpoint")),
        (("--checkpoint", "text.safetensors"), ("text.safetensors", "no checkpoint of a MasRouter")),
        (("--prompt_file", "none.txt"), ("none.txt",)),
        (("--without", "luck"), ("--without", "'luck'", "predicted_domain")),
        (("--arrival_rate", "often"), ("--arrival_rate", "'often'", "120/min")),
        (("--out", "text.safetensors"), ("--out", "text.safetensors")),
        (("--result_file", "empty"), ("--result_file", "empty")),
        (("--train_telemetry_csv", "text.safetensors/x.csv"), ("--train_telemetry_csv",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) and value[0].startswith("--") else "",
)
def test_what_cannot_be_used_ends_in_one_line_and_leaves_nothing_behind(script, tmp_path, argv, says):
    (tmp_path / "empty").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    there = {p.name for p in tmp_path.iterdir()}
    ended = script(*TINY, *argv)
    refused(ended, *says)
    assert {p.name for p in tmp_path.iterdir()} == there


def test_a_malformed_env_file_is_named_by_line_and_not_quoted(script, tmp_path):
    (tmp_path / ".env").write_text("URL=http://127.0.0.1:9/v1\n= sk-secret oops\n")
    ended = script(*TINY)
    refused(ended, ".env line 2", "NAME=value")
    assert "secret" not in ended.err


def test_a_run_folder_of_other_arguments_is_refused_and_left_as_it_is(script, tmp_path):
    argv = ("--train_limit", "0", "--epochs", "0", "--test_limit", "1", "--no-baselines", "--cost_rate", "20")
    assert script(*argv, "--out", "run").code == 0
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    ended = script(*argv, "--out", "run", "--seed", "1")
    refused(ended, "run holds a run with seed = 0, not 1", "another --out")
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before


def test_a_damaged_run_folder_is_refused(script, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "args.json").write_text("{")
    refused(script(*TINY, "--out", "run"), "args.json: ", "another --out")


def test_an_interrupt_says_how_to_go_on_and_ends_as_shells_expect(script, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("mar.evaluation.experiment.run_async", interrupt)
    ended = script(*TINY)
    assert ended.code == 130
    assert "The same command goes on from there" in ended.err
