"""`mar ui`: the page about a folder of training runs, without a gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mar.cli.serve import check_installed


def ui_command(
    runs: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder of runs, or one run.")] = Path("runs"),
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any that is free.")] = 8131,
) -> None:
    """Look at training runs in a browser: curves, tables, traces, reports, two runs side by side."""
    check_installed()
    from mar.serving.ui.alone import serve_runs

    serve_runs(runs, port)
