"""Train one MasRouter on all benchmarks together and test it on each.

uv run python experiments/run_all.py                           simulated pool, bundled samples
uv run python experiments/run_all.py --data DIR                real benchmarks from DIR
uv run python experiments/run_all.py --tasks gsm8k mmlu mbpp   some of them
uv run python experiments/run_all.py --pool pool.toml          a live pool; see --max_cost and --dry_run first

Training takes the union of the training sets, in which every query counts with its own domain; `--train_limit` and
`--limit` cut the union, `--test_limit` and `--limit` each benchmark's test set. The union's run folder holds the
controller; each benchmark's table lies in a folder of its own below it. A live pool answers repeated calls from the
cache, so what the union's test has paid is not paid again; `--max_cost` holds for each of the runs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field
from rich.console import Console

from mar.cli.script import run_script
from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.controllers.masrouter import load_router
from mar.errors import ConfigError
from mar.evaluation.domains import domain_rows, domain_table
from mar.evaluation.experiment import run_experiment
from mar.evaluation.options import RunOptions, parse_options
from mar.pool.choose import empty_pool, recorded_table
from mar.runtime import PromptLibrary
from mar.tasks.registry import TASKS, load_task
from mar.tasks.task import Task, subset
from mar.tasks.union import UnionTask

OMITTED = (  # a file holds one benchmark; the classifier is to find domains out; the controller is made here
    *("dataset_json", "domain", "paper_faithful", "checkpoint", "arrival_rate", "arrival_pattern"),
    *("burst_duration", "spike_intensity", "spike_period", "result_file", "train_telemetry_csv"),
)


class AllOptions(RunOptions):
    """Options of this script."""

    tasks: tuple[str, ...] = Field(tuple(TASKS), description="benchmarks, by name: " + ", ".join(TASKS))


def main() -> None:
    """Read the options, train on the union, test on each benchmark, test the classifier."""
    options = parse_options(AllOptions, description="Train MasRouter on all benchmarks together.", omit=OMITTED)
    if "predicted_domain" in options.without:
        raise ConfigError("--without names 'predicted_domain'; one controller for all has to find the domain out")
    tasks = [_load(name, options) for name in options.tasks]
    union = UnionTask.of(tasks)
    folder = options.out or Path("runs") / f"{union.name}-seed{options.seed}"
    trained = run_experiment(union, _changed(options, out=folder, baselines=False))
    if trained is None:
        return
    checkpoint = folder / "checkpoint.safetensors"
    print_domains(checkpoint, tasks, options)
    for task in tasks:
        run_experiment(task, _test_options(options, checkpoint, folder / task.name, trained["cost_rate"]))


def _load(name: str, options: AllOptions) -> Task[Any]:
    if name == "mbpp":
        return load_task(name, data=options.data, show_tests=options.show_tests)
    return load_task(name, data=options.data)


def _changed(options: RunOptions, **changes: object) -> RunOptions:
    """The options of one of the runs."""
    values = options.model_dump(include=set(RunOptions.model_fields)) | changes
    return RunOptions.model_validate(values)


def _test_options(options: RunOptions, checkpoint: Path, out: Path, cost_rate: float) -> RunOptions:
    """Options that only test the controller, at the price of money that it was trained for."""
    untrained = {"epochs": 0, "start_epoch": 0, "train_limit": 0, "without": (), "save_checkpoint": None}
    return _changed(options, checkpoint=checkpoint, out=out, cost_rate=cost_rate, **untrained)


def _test_limit(options: RunOptions) -> int | None:
    given = [x for x in (options.test_limit, options.limit) if x is not None]
    return min(given) if given else None


def print_domains(checkpoint: Path, tasks: Sequence[Task[Any]], options: RunOptions) -> None:
    """Print how well the controller's task classifier tells the domains of the test queries."""
    router = load_router(checkpoint, CachedEncoder(MiniLM())).router
    table = recorded_table(options.pool)
    pool = empty_pool(options.pool) if table is None else table.pool()
    space = PlanSpace.of(pool, PromptLibrary.load(options.prompts), max_agents=options.max_agent)
    limit = _test_limit(options)
    queries = {t.name: [t.query(i) for i in subset(t, "test", limit, options.seed).items] for t in tasks}
    Console(width=None if sys.stdout.isatty() else 120).print(domain_table(domain_rows(router, space, queries)))


if __name__ == "__main__":
    run_script(main)
