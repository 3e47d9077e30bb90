import json

import pytest
import typer
from typer.testing import CliRunner

from mar.cli.loadtest import loadtest_command
from mar.errors import ConfigError
from mar.learning.rundir import held

app = typer.Typer()
app.command()(loadtest_command)


def test_a_load_test_on_the_sample_leaves_tables_and_plots(tmp_path, monkeypatch):
    monkeypatch.delenv("MAR_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    options = ["-n", "6", "--rate", "60/min", "--policy", "single:llama-3.2-3b", "--policy", "least-loaded"]
    result = CliRunner().invoke(app, [*options, "--out", str(tmp_path / "out")], catch_exceptions=False)
    assert result.exit_code == 0
    assert "simulated" in result.output
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    assert [row["policy"] for row in rows] == ["single:llama-3.2-3b", "least-loaded"]
    assert all(row["n"] == 6 and row["rate_per_min"] == 60 for row in rows)
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {"goodput.png", "requests.csv", "results.md"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--budget", "0"], "--budget is 0; expected a positive number"),
        (["--rate", "fast"], "--arrival_rate is 'fast'"),
        (["--pattern", "wave"], "--pattern is 'wave'"),
        (["--task", "chess"], "no benchmark 'chess'"),
        (["--out", __file__], "cannot be a folder"),
    ],
)
def test_what_cannot_be_used_is_named(options, message):
    result = CliRunner().invoke(app, options)
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)


def test_a_folder_that_another_process_writes_to_is_refused_before_anything_is_asked(tmp_path):
    with held(tmp_path / "out"):
        result = CliRunner().invoke(app, ["--out", str(tmp_path / "out")])
    assert isinstance(result.exception, ConfigError)
    assert "another process is at work" in str(result.exception)


def test_an_interrupted_load_test_says_so_in_one_line_and_leaves_no_folder(tmp_path, monkeypatch, capsys):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("mar.clock.run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        loadtest_command(rate=["10/min"], out=tmp_path / "out")
    assert capsys.readouterr().err == "interrupted; no tables are written\n"
    assert not (tmp_path / "out").exists()
