# pyright: basic
"""A survey of plans before training, so that a policy begins at the best of them instead of anywhere.

Every LLM alone, then teams of the best two in every mode, are run on training items by successive halving (Jamieson and
Talwalkar 2016): all on the first items, the better ones on more. Some generations of plans follow that each differ in
one place from the best so far (another LLM, role or mode, an agent more or less): an evolution strategy finds teams of
different LLMs within fewer episodes than a policy gradient, which must find out by itself which agent mattered.

What a plan is worth is estimated from all that was seen by an additive model, outcome = plan + item, since plans were
run on different items, and an item's difficulty explains more than any plan. Plans are compared by the lower end of
that estimate (one standard error below), so that a plan that was lucky on few items is not taken for the best. Quality
and cost are estimated apart: there is a best plan for every price of money.
"""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mar.controllers.base import Planned, PlanSpace
from mar.controllers.baselines import DEFAULT_TEAM, simple_teams, single
from mar.files import write_atomically
from mar.learning.rollouts import Outcome
from mar.reading import read_json, table, validated
from mar.types import AgentSpec, Domain, ModeSpec, Plan, Query

SHARE = 0.005  # of the training's episodes: so many items in the first round
FEWEST, MOST = 4, 24  # items of the first round
GROWTH = 3  # each round has so many times the items of the one before; where they run out they come again
ROUNDS = 3
FINALISTS = 4  # plans of the second round; half of them reach the third
TEAM_LLMS = 2  # LLMs that teams are made of
GENERATIONS, MUTANTS, PARENTS = 3, 12, 3  # plans by small changes: how often, how many at once, of how many
PRIOR = 1.0  # outcomes that an item's effect of zero counts for


@dataclass(frozen=True, slots=True)
class Trial:
    """One episode of a survey."""

    item: int  # position among the training items
    draw: int  # how often the item came before
    plan: Plan


class Seen(NamedTuple):
    """What came of one episode."""

    plan: int  # position among the surveyed plans
    item: int
    quality: float
    cost_usd: float


SIMPLE = "best simple plan of the survey"
Run = Callable[[Sequence[Trial]], Awaitable[Sequence[Outcome]]]


@dataclass(slots=True, kw_only=True)
class Survey:
    """Plans for one domain, and what came of them."""

    domain: Domain
    plans: list[Plan] = field(default_factory=list[Plan])
    simple: int = 0  # so many of them are simple: an LLM alone, or a team of one LLM; they stand first
    seen: list[Seen] = field(default_factory=list["Seen"])

    def worth(self, rates: np.ndarray) -> np.ndarray:
        """The lower end of every plan's utility at prices of money (B,) in utility per USD: shape (B, P)."""
        plan, item = np.array([s.plan for s in self.seen]), np.array([s.item for s in self.seen])
        quality, error = _additive(plan, item, np.array([s.quality for s in self.seen]), len(self.plans))
        cost, _ = _additive(plan, item, np.array([s.cost_usd for s in self.seen]), len(self.plans))
        known = np.bincount(plan, minlength=len(self.plans)) > 0
        return np.where(known, quality - error - rates[:, None] * cost, -np.inf)

    def best(self, rates: np.ndarray) -> np.ndarray:
        """Index of the best plan at each price (B,)."""
        return self.worth(rates).argmax(axis=1)

    def ranked(self, among: Sequence[int], rate: float) -> list[int]:
        """Some of the plans, the best first."""
        worth = self.worth(np.array([rate]))[0]
        return sorted(among, key=lambda p: (-worth[p], p))


