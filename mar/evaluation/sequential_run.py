"""The sequential controller in a benchmark run: learned once, kept in the run's folder, tested at several prices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import Encoder
from mar.controllers.sequential import Sequential, Terms, load_sequential, save_sequential
from mar.evaluation.comparison import Comparison
from mar.evaluation.results import Row
from mar.learning.progress import Progress
from mar.learning.rollouts import Outcome, Rollouts
from mar.learning.rundir import RunDir
from mar.learning.sequential import Gathering, learn_minds
from mar.tasks.task import ItemT

CHECKPOINT = "sequential.safetensors"  # in a run's folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """A controller and what it was learned from."""

    controller: Sequential
    items: int
    calls: int

    @property
    def note(self) -> str:
        """For a table's caption."""
        return f"{self.calls:,} graded calls on {self.items} items" if self.calls else "nothing but cards"


@dataclass(slots=True, kw_only=True)
class SequentialRun(Generic[ItemT]):
    """Learns and tests in one run."""

    rollouts: Rollouts[ItemT]
    space: PlanSpace
    run: RunDir
    encoder: Encoder
    progress: Progress
    cost_rate: float
    most_calls: int
    seed: int = 0

    async def learn(self, items: Sequence[ItemT]) -> Learned:
        """The controller of this run: as it was kept, else learned from at most so many calls on these items."""
        path, task, pool = self.run.path / CHECKPOINT, self.rollouts.task, self.rollouts.runtime.pool
        if path.is_file():
            loaded = load_sequential(path, self.encoder)
            told = loaded.header.trained_on
            return Learned(controller=loaded.controller, items=int(told["items"]), calls=int(told["calls"]))
        gathering = Gathering(
            rollouts=self.rollouts,
            cards=self.space.cards,
            progress=self.progress,
            seed=self.seed,
            most_calls=self.most_calls,
        )
        asked = await gathering.gather(gathering.affordable(items)) if self.most_calls else []
        minds = learn_minds(asked, self.space.cards, task.domain, self.encoder)
        controller = Sequential(minds, self.encoder, Terms(cost_rate=self.cost_rate), domain=task.domain)
        calls = sum(len(a.calls) for a in asked)
        if not self.rollouts.limit_reached:
            told = {
                "task": task.name,
                "pool": pool.kind,
                "items": str(len(asked)),
                "calls": str(calls),
                "seed": str(self.seed),
            }
            save_sequential(path, controller, trained_on=told, simulated=pool.simulated)
        return Learned(controller=controller, items=len(asked), calls=calls)

    async def test(
        self, controller: Sequential, comparison: Comparison[ItemT], factors: Sequence[float]
    ) -> tuple[list[Row], list[Outcome]]:
        """Rows at the run's price of money and at multiples of it, and the episodes at its own."""
        controller.cost_rate = self.cost_rate
        row, outcomes = await comparison.run(controller, group="learned")
        rows = [row]
        for factor in factors:
            controller.cost_rate = self.cost_rate * factor
            curve, _ = await comparison.run(controller, group="learned")
            rows.append(Row(name=f"{controller.name}, cost_rate x {factor:g}", group=row.group, results=curve.results))
        controller.cost_rate = self.cost_rate
        return rows, outcomes
