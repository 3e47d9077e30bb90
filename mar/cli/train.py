"""`mar train`: train, test and report on one's own task, with the options of the benchmark scripts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer
from pydantic import Field

from mar.cli.script import add_script
from mar.errors import ConfigError

DESCRIPTION = "Train a controller on your own task, test it beside simple baselines, and write a report."


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_script(app, "train", train, help=DESCRIPTION)


def train(argv: Sequence[str]) -> None:
    """Run `mar train` with these words.

    Raises:
        UserError: An option, the task's file or a row cannot be used.
    """
    # Only this command needs PyTorch, whose import would make every other one wait.
    from mar.evaluation.experiment import run_experiment
    from mar.evaluation.options import RunOptions, parse_options
    from mar.tasks.custom import CustomTask

    class TrainOptions(RunOptions):
        task: Path | None = Field(None, description="the task's TOML file (required)")

    options = parse_options(TrainOptions, argv, description=DESCRIPTION, program="mar train", omit=("data",))
    if options.task is None:
        raise ConfigError("--task is missing; expected a task's TOML file")
    task = CustomTask.load(options.task, rows=options.dataset_json, pool=options.pool, show_tests=options.show_tests)
    run_experiment(task, options)