def _additive(plan: np.ndarray, item: np.ndarray, y: np.ndarray, plans: int) -> tuple[np.ndarray, np.ndarray]:
    """Plan effects of y = plan + item, items shrunken to zero, with their standard errors."""
    known = np.unique(item)
    column = np.searchsorted(known, item)
    x = np.zeros((len(y), plans + len(known)))
    x[np.arange(len(y)), plan] = 1
    x[np.arange(len(y)), plans + column] = 1
    penalty = np.diag([1e-6] * plans + [PRIOR] * len(known))
    effects = np.linalg.solve(x.T @ x + penalty, x.T @ y)
    runs = np.bincount(plan, minlength=plans)
    spread = np.sqrt(np.mean((y - x @ effects) ** 2)) if len(y) else 0.0
    return effects[:plans], spread / np.sqrt(np.maximum(runs, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class SimplePlans:
    """The best surveyed plan of each domain, as a controller: what a policy that learns nothing more would do."""

    plans: Mapping[Domain, Plan]
    name: str = SIMPLE

    @classmethod
    def of(cls, surveys: Sequence[Survey], rate: float) -> SimplePlans:
        """The best at a price of money."""
        return cls(plans={s.domain: s.plans[s.ranked(range(s.simple), rate)[0]] for s in surveys})

    def plan(self, queries: Sequence[Query], space: PlanSpace) -> list[Planned]:
        """The plan of each query's domain; that of the first domain where the query's is unknown."""
        otherwise = next(iter(self.plans.values()))
        return [Planned(plan=self.plans.get(q.domain, otherwise) if q.domain else otherwise) for q in queries]

    def write(self, path: Path) -> None:
        """Keep the plans in a JSON file."""
        write_atomically(path, json.dumps({domain: plan.to_json() for domain, plan in self.plans.items()}, indent=2))

    @classmethod
    def read(cls, path: Path) -> SimplePlans:
        """Plans that were kept."""
        expected = "plans as a survey keeps them"
        stored = table(read_json(path, expected=expected), str(path), expected=expected)
        plans = {domain: Plan.from_json(plan) for domain, plan in stored.items()}
        return validated(cls, {"plans": plans}, str(path), expected=expected)


def first_round(episodes: int) -> int:
    """Items of the first round, before a training on so many episodes."""
    return max(FEWEST, min(MOST, round(SHARE * episodes)))


def most_episodes(space: PlanSpace, domain: Domain, first: int) -> tuple[int, int]:
    """Episodes of a domain's survey with one agent, and with more than one, by the items of the first round."""

    def race(plans: int) -> int:
        kept = [plans, *(min(plans, FINALISTS >> i) for i in range(ROUNDS - 1))]
        return sum(k * first * GROWTH**i for i, k in enumerate(kept))

    teams = race(len(simple_teams(space, [c.name for c in space.cards], domain, llms=TEAM_LLMS)))
    return race(len(space.cards)), teams + GENERATIONS * race(MUTANTS)


async def survey(
    run: Run, space: PlanSpace, domain: Domain, items: Sequence[int], *, first: int, rate: float, seed: int
) -> Survey | None:
    """Survey plans for one domain.

    Args:
        run: Runs episodes; nothing for an episode that was cut off.
        space: What plans can be made of.
        domain: Whose roles are used.
        items: Positions of the domain's training items, in the order in which they are used.
        first: Items of the first round.
        rate: Price of money by which plans are compared on the way, utility per USD.
        seed: Of the small changes.

    Returns:
        None where no plan could be judged.
    """
    found = Survey(domain=domain, plans=[single(c.name, domain, mode=space.single_mode).fixed for c in space.cards])
    alone = await _race(run, found, list(range(len(found.plans))), items, first, rate)
    if not alone:
        return None
    found.simple = len(found.plans)
    if len(DEFAULT_TEAM[domain]) > space.max_agents:
        return found
    llms = [found.plans[p].agents[0].model or "" for p in alone]
    teams = [t.fixed for t in simple_teams(space, llms, domain, llms=TEAM_LLMS)]
    if not await _enter(run, found, teams, items, first, rate):
        return None
    found.simple = len(found.plans)
    rng = random.Random(f"{seed}/{domain}")
    for _ in range(GENERATIONS):
        parents = [found.plans[p] for p in found.ranked(range(len(found.plans)), rate)[:PARENTS]]
        mutants = _mutants(parents, set(found.plans), llms, space, rng)
        if not await _enter(run, found, mutants, items, first, rate):
            return None
    return found


def _mutants(
    parents: Sequence[Plan], known: set[Plan], llms: Sequence[str], space: PlanSpace, rng: random.Random
) -> list[Plan]:
    """New plans that differ from a parent in one place; LLMs that are better alone are taken more often."""
    found: list[Plan] = []
    for _ in range(20 * MUTANTS):  # a small space may not have so many
        plan = _mutant(rng.choice(parents), llms, space, rng)
        if len(found) < MUTANTS and plan not in known:
            known.add(plan)
            found.append(plan)
    return found


def _mutant(plan: Plan, llms: Sequence[str], space: PlanSpace, rng: random.Random) -> Plan:
    def llm() -> str:
        return rng.choices(llms, weights=[1 / (rank + 1) for rank in range(len(llms))])[0]

    def role() -> str:
        return rng.choice(space.roles(plan.domain)).name

    agents, place = list(plan.agents), rng.randrange(len(plan.agents))
    changes = ["llm", "llm", "role"]  # LLMs matter most
    changes += ["more"] if len(agents) < space.max_agents else []
    changes += ["less", "mode"] if len(agents) > 1 else []
    match rng.choice(changes):
        case "llm":
            agents[place] = replace(agents[place], model=llm())
        case "role":
            agents[place] = replace(agents[place], role=role())
        case "more":
            agents.insert(place + 1, AgentSpec(role=role(), model=llm()))
        case "less":
            del agents[place]
        case _:
            return replace(plan, mode=ModeSpec(name=rng.choice(space.modes)))
    return replace(plan, agents=tuple(agents))


async def _enter(run: Run, found: Survey, plans: Sequence[Plan], items: Sequence[int], first: int, rate: float) -> bool:
    """Let more plans race. False: the run was cut off."""
    begin = len(found.plans)
    found.plans += plans
    return not plans or bool(await _race(run, found, list(range(begin, len(found.plans))), items, first, rate))


async def _race(run: Run, found: Survey, racing: list[int], items: Sequence[int], first: int, rate: float) -> list[int]:
    """Successive halving among some plans; all of them, the best first. What is seen is added to the survey."""
    out: list[int] = []
    done, size = 0, first
    for number in range(ROUNDS):
        places = [(items[i % len(items)], i // len(items)) for i in range(done, done + size)]
        plans = [p for _ in places for p in racing]
        trials = [Trial(item, draw, found.plans[p]) for item, draw in places for p in racing]
        outcomes = await run(trials)
        if len(outcomes) < len(trials):
            return []
        found.seen += [
            Seen(p, trial.item, o.score.value, o.cost_usd or 0.0)
            for p, trial, o in zip(plans, trials, outcomes, strict=True)
            if o.learnable
        ]
        done, size = done + size, size * GROWTH
        if not any(s.plan in racing for s in found.seen):
            return []
        ranked = found.ranked(racing, rate)
        racing, lost = ranked[: FINALISTS >> number], ranked[FINALISTS >> number :]
        out = lost + out
    return racing + out
