"""Run folders: one process at a time, one file to resume from, and damage that is survived or named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mar.errors import CheckpointError, ConfigError, DataError
from mar.learning.rundir import RunDir, SavedParts, TrainingState, held
from tests.learning import toy

HOLDER = """
import sys
from pathlib import Path
from mar.learning.rundir import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


class Killed(BaseException):
    """Stands for a kill: nothing in mar handles it."""


def test_two_processes_on_one_folder_are_noticed_and_a_killed_one_leaves_no_lock(tmp_path):
    folder = tmp_path / "run"
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "held\n"
    with pytest.raises(ConfigError, match=r"another process is at work in .*run"), held(folder):
        pass
    other.send_signal(signal.SIGKILL)
    other.communicate()
    with held(folder):
        assert list(folder.iterdir()) == []  # not even a lock's file


def test_a_folder_that_nothing_was_written_to_is_not_left(tmp_path):
    with held(tmp_path / "run"):
        pass
    assert not (tmp_path / "run").exists()


def test_a_package_that_only_lies_on_the_path_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr("mar.learning.rundir.PACKAGES", ("torch", "never-installed"))
    RunDir.open(tmp_path, arguments={}, prompts="")
    versions = json.loads((tmp_path / "environment.json").read_text())["versions"]
    assert versions["torch"][0].isdigit()
    assert versions["never-installed"] == "not installed"


def test_a_file_that_a_killed_process_was_writing_is_cleared_away(tmp_path, monkeypatch):
    def killed(source, target):
        raise Killed

    run = RunDir.open(tmp_path, arguments={}, prompts="")
    monkeypatch.setattr(os, "replace", killed)
    monkeypatch.setattr(os, "unlink", lambda path: None)  # who is killed clears nothing away
    with pytest.raises(Killed):
        run.remember("cost_rate", 1.0)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.glob(".*")] != []
    with held(tmp_path):
        assert [p.name for p in tmp_path.glob(".*")] == []
        assert run.recall("cost_rate") is None


@pytest.mark.parametrize("tail", [b'{"step": 3, "lo', b"\xff\xfe", b"{"])
def test_half_a_line_of_metrics_costs_nothing_but_itself(tmp_path, tail):
    toy.train(tmp_path, epochs=1)
    path = tmp_path / "metrics.jsonl"
    before = path.read_bytes()
    path.write_bytes(before + tail)
    toy.train(tmp_path, epochs=1)
    assert path.read_bytes() == before


@pytest.mark.parametrize("line", ['{"loss": 1.0}', "[1]", "null", "\x00\x00", "{" * 5000])
def test_a_damaged_line_of_metrics_is_named_with_what_to_do(tmp_path, line):
    run = RunDir.open(tmp_path, arguments={}, prompts="")
    run.log(1, {"loss": 1.0})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(
        DataError, match=r"metrics\.jsonl, line 2: .*; expected metrics of an update; without this file"
    ):
        run.metrics()


@pytest.mark.parametrize("kept", [0, 7, 100, 0.5])
def test_a_state_cut_off_by_a_full_disk_is_named_with_what_to_do(tmp_path, kept):
    toy.train(tmp_path, epochs=1)
    state = tmp_path / "state.safetensors"
    content = state.read_bytes()
    state.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    with pytest.raises(CheckpointError, match=r"state\.safetensors: .*delete the file to train anew"):
        toy.train(tmp_path, epochs=1)
    state.unlink()
    toy.train(tmp_path, epochs=1)
    assert state.read_bytes() == content


def test_a_weight_that_a_disk_has_changed_is_not_trained_on(tmp_path):
    toy.train(tmp_path, epochs=1)
    state = tmp_path / "state.safetensors"
    content = bytearray(state.read_bytes())
    content[-1] ^= 1  # still a number, and of the same size
    state.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"state\.safetensors: it is not what was written; expected the state"):
        toy.train(tmp_path, epochs=1)


@pytest.mark.parametrize("line", ['{"step": "1"}', '{"step": null}', '{"step": 1, "epoch": []}', '{"step": true}'])
def test_metrics_that_are_no_numbers_are_named_before_a_run_goes_on(tmp_path, line):
    toy.train(tmp_path, epochs=1)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=r"metrics\.jsonl, line \d+: .*; expected metrics of an update"):
        toy.train(tmp_path, epochs=1)


def test_a_validation_without_its_epoch_stays(tmp_path):
    toy.train(tmp_path, epochs=1)
    line = '{"step": 1, "validation_utility": 0.5}\n'
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(line)
    toy.train(tmp_path, epochs=1)
    assert line in (tmp_path / "metrics.jsonl").read_text()


def test_a_fact_that_is_no_number_is_named(tmp_path):
    (tmp_path / "facts.json").write_text('{"cost_rate": "20"}')
    with pytest.raises(DataError, match=r"facts\.json: cost_rate.*; expected what the run found out"):
        RunDir.open(tmp_path, arguments={}, prompts="").recall("cost_rate")


@pytest.mark.parametrize("name", ["args.json", "facts.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]]", b"\xff", b"3", b"[" * 10_000])
def test_other_files_that_are_damaged_are_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises((ConfigError, DataError), match=name):
        RunDir.open(tmp_path, arguments={}, prompts="").recall("cost_rate")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_killed_around_its_last_write_ends_as_one_that_was_not(tmp_path, monkeypatch, moment):
    """The policy kept, and that training has ended, are known from the same moment on."""
    _, whole, _ = toy.train(tmp_path / "whole", epochs=2)
    save = RunDir.save_state

    def killed(self, state, parts):
        if state.stopped and moment == "before":
            raise Killed
        save(self, state, parts)
        if state.stopped:
            raise Killed

    monkeypatch.setattr(RunDir, "save_state", killed)
    with pytest.raises(Killed):
        toy.train(tmp_path / "killed", epochs=2)
    monkeypatch.undo()
    _, resumed, _ = toy.train(tmp_path / "killed", epochs=2)
    assert resumed == whole
    for name in ("state.safetensors", "metrics.jsonl"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_lines_of_a_segment_that_was_not_saved_are_dropped(tmp_path):
    run, parts = RunDir.open(tmp_path, arguments={}, prompts=""), SavedParts(modules={}, optimizers={})
    run.log(0, {"segment": 0})
    run.save_state(TrainingState(batch=1), parts)
    run.log(0, {"segment": 1})  # killed before the state was saved
    run.load_state(parts)
    assert [json.loads(line) for line in Path(tmp_path / "metrics.jsonl").read_text().splitlines()] == [
        {"step": 0, "segment": 0}
    ]
