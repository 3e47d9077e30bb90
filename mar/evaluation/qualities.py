"""How well every model does alone: what rules weigh."""

from __future__ import annotations

from collections.abc import Sequence

from mar.controllers.base import PlanSpace
from mar.controllers.baselines import single
from mar.learning.progress import Progress
from mar.learning.rollouts import Job, Rollouts
from mar.runtime import RunIdentity
from mar.tasks.task import ItemT

PILOT = 40  # items


async def single_qualities(
    rollouts: Rollouts[ItemT], space: PlanSpace, items: Sequence[ItemT], progress: Progress
) -> dict[str, float]:
    """Share of the first items that each model solves alone."""
    task, names, pilot = rollouts.task, rollouts.runtime.pool.names, items[:PILOT]
    found: dict[str, float] = {}
    with progress.bar("trying every model alone", total=len(names) * len(pilot)) as bar:
        for model in names:
            planned = single(model, task.domain).plan([task.query(i) for i in pilot], space)
            jobs = [
                Job(item=i, how=p.how, identity=RunIdentity(epoch="pilot")) for i, p in zip(pilot, planned, strict=True)
            ]
            outcomes = await rollouts.run(jobs, on_done=bar.advance)
            found[model] = sum(o.score.solved for o in outcomes) / max(1, len(outcomes))
    return found
