# pyright: basic
"""Which toll to keep: each is tried on validation items, under the same arrivals and with the same draws.

What a choice costs others shows only in what the whole system delivers, so the toll is not learned from single
episodes but chosen by goodput.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from mar.controllers.base import Moment, PlanSpace
from mar.controllers.system_aware.controller import SystemAware
from mar.learning.arrivals import Arrivals
from mar.learning.openloop import open_loop
from mar.learning.progress import Progress
from mar.learning.rollouts import Job, Rollouts
from mar.learning.system_aware.settings import SystemTraining
from mar.runtime import RunIdentity
from mar.tasks.task import ItemT


async def choose_toll(
    controller: SystemAware,
    space: PlanSpace,
    rollouts: Rollouts[ItemT],
    items: Sequence[ItemT],
    settings: SystemTraining,
    progress: Progress,
) -> tuple[float, dict[str, float]]:
    """The toll of the highest goodput over all arrival processes, and the goodput of each."""
    found: dict[float, float] = {}
    total = len(settings.tolls) * len(settings.arrivals) * settings.validation_episodes
    controller.greedy = True
    with progress.bar("choosing a toll", total=total) as bar:
        for toll in settings.tolls:
            controller.set_toll(toll)
            shares = [
                await _goodput(controller, space, rollouts, items, settings, process, bar.advance)
                for process in settings.arrivals[-2:]
            ]
            found[toll] = sum(shares) / len(shares)
    best = max(settings.tolls, key=lambda toll: found[toll])
    return best, {f"goodput_at_toll_{toll:g}": share for toll, share in found.items()}


async def _goodput(
    controller: SystemAware,
    space: PlanSpace,
    rollouts: Rollouts[ItemT],
    items: Sequence[ItemT],
    settings: SystemTraining,
    process: Arrivals,
    on_done: Callable[[], None],
) -> float:
    budget, n = settings.validation_budget_s, settings.validation_episodes
    late = replace(rollouts, binder=controller.binder, stop_rule=controller.stop_rule, deadline_s=budget)

    async def one(i: int) -> bool:
        item = items[i % len(items)]
        moment = Moment(budget_s=budget, telemetry=rollouts.runtime.pool.telemetry())
        plan = controller.plan_at(rollouts.task.query(item), space, moment).plan
        identity = RunIdentity(seed=settings.seed, epoch="validation", rollout=i // len(items))
        outcome = await late.one(Job(item=item, plan=plan, identity=identity))
        on_done()
        return outcome.score.solved and outcome.latency_s <= budget

    results = await open_loop(process.times(n, seed=settings.seed), one, most=settings.most_in_flight)
    return sum(bool(good) for good in results) / n
