"""Running something for a person: errors of theirs become one line and exit status 2."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import typer

from mar.errors import ConfigError, MarError, UserError
from mar.terminal import visible

MOST_PATH = 200  # characters of a path in a message
INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def run_script(main: Callable[[], object]) -> NoReturn:
    """Run a function and exit: 0 when it returns, 2 with one line when something given cannot be used."""
    try:
        main()
    except UserError as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        sys.exit(2)
    except MarError as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # whoever reads has seen enough, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to flush into it
        sys.exit(1)
    except OSError as error:  # of a file or folder that cannot be what it was given as: too long, full, forbidden
        if error.strerror is None:
            raise
        where = "" if error.filename is None else f"{_short(str(error.filename))}: "
        print(f"error: {visible(where)}{error.strerror}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    sys.exit(0)


def add_script(app: typer.Typer, name: str, run: Callable[[Sequence[str]], None], *, help: str) -> None:
    """Add a command whose words are read by the parser of the benchmark scripts, `--help` included."""

    def command(context: typer.Context) -> None:
        run(context.args)

    passed_on = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(name, help=help, add_help_option=False, context_settings=passed_on)(command)


def run_app(app: typer.Typer) -> NoReturn:
    """Run a command of several and exit as `run_script` does; a wrong command line is one line, too."""

    def main() -> None:
        try:
            status = app(standalone_mode=False)
        except typer.Abort:  # a question that was not answered
            sys.exit(1)
        except typer.TyperException as error:
            problem = error.format_message().rstrip(".")
            if not problem:  # no words at all: the help has been shown in their place
                sys.exit(2)
            raise ConfigError(f"{problem}; --help lists the options") from None
        if isinstance(status, int):
            sys.exit(status)

    run_script(main)


def finite(value: float | None) -> float | None:
    """A number of an option, for a callback.

    Raises:
        BadParameter: It is infinite.
    """
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no finite number")
    return value


def _short(path: str) -> str:
    return path if len(path) <= MOST_PATH else path[:MOST_PATH] + "…"


def _one_line(error: Exception) -> str:
    return visible(" ".join(str(error).split()))
