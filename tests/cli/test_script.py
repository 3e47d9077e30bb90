"""How a script ends: 0, 2 with one line for what the caller gave, 1 for what failed, 130 for an interrupt."""

import pytest
import typer

from mar.cli.main import app
from mar.cli.script import run_app, run_script
from mar.errors import (
    BadKey,
    CheckpointError,
    ConfigError,
    DataError,
    InternalError,
    LimitReached,
    SandboxUnavailable,
)


def ended(error=None):
    def main():
        if error is not None:
            raise error

    with pytest.raises(SystemExit) as exit_:
        run_script(main)
    return exit_.value.code


def test_a_script_that_returns_ends_with_status_0():
    assert ended() == 0


@pytest.mark.parametrize("kind", [ConfigError, DataError, CheckpointError])
def test_what_the_caller_gave_wrongly_ends_with_status_2_and_one_line(kind, capsys):
    assert ended(kind("pool.toml:\n  models[0]\tis wrong")) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "error: pool.toml: models[0] is wrong\n")


@pytest.mark.parametrize("kind", [BadKey, LimitReached, SandboxUnavailable, InternalError])
def test_what_failed_otherwise_ends_with_status_1_and_one_line(kind, capsys):
    assert ended(kind("no luck")) == 1
    assert capsys.readouterr().err == "error: no luck\n"


def test_an_interrupt_ends_as_shells_expect():
    assert ended(KeyboardInterrupt()) == 130


def test_a_fault_of_the_program_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run_script(lambda: 1 / 0)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(2, "No such file or directory", "/no/such"), "error: /no/such: No such file or directory\n"),
        (OSError(36, "File name too long", "x" * 5000), f"error: {'x' * 200}…: File name too long\n"),
        (OSError(28, "No space left on device"), "error: No space left on device\n"),
    ],
)
def test_a_path_that_cannot_be_used_is_one_line(error, said, capsys):
    assert ended(error) == 2
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("nosuch",), "'nosuch'"),
        (("ask",), "'query'"),
        (("ask", "--nosuch"), "--nosuch"),
        (("ask", "q", "--max-usd", "-1"), "'--max-usd'"),
        (("ask", "q", "--max-usd", "nan"), "'--max-usd'"),
        (("ask", "q", "--max-usd", "inf"), "inf is no finite number"),
        (("ask", "q", "--cost-rate", "much"), "'--cost-rate'"),
        (("loadtest", "--budget", "inf"), "inf is no finite number"),
        (("loadtest", "-n", "9" * 30), "'--queries'"),
        (("cache", "stats", "--path", "x" * 5000), "File name too long"),
        (("ask", "q", "--pool", "x" * 5000), "File name too long"),
        (("report", "x" * 5000), "File name too long"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(argv, said, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["mar", *argv])
    with pytest.raises(SystemExit) as exit_:
        run_app(app)
    printed = capsys.readouterr()
    assert (exit_.value.code, printed.out, printed.err.count("\n")) == (2, "", 1), printed.err
    assert printed.err.startswith("error: ")
    assert said in printed.err


def test_no_words_at_all_show_the_help(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["mar", "cache"])
    with pytest.raises(SystemExit) as exit_:
        run_app(app)
    assert exit_.value.code == 2
    assert "stats" in capsys.readouterr().out


@pytest.mark.parametrize(("end", "status"), [(typer.Exit(1), 1), (typer.Abort(), 1), (None, 0)])
def test_a_command_that_ends_by_itself_keeps_its_status(end, status, monkeypatch):
    one = typer.Typer()

    @one.command()
    def command() -> None:
        if end is not None:
            raise end

    monkeypatch.setattr("sys.argv", ["mar"])
    with pytest.raises(SystemExit) as exit_:
        run_app(one)
    assert exit_.value.code == status
