"""`mar batch`: a file of requests in the form of OpenAI's batches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mar.cli.options import PoolOption, RouterOption
from mar.cli.script import finite
from mar.cli.serve import check_installed


def batch_command(
    file: Annotated[Path, typer.Argument(help="Requests, one a line, as OpenAI's batches have them.")],
    out: Annotated[Path, typer.Option("--out", help="File of answers; the same command goes on where it was ended.")],
    pool: PoolOption = "auto",
    router: RouterOption = "cards",
    config: Annotated[
        Path | None, typer.Option("--config", help="A gateway's settings: further controllers, as mar/NAME.")
    ] = None,
    max_cost: Annotated[float | None, typer.Option(min=0.0, callback=finite, help="USD that the run may cost.")] = None,
    at_once: Annotated[int, typer.Option("--at-once", min=1, max=10_000, help="Requests under way.")] = 64,
) -> None:
    """Answer a file of requests for `mar`, `mar/NAME` or models by name; what was answered is not asked again."""
    check_installed()
    from mar import clock
    from mar.pool.choose import empty_pool
    from mar.serving import read_settings
    from mar.serving.app import load_controllers
    from mar.serving.batch import read_requests, run_batch

    lines = read_requests(file)
    settings = read_settings(config, pool=pool, router=router)
    models = empty_pool(pool)
    controllers = load_controllers(settings, models)
    tally = clock.run(
        lambda: run_batch(lines, out, models, controllers, limit_usd=max_cost, at_once=at_once),
        virtual=models.virtual_time,
    )
    simulated = " (simulated)" if models.simulated else ""
    unpriced = f", and {tally.unpriced} requests of unknown price" if tally.unpriced else ""
    print(f"{tally.answered} answered{simulated}, {tally.kept} before, {tally.failed} failed: {out}")
    print(f"paid in this run: {tally.usd:.6f} USD{simulated}{unpriced}")
    if tally.failed:
        raise typer.Exit(1)
