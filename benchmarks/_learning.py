# pyright: basic
"""What the benchmarks of learned controllers share: fixed plans measured like them, and how the two are compared."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mar import clock
from mar.controllers.base import Controller
from mar.controllers.baselines import Constant, RandomPlans
from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.controllers.masrouter import MasRouter
from mar.evaluation.comparison import Comparison
from mar.evaluation.experiment import Experiment
from mar.evaluation.options import RunOptions
from mar.evaluation.results import ItemResult, Row
from mar.evaluation.statistics import Interval
from mar.learning.progress import Progress
from mar.learning.rollouts import Outcome
from mar.learning.rundir import RunDir
from mar.pool.choose import configured_pool
from mar.tasks.task import Task

SEEDS = range(5)


class FixedPlans(Experiment[Any]):
    """An experiment that tests plans that nobody has learned, and nothing else."""

    def __init__(self, task: Task[Any], options: RunOptions, controllers: Sequence[Controller] | None = None) -> None:
        super().__init__(
            task=task,
            pool=configured_pool(options.pool),
            options=options,
            progress=Progress(),
            encoder=CachedEncoder(MiniLM()),
        )
        self.controllers = controllers  # None: random plans, every LLM alone, every mode with the best LLM

    async def _test(
        self, router: MasRouter, comparison: Comparison[Any], cost_rate: float
    ) -> tuple[list[Row], list[Outcome]]:
        if self.controllers is None:
            return await comparison.baselines(cost_rate), []
        return [(await comparison.run(c, group=_group(c), cached=True))[0] for c in self.controllers], []


def _group(controller: Controller) -> str:
    if isinstance(controller, RandomPlans):
        return "random"
    return "single LLM" if isinstance(controller, Constant) and " x " not in controller.name else "fixed mode"


def run_fixed(
    task: Task[Any], options: RunOptions, controllers: Sequence[Controller] | None = None
) -> dict[str, list[ItemResult]]:
    """Test plans that nobody has learned into the folder `options.out`, unless that has been done."""
    assert options.out is not None
    if not (options.out / "items.json").is_file():
        experiment = FixedPlans(task, options, controllers)
        run = RunDir.open(options.out, arguments=options.identity(), prompts=experiment.prompts.hash)
        clock.run(lambda: experiment.main(run), virtual=True)
    return read_items(options.out)


def read_items(folder: Path) -> dict[str, list[ItemResult]]:
    """Every controller's results in a run folder: one draw after the other, each over all items."""
    found = json.loads((folder / "items.json").read_text(encoding="utf-8"))
    return {name: [ItemResult(**i) for i in items] for name, items in found.items()}


def utilities(results: Sequence[ItemResult], cost_rate: float, draws: int) -> list[float]:
    """Utility of each item, the mean of its draws: draws of one item belong together when items are resampled."""
    n = len(results) // draws
    return [mean([r.utility(cost_rate) for r in results[i::n]]) for i in range(n)]


def verdict(difference: Interval) -> str:
    """What an interval of a difference to something says."""
    return "above it" if difference.low > 0 else "below it" if difference.high < 0 else "a tie"


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean; NaN of nothing."""
    return sum(values) / len(values) if values else math.nan
