"""`mar route`: from one's own questions and models to cheaper answers."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from mar.cli.script import add_script

DESCRIPTION = (
    "Ask every model of a pool about your questions once, learn which questions which models are enough for, and say "
    "how much cheaper that is at equal accuracy."
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_script(app, "route", route, help=DESCRIPTION)


def route(argv: Sequence[str]) -> None:
    """Run `mar route` with these words.

    Raises:
        UserError: An option, a row or a table cannot be used.
    """
    # Only this command needs scikit-learn and PyTorch, whose import would make every other one wait.
    from mar.evaluation.options import parse_options
    from mar.evaluation.route.options import RouteOptions
    from mar.evaluation.route.run import run_route

    first = {"rows": argv[0]} if argv and not argv[0].startswith("-") else {}
    words = argv[1:] if first else argv
    run_route(parse_options(RouteOptions, words, description=DESCRIPTION, program="mar route [ROWS]", **first))
