"""What a run would take, before anything is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from mar.controllers.base import PlanSpace
from mar.controllers.baselines import RandomPlans, simple_teams
from mar.evaluation.options import RunOptions
from mar.learning.imagined import shares
from mar.learning.sequential import READERS
from mar.learning.settings import VALIDATION_ROLLOUTS
from mar.pool.pool import Pool
from mar.runtime import PromptLibrary, Runtime
from mar.tasks.task import ItemT, Task
from mar.terminal import Terminal
from mar.types import Plan

# Assumed for one call: what role prompts with a short query and a few peers take, and what models usually answer.
PROMPT_TOKENS, COMPLETION_TOKENS, CALL_SECONDS = 900, 350, 6.0
PLAN_CALLS, PLAN_STAGES = 3, 2  # of a plan that a policy draws in training


def forecast(
    task: Task[ItemT],
    options: RunOptions,
    prompts: PromptLibrary,
    pool: Pool,
    *,
    modes: tuple[str, ...],
    train: Sequence[ItemT],
    validation: Sequence[ItemT],
    test: Sequence[ItemT],
    pilot: int,
) -> None:
    """Print calls, tokens, dollars and time that a run is expected to take at the most."""
    space = PlanSpace.of(pool, prompts, max_agents=options.max_agent, modes=modes)
    drawn = [p.intent for p in RandomPlans(task.domain).plan([task.query(i) for i in (*train, *test)][:200], space)]
    prices = 1 if options.paper_faithful or options.cost_rate == 0 else 3
    figures = _Figures(runtime=Runtime(pool, prompts=prompts), options=options)
    phases = [
        figures.plans("pilot that sets the cost_rate", pilot, drawn),
        *_training(figures, drawn, len(train), len(validation)),
        figures.plans(f"testing the controller, {prices} price(s)", prices * len(test), drawn),
    ]
    if options.baselines:
        controllers = 1 + len(space.cards) + len(simple_teams(space, pool.names, task.domain, llms=1))
        phases.append(figures.plans("testing the baselines", controllers * len(test), drawn))
    table = Table(title=f"forecast for {task.name} on the {pool.kind} pool; nothing has been run")
    for column in ("phase", "episodes", "calls at most", "tokens", "USD", "hours"):
        table.add_column(column, justify="left" if column == "phase" else "right")
    for cells in phases:
        table.add_row(*cells)
    console = Terminal()
    console.print(table)
    console.print(
        f"Assumed: plans as random ones, {PROMPT_TOKENS} prompt and {COMPLETION_TOKENS} completion tokens and "
        f"{CALL_SECONDS:g} s a call, {options.concurrency} episodes at once. Cached and simulated calls cost nothing.",
        highlight=False,
    )


def _training(figures: _Figures, drawn: Sequence[Plan], train: int, validation: int) -> list[list[str]]:
    """The phases of MasRouter's training and of the sequential controller's."""
    o, models = figures.options, len(figures.runtime.pool.cards)
    if not o.epochs:
        return []
    phases: list[list[str]] = []
    if "masrouter" in o.controllers and o.imagines:
        asked, run = shares(o.calls)
        phases.append(figures.questions("training questions for MasRouter", asked, models, train + validation))
        phases.append(figures.calls("plans to correct what is imagined", run / PLAN_CALLS, run, PLAN_STAGES))
    elif "masrouter" in o.controllers:
        compared = 2 * (train + validation) if validation else 0
        phases.append(figures.plans("training", train * o.epochs * o.rollouts, drawn))
        phases.append(figures.plans("validation", validation * o.epochs * VALIDATION_ROLLOUTS, drawn))
        phases.append(figures.plans("the last policy against the best so far", compared * VALIDATION_ROLLOUTS, drawn))
    if "sequential" in o.controllers:
        phases.append(figures.questions("training questions for sequential", o.calls, models, train + validation))
    return phases


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figures:
    """Turns episodes into a row of the table."""

    runtime: Runtime
    options: RunOptions

    def plans(self, name: str, episodes: int, plans: Sequence[Plan]) -> list[str]:
        """Episodes of plans like these."""
        bounds = [self.runtime.bound(p) for p in plans]
        n = max(1, len(bounds))
        calls, stages = episodes * sum(b.calls for b in bounds) / n, sum(b.stages for b in bounds) / n
        return self.calls(name, episodes, calls, stages)

    def questions(self, name: str, most_calls: int, models: int, items: int) -> list[str]:
        """Training questions that are put to every model and then to one who reads: as many as the calls allow."""
        episodes = min(items, most_calls // (models + READERS)) if most_calls else 0
        return self.calls(name, episodes, episodes * (models + READERS), 1 + READERS)

    def calls(self, name: str, episodes: float, calls: float, stages: float) -> list[str]:
        """So many calls in so many episodes, of which each has so many stages that must follow each other."""
        prices = [
            c.cost_usd(prompt_tokens=PROMPT_TOKENS, completion_tokens=COMPLETION_TOKENS, seconds=CALL_SECONDS)
            for c in self.runtime.pool.cards.values()
        ]
        known = [p for p in prices if p is not None]
        dollars = f"{calls * sum(known) / len(known):.2f}" if known and len(known) == len(prices) else "unknown"
        hours = episodes * stages * CALL_SECONDS / min(self.options.concurrency, max(1, episodes)) / 3600
        tokens = calls * (PROMPT_TOKENS + COMPLETION_TOKENS)
        return [name, f"{episodes:,.0f}", f"{calls:,.0f}", f"{tokens / 1e6:,.1f} M", dollars, f"{hours:,.1f}"]
