"""What a run would take, before anything is run."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from mar.controllers.base import PlanSpace
from mar.controllers.baselines import DEFAULT_TEAM, RandomPlans, simple_teams, single
from mar.evaluation.options import SURVEY, RunOptions
from mar.learning.settings import VALIDATION_ROLLOUTS
from mar.learning.survey import first_round, most_episodes
from mar.pool.pool import Pool
from mar.runtime import PromptLibrary, Runtime
from mar.tasks.task import ItemT, Task
from mar.terminal import Terminal
from mar.types import Domain, Plan

# Assumed for one call: what role prompts with a short query and a few peers take, and what models usually answer.
PROMPT_TOKENS, COMPLETION_TOKENS, CALL_SECONDS = 900, 350, 6.0


def forecast(
    task: Task[ItemT],
    options: RunOptions,
    prompts: PromptLibrary,
    pool: Pool,
    *,
    train: Sequence[ItemT],
    validation: Sequence[ItemT],
    test: Sequence[ItemT],
    pilot: int,
) -> None:
    """Print calls, tokens, dollars and time that a run is expected to take at the most."""
    runtime = Runtime(pool, prompts=prompts)
    space = PlanSpace.of(pool, prompts, max_agents=options.max_agent)
    drawn = [p.intent for p in RandomPlans(task.domain).plan([task.query(i) for i in (*train, *test)][:200], space)]
    prices = 1 if options.paper_faithful or options.cost_rate == 0 else 3
    survey = _survey(options, space, task.domain, len(train))
    validations = options.epochs + bool(survey)
    compared = 2 * (len(train) + len(validation)) if options.epochs and validation else 0
    phases = [
        ("pilot that sets the cost_rate", pilot, drawn),
        *survey,
        ("training", len(train) * options.epochs * options.rollouts, drawn),
        ("validation", len(validation) * validations * VALIDATION_ROLLOUTS, drawn),
        ("the last policy against the best so far", compared * VALIDATION_ROLLOUTS, drawn),
        (f"testing the controller, {prices} price(s)", prices * len(test), drawn),
    ]
    if options.baselines:
        controllers = 1 + len(space.cards) + len(simple_teams(space, pool.names, task.domain, llms=1))
        phases.append(("testing the baselines", controllers * len(test), drawn))
    table = Table(title=f"forecast for {task.name} on the {pool.kind} pool; nothing has been run")
    for column in ("phase", "episodes", "calls at most", "tokens", "USD", "hours"):
        table.add_column(column, justify="left" if column == "phase" else "right")
    for name, episodes, plans in phases:
        table.add_row(name, *_figures(episodes, plans, runtime, options))
    console = Terminal()
    console.print(table)
    console.print(
        f"Assumed: plans as random ones, {PROMPT_TOKENS} prompt and {COMPLETION_TOKENS} completion tokens and "
        f"{CALL_SECONDS:g} s a call, {options.concurrency} episodes at once. Cached and simulated calls cost nothing.",
        highlight=False,
    )


def _survey(options: RunOptions, space: PlanSpace, domain: Domain, items: int) -> list[tuple[str, int, list[Plan]]]:
    episodes = options.epochs * items * options.rollouts
    if not episodes or options.paper_faithful or SURVEY in options.without or options.checkpoint is not None:
        return []
    alone, teams = most_episodes(space, domain, first_round(episodes))
    names = [card.name for card in space.cards]
    phases = [("survey, every LLM alone", alone, [single(names[0], domain, mode=space.single_mode).fixed])]
    if len(DEFAULT_TEAM[domain]) <= space.max_agents:
        simple = [t.fixed for t in simple_teams(space, names, domain, llms=1)]
        phases.append(("survey, teams", teams, simple))
    return phases


def _figures(episodes: int, plans: Sequence[Plan], runtime: Runtime, options: RunOptions) -> list[str]:
    bounds = [runtime.bound(p) for p in plans]
    n = max(1, len(bounds))
    calls = episodes * sum(b.calls for b in bounds) / n
    stages = sum(b.stages for b in bounds) / n
    prices = [
        c.cost_usd(prompt_tokens=PROMPT_TOKENS, completion_tokens=COMPLETION_TOKENS, seconds=CALL_SECONDS)
        for c in runtime.pool.cards.values()
    ]
    known = [p for p in prices if p is not None]
    dollars = f"{calls * sum(known) / len(known):.2f}" if known and len(known) == len(prices) else "unknown"
    hours = episodes * stages * CALL_SECONDS / min(options.concurrency, max(1, episodes)) / 3600
    tokens = calls * (PROMPT_TOKENS + COMPLETION_TOKENS)
    return [f"{episodes:,}", f"{calls:,.0f}", f"{tokens / 1e6:,.1f} M", dollars, f"{hours:,.1f}"]
