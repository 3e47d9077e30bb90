"""`mar routereval`: compare routers, make router datasets, fit a router and keep it as a controller."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from mar.cli.script import add_script
from mar.errors import ConfigError

COMPARE = (
    "Compare routers on tables of recorded outcomes (RouterEval); `build` makes router datasets, `fit` a controller."
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_script(app, "routereval", routereval, help=COMPARE)


def routereval(argv: Sequence[str]) -> None:
    """Run `mar routereval` with these words.

    Raises:
        UserError: An option, a table or a router cannot be used.
    """
    # Only this command needs scikit-learn and PyTorch, whose import would make every other one wait.
    from mar.evaluation.options import parse_options
    from mar.evaluation.routereval import keep, run

    word, rest = (argv[0], argv[1:]) if argv and not argv[0].startswith("-") else ("compare", argv)
    if word == "build":
        about = "Make router datasets in RouterEval's published form from tables or leaderboard files."
        building = parse_options(keep.BuildOptions, rest, description=about, program="mar routereval build")
        for path in keep.build_datasets(building):
            typer.echo(str(path))
    elif word == "fit":
        about = "Fit one router on a table and write a checkpoint that mar.load_controller and --router take."
        fitting = parse_options(keep.FitOptions, rest, description=about, program="mar routereval fit")
        typer.echo(str(keep.fit_controller(fitting)))
    elif word == "compare":
        page = run.run_routing(parse_options(run.RoutingOptions, rest, description=COMPARE, program="mar routereval"))
        typer.echo(page.read_text(encoding="utf-8"))
        typer.echo(f"{page} (also results.csv and routers.png beside it)", err=True)
    else:
        raise ConfigError(f"mar routereval has no {word!r}; expected options, or build or fit")
