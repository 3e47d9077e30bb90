"""Running something for a person: errors of theirs become one line and exit status 2."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import typer

from mar.errors import MarError, UserError
from mar.terminal import visible

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
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    sys.exit(0)


def add_script(app: typer.Typer, name: str, run: Callable[[Sequence[str]], None], *, help: str) -> None:
    """Add a command whose words are read by the parser of the benchmark scripts, `--help` included."""

    def command(context: typer.Context) -> None:
        run(context.args)

    passed_on = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(name, help=help, add_help_option=False, context_settings=passed_on)(command)


def _one_line(error: Exception) -> str:
    return visible(" ".join(str(error).split()))
