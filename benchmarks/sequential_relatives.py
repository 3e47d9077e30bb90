# pyright: basic
"""The sequential controller beside its published relatives, LLMs alone and simple teams, on one simulated pool.

    uv run python benchmarks/sequential_relatives.py    (--tasks mbpp --seeds 0: a part; goes on where it was stopped)

Two benchmarks, 200 training items, 200 test items, two draws, five seeds; the seed draws the training calls, the test
items are the same for all. The threshold cascade, the agreement cascade and cascade routing learn from one call of
every LLM on every training item, the sequential controller from its own inquiry into the same items, the TRINITY-like
head from episodes; each from at most 3,000 calls. The price of money is such that the median random plan costs a tenth
of utility. The best simple plan is chosen in hindsight, on the test items. Intervals are paired bootstraps over items
and seeds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _learning import SEEDS, mean, utilities, verdict
from _shared import RUNS, data_folder, machine

from mar import clock
from mar.controllers.base import Controller, PlanSpace
from mar.controllers.baselines import RandomPlans
from mar.controllers.cascades import relatives
from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.controllers.sequential import Sequential, Terms
from mar.evaluation.comparison import Comparison
from mar.evaluation.experiment import MEDIAN_PLAN_UTILITY, PILOT
from mar.evaluation.results import ItemResult
from mar.evaluation.session import Session
from mar.evaluation.statistics import paired_bootstrap
from mar.files import write_atomically
from mar.learning.progress import Progress
from mar.learning.rollouts import Job, Rollouts
from mar.learning.sequential import Gathering, learn_mind
from mar.learning.trinity import Evolution
from mar.runtime import RunIdentity
from mar.tasks.registry import load_task
from mar.tasks.task import Task, subset

TASKS = ("mmlu_pro", "mbpp")
TRAIN, TEST, DRAWS = 200, 200, 2
SHOWN = 5  # of the simple plans, the best
LEARNED = ("sequential", "threshold cascade", "agreement cascade", "cascade routing", "TRINITY-like")
Results = dict[str, list[ItemResult]]


@dataclass(slots=True, kw_only=True)
class Bench:
    """One benchmark with its items."""

    task: Task[Any]
    train: Sequence[Any]
    test: Sequence[Any]
    folder: Path
    progress: Progress
    encoder: CachedEncoder

    def report(self, seeds: Sequence[int]) -> None:
        """Measure what has not been yet, on one open pool, then print."""
        fixed, learned = self.folder / "fixed.json", [self.folder / f"seed-{seed}.json" for seed in seeds]

        async def measure() -> None:
            session = Session(
                task=self.task,
                items=[*self.train, *self.test],
                pool="simulated",
                progress=self.progress,
                encoder=self.encoder,
            )
            async with session.open() as rollouts:
                space = PlanSpace.of(rollouts.runtime.pool, rollouts.runtime.prompts)
                comparison = Comparison(
                    rollouts=rollouts, space=space, items=self.test, progress=self.progress, draws=DRAWS
                )
                if not fixed.is_file():
                    await self.fixed(fixed, rollouts, space, comparison)
                for seed, path in zip(seeds, learned, strict=True):
                    if not path.is_file():
                        await self.learned(path, rollouts, space, comparison, seed, _json(fixed)["rate"])

        if not all(path.is_file() for path in (fixed, *learned)):
            clock.run(measure, virtual=True)
        show(self, _json(fixed), [_json(path) for path in learned])

    # What is measured -----------------------------------------------------------------------------------------

    async def fixed(self, path: Path, rollouts: Rollouts[Any], space: PlanSpace, comparison: Comparison[Any]) -> None:
        """The price of money, and everything that nobody learned."""
        items = self.train[:PILOT]
        plans = RandomPlans(self.task.domain).plan([self.task.query(i) for i in items], space)
        identity = RunIdentity(epoch="pilot")
        jobs = [Job(item=i, how=p.how, identity=identity) for i, p in zip(items, plans, strict=True)]
        costs = sorted(o.cost_usd for o in await rollouts.run(jobs) if o.cost_usd)
        rate = float(f"{MEDIAN_PLAN_UTILITY / costs[len(costs) // 2]:.3g}")
        rows = await comparison.baselines(rate)
        _write(path, {r.name: list(r.results) for r in rows if r.group != "random"}, rate=rate)

    async def learned(
        self,
        path: Path,
        rollouts: Rollouts[Any],
        space: PlanSpace,
        comparison: Comparison[Any],
        seed: int,
        rate: float,
    ) -> None:
        """Every controller that learns."""
        found: Results = {}
        calls: dict[str, int] = {}
        for controller, made in await self._controllers(rollouts, space, seed, rate):
            row, _ = await comparison.run(controller, group="learned")
            found[controller.name], calls[controller.name] = list(row.results), made
        _write(path, found, calls=calls)

    async def _controllers(
        self, rollouts: Rollouts[Any], space: PlanSpace, seed: int, rate: float
    ) -> list[tuple[Controller, int]]:
        """With the calls that each was learned from."""
        domain, encoder, progress = self.task.domain, self.encoder, self.progress
        gathering = Gathering(rollouts=rollouts, cards=space.cards, progress=progress, seed=seed)
        asked = await gathering.gather(gathering.affordable(self.train))
        mind = learn_mind(asked, space.cards, domain, encoder)
        controllers: list[tuple[Controller, int]] = [
            (Sequential([mind], encoder, Terms(cost_rate=rate), domain=domain), sum(len(a.calls) for a in asked))
        ]
        alone = Gathering(
            rollouts=rollouts, cards=space.cards, progress=progress, seed=seed, readers=0, strategies=(None,)
        )
        single = await alone.gather(alone.affordable(self.train))
        made = sum(len(a.calls) for a in single)
        controllers += [(c, made) for c in relatives(single, space.cards, domain, encoder, rate)]
        evolution = Evolution(
            rollouts=rollouts, space=space, encoder=encoder, progress=progress, cost_rate=rate, seed=seed
        )
        trinity = await evolution.evolve(self.train)
        return [*controllers, (trinity, evolution.calls)]


def _write(path: Path, results: Results, **more: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    items = {name: [asdict(r) for r in found] for name, found in results.items()}
    write_atomically(path, json.dumps({"results": items, **more}, allow_nan=False))


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _read(found: Mapping[str, Any]) -> Results:
    return {name: [ItemResult(**i) for i in items] for name, items in found["results"].items()}


# What is printed ----------------------------------------------------------------------------------------------


def show(bench: Bench, fixed: Mapping[str, Any], seeds: Sequence[Mapping[str, Any]]) -> None:
    """One benchmark's tables."""
    rate, plans, learned = fixed["rate"], _read(fixed), [_read(s) for s in seeds]
    print(
        f"\n### {bench.task.name}: {len(bench.train)} training items, {len(bench.test)} test items x {DRAWS} draws, "
        f"{len(seeds)} seeds, cost_rate {rate:g}; simulated pool\n"
    )
    worth = {name: mean([r.utility(rate) for r in results]) for name, results in plans.items()}
    best = max(worth, key=lambda name: worth[name])
    print("| controller | accuracy % | utility | USD / 100 | calls | learned from | minus sequential | 95% | |", end="")
    print(f" minus {best}, the best simple plan in hindsight | 95% | |\n" + "|---" * 12 + "|")
    runs = {name: [_by_item(run[name], rate) for run in learned] for name in LEARNED}
    simple = [_by_item(plans[best], rate)] * len(seeds)
    for name in LEARNED:
        results = [r for run in learned for r in run[name]]
        calls = f"{np.mean([s['calls'][name] for s in seeds]):,.0f} calls"
        versus = ["", "", ""] if name == LEARNED[0] else _compared(runs[name], runs[LEARNED[0]])
        print(
            "| " + " | ".join([*_figures(name, results, rate), calls, *versus, *_compared(runs[name], simple)]) + " |"
        )
    for name in sorted(worth, key=lambda n: -worth[n])[:SHOWN]:
        versus = _compared([_by_item(plans[name], rate)] * len(seeds), runs[LEARNED[0]])
        print("| " + " | ".join([*_figures(name, plans[name], rate), "", *versus, "", "", ""]) + " |")


