"""`mar probe`: what a model that nobody tried is worth, by a few telling questions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mar.cli.options import PoolOption
from mar.cli.script import finite


def probe_command(
    model: Annotated[str, typer.Argument(help="The model's name in the pool.")],
    table: Annotated[
        str, typer.Option(help="What others scored on the questions: calls.csv of mar route, or another table.")
    ],
    rows: Annotated[
        str, typer.Option(help="The questions, by the table's ids: JSONL rows, a task's TOML file, or a benchmark.")
    ],
    pool: PoolOption = "auto",
    questions: Annotated[int, typer.Option(min=1, help="How many are asked.")] = 40,
    max_cost: Annotated[
        float | None,
        typer.Option(min=0.0, callback=finite, help="USD that asking may cost, to the last call."),
    ] = None,
    router: Annotated[
        Path | None, typer.Option(help="Sequential controller that the model is to enter; written beside --out.")
    ] = None,
    request_timeout: Annotated[
        float | None, typer.Option(min=0.0, callback=finite, help="Seconds for a call; default: the card's.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what asking would cost, and ask nothing.")] = False,
    out: Annotated[Path, typer.Option(help="File of the result (.json).")] = Path("probe.json"),
) -> None:
    """Ask a new model a few questions that tell the most, and estimate what it is worth on all."""
    # Only this command needs NumPy and PyTorch, whose import would make every other one wait.
    from mar.controllers.embeddings import named_encoder
    from mar.evaluation.probe import ProbeOptions, run_probe
    from mar.learning.progress import Progress

    options = ProbeOptions(
        model=model,
        table=table,
        rows=rows,
        pool=pool,
        out=out,
        router=router,
        questions=questions,
        max_cost=max_cost,
        request_timeout=request_timeout,
        dry_run=dry_run,
    )
    run_probe(options, named_encoder(None), Progress())
