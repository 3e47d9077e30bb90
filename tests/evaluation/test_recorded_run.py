"""`experiments/run_mmlu_pro.py --pool replay:TABLE`: the same run as on any pool, on answers that were recorded."""

import json
import runpy
import sys
from functools import partial
from pathlib import Path

import pytest

from mar.controllers.embeddings import HashEncoder
from mar.learning.settings import TrainSettings
from mar.pool.recording_table import RecordedAnswer, RecordingTable, write_table
from mar.tasks.mmlu_pro import MmluPro

SCRIPT = Path(__file__).resolve().parents[2] / "experiments" / "run_mmlu_pro.py"
FEW = ("--limit", "6", "--pool", "replay:t.jsonl.gz", "--out", "run")
MODELS = ("right", "wrong", "mute", "also right")


def make_table(path, **more):
    """`right` is right on every item, `wrong` on none, and `mute` never gives a letter."""
    task = MmluPro.load()
    answers = {}
    for item in task.all_items:
        other = "A" if item.gold != "A" else "B"
        said = dict(zip(MODELS, (item.gold, other, "", item.gold), strict=True))
        answers[task.query(item).id] = {m: RecordedAnswer(answer=a, **more) for m, a in said.items()}
    write_table(path, RecordingTable(name="four", models=dict.fromkeys(MODELS, ""), answers=answers, form="choice"))


@pytest.fixture
def script(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mar.evaluation.experiment.MiniLM", HashEncoder)
    monkeypatch.setattr("mar.evaluation.experiment.TrainSettings", partial(TrainSettings, updates=2, generations=1))

    def call(*argv):
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *argv])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return call


def rows_of(folder):
    results = json.loads((folder / "results.json").read_text())
    return results, {row["name"]: row for row in results["rows"]}


def test_controllers_are_trained_and_tested_on_recorded_answers(script, tmp_path):
    make_table(tmp_path / "t.jsonl.gz")
    code, out, err = script(*FEW, "--epochs", "1")
    assert code == 0, err
    assert "mmlu_pro, 6 test items (recorded answers)" in out
    results, rows = rows_of(tmp_path / "run")
    assert {name: rows[name]["accuracy"]["mean"] for name in MODELS} == dict(zip(MODELS, (1, 0, 0, 1), strict=True))
    # both right ones outvote the wrong one, and the mute one has no vote; of one LLM all answers would be the same
    assert rows["vote of the 3 best"]["accuracy"]["mean"] == 1
    assert not [name for name in rows if " x 3" in name]
    assert all(row["cost_usd_per_100"] is None and row["latency_p50_s"] is None for row in results["rows"])
    assert all(row["utility"]["mean"] == row["accuracy"]["mean"] for row in results["rows"])
    assert results["notes"]["pool"] == "replay, 4 models"
    assert results["notes"]["cost_rate"] == "0: costs were not recorded, utility is accuracy"
    assert results["notes"]["recorded answers"] == "table four, 40 items, graded as the task grades"
    assert "paid in this run" not in results["notes"]
    lines = (tmp_path / "run" / "episodes-test.jsonl").read_text().splitlines()
    plans = [json.loads(line)["plan"] for line in lines]
    assert {plan["mode"]["name"] for plan in plans if plan is not None} == {"Vote"}
    assert rows["sequential"]["accuracy"]["mean"] == 1  # it has found out who is right


def test_two_workers_leave_the_bytes_of_one_process(script, tmp_path):
    make_table(tmp_path / "t.jsonl.gz", cost_usd=0.25, latency_s=8.0)
    argv = ("--limit", "6", "--pool", "replay:t.jsonl.gz", "--epochs", "1", "--no-baselines")
    for out, where in (("alone", ()), ("spread", ("--workers", "2"))):
        code, _, err = script(*argv, "--out", out, *where)
        assert code == 0, err
    for name in ("checkpoint.safetensors", "sequential.safetensors", "state.safetensors", "episodes-test.jsonl"):
        assert (tmp_path / "spread" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes(), name


def test_recorded_costs_and_times_are_what_the_table_counts(script, tmp_path):
    make_table(tmp_path / "t.jsonl.gz", cost_usd=0.25, latency_s=8.0)
    code, _, err = script(*FEW, "--epochs", "0", "--cost_rate", "2")
    assert code == 0, err
    _, rows = rows_of(tmp_path / "run")
    assert (rows["right"]["cost_usd_per_100"], rows["right"]["latency_p50_s"]) == (25.0, 8.0)
    assert rows["right"]["utility"]["mean"] == pytest.approx(1 - 2 * 0.25)
    assert rows["vote of the 3 best"]["cost_usd_per_100"] == 75.0
    assert rows["vote of the 3 best"]["latency_p50_s"] == 8.0  # all at once


def test_a_dry_run_counts_what_would_be_replayed(script, tmp_path):
    make_table(tmp_path / "t.jsonl.gz")
    code, out, _ = script(*FEW, "--epochs", "1", "--dry_run")
    assert code == 0
    assert "on the replay pool; nothing has been run" in out


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("--pool", "replay:none.jsonl"), "none.jsonl"),
        (("--pool", "replay:broken.jsonl"), "broken.jsonl, line 1"),
        (("--pool", "replay:other.jsonl"), "no train item of mmlu_pro"),
        (("--cost_rate", "2"), "no cost of some answers of right, wrong, mute, also right"),
        (("--test_draws", "2"), "--test_draws is 2"),
        (("--num_rounds", "2"), "--num_rounds is 2"),
        (("--arrival_rate", "2/s"), "say nothing about load"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_replayed_ends_in_one_line_before_anything_runs(script, tmp_path, argv, says):
    make_table(tmp_path / "t.jsonl.gz")
    (tmp_path / "broken.jsonl").write_text("{\n")
    other = RecordingTable(
        name="o", models={"m": ""}, answers={"x/1": {"m": RecordedAnswer(answer="A")}}, form="choice"
    )
    write_table(tmp_path / "other.jsonl", other)
    code, out, err = script(*FEW, *argv)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert says in err
    assert not (tmp_path / "run").exists()