def _by_item(results: Sequence[ItemResult], rate: float) -> list[float]:
    return utilities(results, rate, DRAWS)


def _figures(name: str, results: Sequence[ItemResult], rate: float) -> list[str]:
    cost, calls = 100 * mean([r.cost_usd or 0.0 for r in results]), mean([float(r.calls) for r in results])
    utility = mean([r.utility(rate) for r in results])
    return [
        name,
        f"{100 * mean([float(r.solved) for r in results]):.1f}",
        f"{utility:.3f}",
        f"{cost:.4f}",
        f"{calls:.1f}",
    ]


def _compared(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> list[str]:
    d = paired_bootstrap(ours, theirs)
    return [f"{d.mean:+.4f}", f"{d.low:+.4f} to {d.high:+.4f}", verdict(d)]


def main() -> None:
    """Measure what has not been yet, then print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--train", type=int, default=TRAIN)
    parser.add_argument("--test", type=int, default=TEST)
    arguments = parser.parse_args()
    print(machine())
    encoder = CachedEncoder(MiniLM())
    for name in arguments.tasks:
        task = load_task(name, data=data_folder())
        bench = Bench(
            task=task,
            train=subset(task, "train", arguments.train).items,
            test=subset(task, "test", arguments.test).items,
            folder=RUNS / f"relatives-{name}-{arguments.train}-{arguments.test}",
            progress=Progress(),
            encoder=encoder,
        )
        bench.report(arguments.seeds)


if __name__ == "__main__":
    main()
