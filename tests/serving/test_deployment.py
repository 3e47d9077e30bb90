"""What deploy/ holds is what it says: systemd takes the unit, and mar its command lines."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mar.cli.main import app
from mar.serving.observe.metrics import MULTIPROCESS, forget_dead_workers

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT, CONTAINER = DEPLOY / "mar.service", DEPLOY / "Containerfile"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not there")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path):
    text = UNIT.read_text().replace("/opt/mar/.venv/bin/mar", sys.executable)  # it looks whether the program is there
    (tmp_path / UNIT.name).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / UNIT.name)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (found.returncode, found.stderr) == (0, "")


def test_the_units_command_reads_its_settings_and_says_what_it_would_do(tmp_path):
    (tmp_path / "serve.toml").write_text('pool = "simulated"\nworkers = 2\n')
    line = re.search(r"^ExecStartPre=\S+ (.*)$", UNIT.read_text(), re.MULTILINE)[1]
    told = CliRunner().invoke(app, line.replace("/etc/mar", str(tmp_path)).split(), env={"MAR_CACHE": str(tmp_path)})
    assert told.exit_code == 0, told.output
    assert "on 2 worker(s)" in told.output


def test_the_container_is_refused_without_a_key_and_let_through_with_one(tmp_path):
    arguments = re.search(r"^CMD \[(\"serve.*)\]$", CONTAINER.read_text(), re.MULTILINE)[1].replace('"', "").split(", ")
    run, env = CliRunner(), {"MAR_CACHE": str(tmp_path)}
    told = run.invoke(app, [*arguments, "--pool", "simulated", "--check"], env=env)
    assert "make one (mar keys create)" in str(told.exception or told.output)
    assert run.invoke(app, ["keys", "create", "first"], env=env).exit_code == 0
    told = run.invoke(app, [*arguments, "--pool", "simulated", "--check"], env=env)
    assert "every request needs a key" in told.output


def test_how_things_stood_with_a_worker_that_is_no_more_is_left_out_of_figures(tmp_path, monkeypatch):
    monkeypatch.setenv(MULTIPROCESS, str(tmp_path))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    names = {pid: [f"gauge_livemax_{pid}.db", f"counter_{pid}.db"] for pid in (dead.pid, os.getpid())}
    for name in (name for of_one in names.values() for name in of_one):
        (tmp_path / name).touch()
    forget_dead_workers()
    assert {file.name for file in tmp_path.iterdir()} == {f"counter_{dead.pid}.db", *names[os.getpid()]}
