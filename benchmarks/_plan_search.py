# pyright: basic
"""The best fixed plan that a search over thousands finds on training items: what a learned controller must beat.

Every LLM alone and in teams of up to six in every mode, votes of the same and of different LLMs, and as many teams of
drawn LLMs, are halved step by step (Jamieson and Talwalkar 2016): all on a few training items, the better ones at each
price of money on more, the last on all. All plans of a round meet the same items and draws, every round draws anew. Its
episodes are not counted: it may spend more than any training would.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mar.controllers.base import PlanSpace
from mar.controllers.baselines import DEFAULT_TEAM
from mar.learning.progress import Progress
from mar.learning.rollouts import Job, Rollouts
from mar.runtime import RunIdentity
from mar.types import AgentSpec, Domain, ModeSpec, Plan

DRAWN = 1500  # teams of drawn LLMs
ROUNDS = ((6, 120), (24, 30), (80, 8))  # items of a round, and plans that it leaves at each price
LAST_DRAWS = 2  # of every item in the last round
AT_ONCE = 2048  # episodes that are kept at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search came to."""

    plans: dict[float, Plan]  # the best at each price of money
    searched: int  # plans in the first round
    episodes: int


def candidates(space: PlanSpace, domain: Domain, *, drawn: int = DRAWN, seed: int = 0) -> list[Plan]:
    """Plans to search: all simple ones, then drawn ones."""
    models, team = [c.name for c in space.cards], DEFAULT_TEAM[domain]
    sizes = range(1, space.max_agents + 1)

    def plan(mode: str, agents: Sequence[tuple[str, str]]) -> Plan:
        specs = tuple(AgentSpec(role=role, model=model) for role, model in agents)
        return Plan(mode=ModeSpec(name=mode), domain=domain, agents=specs)

    def roles(size: int) -> list[str]:
        return list(itertools.islice(itertools.cycle(team), size))

    found = [
        plan(mode, [(role, model) for role in roles(size)])
        for mode, size, model in itertools.product(space.modes, sizes, models)
    ]
    found += [
        plan("Vote", [(team[0], m) for m in chosen]) for n in (2, 3) for chosen in itertools.combinations(models, n)
    ]
    rng = random.Random(f"plan search/{seed}")
    names = [r.name for r in space.roles(domain)]
    for _ in range(drawn):
        size, few = rng.randint(2, 4), rng.sample(models, min(len(models), rng.randint(1, 3)))
        chosen = roles(size) if rng.random() < 0.5 else [rng.choice(names) for _ in range(size)]
        mode = rng.choice((*space.modes, "Vote"))
        found.append(plan(mode, [(role, rng.choice(few)) for role in chosen]))
    return list(dict.fromkeys(found))


async def search(
    rollouts: Rollouts[Any], space: PlanSpace, items: Sequence[Any], rates: Sequence[float], progress: Progress
) -> Found:
    """Search on some items for the best plan at each price of money."""
    order = list(items)
    random.Random("plan search").shuffle(order)
    racing = candidates(space, rollouts.task.domain)
    searched, episodes = len(racing), 0
    for number, (size, left) in enumerate(ROUNDS):
        quality, cost = await _run(rollouts, racing, order[:size], [number], progress)
        episodes += quality.size
        kept = {p for rate in rates for p in np.argsort(-(quality - rate * cost).mean(1), kind="stable")[:left]}
        racing = [racing[p] for p in sorted(kept)]
    quality, cost = await _run(rollouts, racing, order, range(len(ROUNDS), len(ROUNDS) + LAST_DRAWS), progress)
    episodes += quality.size
    best: Mapping[float, int] = {rate: int((quality - rate * cost).mean(1).argmax()) for rate in rates}
    return Found(plans={r: racing[p] for r, p in best.items()}, searched=searched, episodes=episodes)


async def _run(
    rollouts: Rollouts[Any], plans: Sequence[Plan], items: Sequence[Any], draws: Sequence[int], progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Quality and cost in USD of plans on items, (P, items x draws)."""
    jobs = [
        Job(item=item, how=plan, identity=RunIdentity(epoch="search", rollout=draw))
        for plan in plans
        for draw in draws
        for item in items
    ]
    values: list[tuple[float, float]] = []
    with progress.bar(f"searching {len(plans)} plans", total=len(jobs)) as bar:
        for at in range(0, len(jobs), AT_ONCE):
            outcomes = await rollouts.run(jobs[at : at + AT_ONCE], on_done=bar.advance)
            values += [(o.score.value, o.cost_usd or 0.0) for o in outcomes]
    both = np.array(values).reshape(len(plans), -1, 2)
    return both[..., 0], both[..., 1]
