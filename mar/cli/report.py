"""`mar report`: one page about several runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mar.terminal import Terminal


def report_command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders that benchmark scripts wrote.")],
    out: Annotated[
        Path, typer.Option("--out", help="The page. Its figures go into a folder of the same name beside it.")
    ] = Path("report.html"),
) -> None:
    """Write one self-contained HTML page about runs: accuracy, cost, behaviour, and episodes in full."""
    from mar.evaluation.report.page import write_report  # slow to import, and no other command needs it

    page, *pictures = write_report(runs, out)
    beside = f" and {len(pictures)} figures in {escape(str(out.with_suffix('')))}" if pictures else ""
    Terminal().print(f"Wrote {escape(str(page))}{beside}.", highlight=False, soft_wrap=True)
