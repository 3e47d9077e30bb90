# pyright: basic
"""Every model with every strategy, alone on the same few items: what is known before a policy learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mar.controllers.base import PlanSpace
from mar.controllers.system_aware.controller import SystemAware
from mar.controllers.system_aware.executor import Decision, LateExecutor, Step
from mar.controllers.system_aware.planners import Drawn
from mar.controllers.system_aware.shapes import load_aware_shapes
from mar.learning.openloop import open_loop
from mar.learning.progress import Progress
from mar.learning.rollouts import Job, Rollouts
from mar.learning.system_aware.samples import Sample, sample_of
from mar.learning.system_aware.settings import SystemTraining
from mar.runtime import RunIdentity
from mar.tasks.task import ItemT
from mar.types import Binding, Move, View

EVERY_S = 0.25  # between two episodes: enough for some load, not so much that all queue


@dataclass(frozen=True, slots=True)
class Forced:
    """Binds the moves of one episode of one agent to one action, and keeps it as a decision."""

    executor: LateExecutor
    action: int
    decisions: list[Decision] = field(default_factory=list[Decision])

    async def bind(self, move: Move, view: View) -> Binding:
        """The action."""
        made = Decision(
            seen=self.executor.senses.step(Step.of(move, view, 1)),
            action=self.action,
            log_prob=0.0,
            value=0.0,
            version=0,
            index=move.index,
            round=move.round,
        )
        self.decisions.append(made)
        return self.executor.binding(made, None)


async def run_pilot(
    controller: SystemAware,
    space: PlanSpace,
    rollouts: Rollouts[ItemT],
    items: Sequence[ItemT],
    settings: SystemTraining,
    progress: Progress,
) -> list[Sample]:
    """One episode of one agent for every item of a pilot, model and strategy."""
    executor = controller.executor
    actions = len(executor.senses.cards) * len(executor.strategies)
    plan = load_aware_shapes(controller.settings.domain)[0].plan(controller.settings.domain)
    drawn = Drawn(plan=plan, choice=0, log_prob=0.0, version=0)
    budget = max(settings.budgets_s)
    chosen = items[: settings.pilot]
    with progress.bar("trying every model alone", total=len(chosen) * actions) as bar:

        async def one(i: int) -> Sample:
            item, action = chosen[i // actions], i % actions
            forced = Forced(executor, action)
            seen = executor.senses.arrival(rollouts.task.query(item), budget, rollouts.runtime.pool.telemetry())
            late = replace(rollouts, deadline_s=budget)
            how = controller.carried(plan, forced.bind)
            outcome = await late.one(Job(item=item, how=how, identity=RunIdentity(seed=settings.seed, epoch="pilot")))
            bar.advance()
            return sample_of(seen, drawn, forced.decisions, outcome, budget)

        times = [EVERY_S * i for i in range(len(chosen) * actions)]
        samples = await open_loop(times, one)
    return [s for s in samples if s is not None and s.learnable]
