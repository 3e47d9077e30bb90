# pyright: basic
"""What single episodes cannot teach: the toll, and the shape for busy times, chosen by what the whole system delivers.

A choice costs others time, and that shows in their outcomes, not in its own: each query on its own does best with a
debate, and all of them together drown. So both knobs are set by goodput on validation items, under the heaviest
arrivals of the training, all candidates with the same arrivals and draws: first the toll, then the shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic

from mar.controllers.base import Moment, PlanSpace
from mar.controllers.system_aware.controller import SystemAware
from mar.controllers.system_aware.goodput import GoodputExecutor, GoodputPlanner
from mar.controllers.system_aware.planners import ShapePlanner
from mar.learning.openloop import open_loop
from mar.learning.progress import Progress
from mar.learning.rollouts import Job, Rollouts
from mar.learning.system_aware.settings import SystemTraining
from mar.runtime import RunIdentity
from mar.tasks.task import ItemT

MARGIN = 0.01  # of goodput: smaller differences are noise, and then the smaller shape is kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """What is chosen by goodput."""

    toll: float
    busy_shape: int  # -1: none is imposed

    def turn(self, planner: GoodputPlanner, executor: GoodputExecutor) -> None:
        """Set them in both networks."""
        planner.toll.fill_(self.toll)
        executor.toll.fill_(self.toll)
        planner.busy_shape.fill_(self.busy_shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection(Generic[ItemT]):
    """A choice among candidates.

    Args:
        controller: Whose knobs are turned.
        space: What plans are made of.
        rollouts: On a pool whose servers are idle.
        items: What is asked.
        settings: Of the training.
        progress: Shows what goes on.
    """

    controller: SystemAware
    space: PlanSpace
    rollouts: Rollouts[ItemT]
    items: Sequence[ItemT]
    settings: SystemTraining
    progress: Progress

    async def choose(self) -> tuple[Knobs, dict[str, float]]:
        """The best knobs, and the goodput of every candidate."""
        planner, settings = self.controller.planner, self.settings
        assert isinstance(planner, ShapePlanner)
        names = [shape.name for shape in planner.shapes]
        n = settings.validation_episodes
        found: dict[Knobs, float] = {}
        self.controller.greedy = True
        with self.progress.bar("choosing by goodput", total=n * (len(settings.tolls) + len(names))) as bar:
            for toll in settings.tolls:
                knobs = Knobs(toll=toll, busy_shape=0)
                found[knobs] = await self._goodput(knobs, bar.advance)
            toll = max(found, key=lambda k: found[k]).toll
            for shape in (*range(1, len(names)), -1):
                knobs = Knobs(toll=toll, busy_shape=shape)
                found[knobs] = await self._goodput(knobs, bar.advance)
        called = ("any", *names)
        metrics = {f"goodput, toll {k.toll:g}, busy: {called[k.busy_shape + 1]}": g for k, g in found.items()}
        good = max(found.values()) - MARGIN
        best = next(k for k in found if k.toll == toll and found[k] >= good)  # shapes stand in the order of their size
        return best, metrics | {"toll": best.toll, "busy_shape": best.busy_shape}

    async def _goodput(self, knobs: Knobs, on_done: Callable[[], None]) -> float:
        """Under the heaviest arrivals."""
        planner, executor = self.controller.planner.network, self.controller.executor.network
        assert isinstance(planner, GoodputPlanner)
        assert isinstance(executor, GoodputExecutor)
        knobs.turn(planner, executor)
        process = max(self.settings.arrivals, key=lambda a: a.rate)
        controller, settings = self.controller, self.settings
        budget, n = settings.validation_budget_s, settings.validation_episodes
        late = replace(self.rollouts, deadline_s=budget)

        async def one(i: int) -> bool:
            item = self.items[i % len(self.items)]
            moment = Moment(budget_s=budget, telemetry=late.runtime.pool.telemetry())
            how = controller.plan_at(late.task.query(item), self.space, moment).how
            identity = RunIdentity(seed=settings.seed, epoch="validation", rollout=i // len(self.items))
            outcome = await late.one(Job(item=item, how=how, identity=identity))
            on_done()
            return outcome.score.solved and outcome.latency_s <= budget

        results = await open_loop(process.times(n, seed=settings.seed), one, most=settings.most_in_flight)
        return sum(bool(good) for good in results) / n
