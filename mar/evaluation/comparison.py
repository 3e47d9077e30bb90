"""Controllers side by side on one test set: the learned one beside everything simple."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Generic

from pydantic import TypeAdapter

from mar.controllers.base import Controller, PlanSpace
from mar.controllers.baselines import RandomPlans, simple_teams, single
from mar.errors import DataError
from mar.evaluation.results import ItemResult, Row, rank
from mar.files import write_atomically
from mar.learning.arrivals import Arrivals
from mar.learning.progress import Progress
from mar.learning.rollouts import Job, Outcome, Rollouts
from mar.pool.simulated import SimItem, SimulatedModel
from mar.reading import read_json, validated
from mar.runtime import RunIdentity
from mar.tasks.task import ItemT
from mar.types import Plan


@dataclass(slots=True, kw_only=True)
class Comparison(Generic[ItemT]):
    """Runs controllers on the same items with the same draws and the same arrivals.

    The draws do not depend on the seed that a controller was trained with, so runs of different seeds are compared on
    common random numbers too, and fixed plans are run once for all of them.
    """

    rollouts: Rollouts[ItemT]
    space: PlanSpace
    items: Sequence[ItemT]
    progress: Progress
    draws: int = 1  # episodes per item, each with draws of its own
    arrivals: Arrivals | None = None  # None: all at once, as many as the rollouts' concurrency allows
    cache: Path | None = None  # folder where fixed plans' results on a simulated pool are kept between runs

    async def run(self, controller: Controller, *, group: str, cached: bool = False) -> tuple[Row, list[Outcome]]:
        """One controller on all items. With `cached`, its plans' results may come from an earlier run."""
        queries = [self.rollouts.task.query(item) for item in self.items]
        planned = controller.plan(queries, self.space)
        total = len(planned) * self.draws
        starts = [0.0] * total if self.arrivals is None else self.arrivals.times(total, seed=0)
        jobs = [
            Job(item=item, how=p.how, identity=RunIdentity(epoch="test", rollout=draw), start_s=starts.pop(0))
            for draw in range(self.draws)
            for item, p in zip(self.items, planned, strict=True)
        ]
        stored = self._stored(jobs) if cached and self.cache is not None else None
        if stored is not None and (results := _kept(stored)) is not None:
            return Row(name=controller.name, group=group, results=results), []
        with self.progress.bar(f"testing {controller.name}", total=len(jobs)) as bar:
            outcomes = await self.rollouts.run(jobs, on_done=bar.advance)
        results = tuple(ItemResult.of(o, timed=self.rollouts.runtime.pool.timed) for o in outcomes)
        if stored is not None and not self.rollouts.limit_reached:
            write_atomically(stored, json.dumps([asdict(r) for r in results]))
        return Row(name=controller.name, group=group, results=results), outcomes

    async def baselines(self, cost_rate: float) -> list[Row]:
        """Random plans, every LLM alone, and teams of the best LLMs (by their utility alone on these items)."""
        domain = self.rollouts.task.domain
        drawn, _ = await self.run(RandomPlans(domain), group="random", cached=True)
        singles = [
            (await self.run(single(card.name, domain), group="single LLM", cached=True))[0] for card in self.space.cards
        ]
        best = sorted(singles, key=lambda row: (-rank(row.utility(cost_rate).mean), -row.accuracy.mean))
        simple = simple_teams(self.space, [row.name for row in best], domain, llms=1)
        teams = [(await self.run(team, group="fixed mode", cached=True))[0] for team in simple]
        return [drawn, *singles, *teams]

    def _stored(self, jobs: Sequence[Job[ItemT]]) -> Path | None:
        runtime, task = self.rollouts.runtime, self.rollouts.task
        model = runtime.pool.model
        if self.cache is None or not isinstance(model, SimulatedModel):  # paid answers have a cache of their own
            return None
        plans = [job.how for job in jobs if isinstance(job.how, Plan)]
        if len(plans) < len(jobs) or runtime.prompts.uses_tools:  # these have no content that could be compared
            return None
        content = {
            "code": code_fingerprint(),
            "cards": [card.model_dump(mode="json") for card in runtime.pool.cards.values()],
            "simulation": [repr(model.assumptions), model.seed],
            "prompts": runtime.prompts.hash,
            "task": dict(task.notes),
            "calls": [runtime.temperature, runtime.request_timeout_s, repr(self.rollouts.budget)],
            "concurrency": self.rollouts.concurrency,
            "jobs": [
                _everything(job, plan, model.world.get(task.query(job.item).id))
                for job, plan in zip(jobs, plans, strict=True)
            ],
        }
        key = hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()
        return self.cache / f"{key}.json"


_RESULTS = TypeAdapter(tuple[ItemResult, ...])


def _kept(path: Path) -> tuple[ItemResult, ...] | None:
    """Results of an earlier run; None where there are none, or they are damaged and have to be found again."""
    try:
        return validated(_RESULTS, read_json(path, finite=False), str(path)) if path.is_file() else None
    except DataError:
        return None


def _everything(job: Job[ItemT], plan: Plan, known: SimItem | None) -> list[object]:
    """All that decides one job, as JSON takes it."""
    return [job.identity.rollout, repr(job.item), repr(known), plan.to_json(), job.start_s]


def code_fingerprint() -> str:
    """Hash of everything that decides what a simulated run does, so that no result outlives a change of it."""
    digest = hashlib.blake2b(digest_size=12)
    for package in ("mar.types", "mar.pool", "mar.runtime", "mar.tasks"):
        for path in _files(resources.files(package)):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _files(folder: Traversable) -> list[Traversable]:
    found: list[Traversable] = []
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.is_dir() and entry.name != "__pycache__":
            found.extend(_files(entry))
        elif entry.is_file():
            found.append(entry)
    return found
