import json

import pytest
import typer
from typer.testing import CliRunner

from mar.cli.loadtest import loadtest_command
from mar.errors import ConfigError
from mar.learning.rundir import held
from mar.pool import ModelCard, Pool
from mar.pool.scripted import scripted_pool
from tests.on_ray import on_ray

app = typer.Typer()
app.command()(loadtest_command)


def test_a_load_test_on_the_sample_leaves_tables_and_plots(tmp_path, monkeypatch):
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
    assert "sandbox: " in (tmp_path / "out" / "results.md").read_text()
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {"goodput.png", "requests.csv", "results.md"}


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Files of load tests that are done at a place."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    options = ["--task", "gsm8k", "-n", "12", "--rate", "60/min", "--rate", "200/min"]
    # Teams whose members begin at once and go where the queues are short: any other order would be another test.
    options += ["--policy", "mbpp+shortest-expected-delay", "--policy", "best-single"]

    def by(*where):
        out = tmp_path / "-".join(("out", *where))
        result = CliRunner().invoke(app, [*options, *where, "--out", str(out)], catch_exceptions=False)
        assert result.exit_code == 0
        return [(out / name).read_bytes() for name in ("requests.csv", "results.json", "results.md", "goodput.png")]

    return by


def test_workers_write_the_bytes_of_one_process(written):
    assert written("--workers", "1") == written("--workers", "2") == written()


@on_ray
def test_actors_write_the_bytes_of_one_process(written):
    assert written("--ray", "local", "--workers", "2") == written()


def test_tests_of_a_live_pool_are_not_spread(tmp_path, monkeypatch):
    monkeypatch.setattr("mar.pool.choose.configured_pool", lambda choice, **_: scripted_pool(lambda _: "", ("m",)))
    result = CliRunner().invoke(app, ["--workers", "2", "--out", str(tmp_path / "out")])
    assert isinstance(result.exception, ConfigError)
    assert "its servers would carry several tests at once" in str(result.exception)
    assert not (tmp_path / "out").exists()


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


def test_a_limit_counts_what_earlier_load_tests_into_the_same_folder_were_paid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    asked = 0

    def answer(request):
        nonlocal asked
        asked += 1
        return "def f(): pass"

    model = scripted_pool(answer, ("m",)).model
    card = ModelCard(name="m", price_in=0.0, price_out=1000.0, max_output_tokens=100)
    pool = Pool([card], model, kind="scripted", virtual_time=True)
    monkeypatch.setattr("mar.pool.choose.configured_pool", lambda choice, **_: pool)
    options = ["-n", "2", "--rate", "60/min", "--policy", "single:m", "--out", str(tmp_path / "out")]
    # A call reserves 0.1 USD and costs 0.003, so two fit into 0.105 and a third does not, in any process.
    CliRunner().invoke(app, [*options, "--max-cost", "0.105"], catch_exceptions=False)
    assert asked == 2
    CliRunner().invoke(app, [*options, "--max-cost", "0.105"], catch_exceptions=False)
    assert asked == 2
    (row,) = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    assert (row["n"], row["n_not_run"]) == (0, 2)
