# pyright: basic
"""How few training items the sequential controller needs: 0, 8, 32, 100 and 200 of them, beside simple plans.

    uv run python benchmarks/sequential_learning.py    (--tasks mbpp --sizes 32: a part; goes on where it was stopped)

Simulated pool, real questions, the test items and the price of money of `six_benchmarks.py`, two draws per test item.
The seed draws the training items and the calls about them. Beside the controller stands the best simple plan (every LLM
alone, every mode with the best LLM) that the same items would choose, which costs about as many calls, and the best on
the test items themselves, in hindsight. Intervals are paired bootstraps over items and seeds; the last table counts
runs, seed by seed, in which the controller is not below the simple plan that the same items chose.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from _learning import SEEDS, mean, read_items, utilities, verdict
from _shared import RUNS, data_folder, machine
from six_benchmarks import RATES, SAMPLES, excerpt

from mar import clock
from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.evaluation.comparison import Comparison
from mar.evaluation.experiment import run_experiment
from mar.evaluation.options import RunOptions
from mar.evaluation.results import ORACLE, ItemResult
from mar.evaluation.session import Session
from mar.evaluation.statistics import paired_bootstrap
from mar.files import write_atomically
from mar.learning.progress import Progress
from mar.tasks.registry import TASKS, load_task
from mar.tasks.resplit import OtherSplits
from mar.tasks.task import Task, subset

SIZES = (0, 8, 32, 100, 200)
DRAWS = 2
Results = dict[str, list[ItemResult]]


def without_validation(task: Task[Any]) -> OtherSplits:
    """The excerpt of the six benchmarks without validation items."""
    cut = excerpt(task)
    return OtherSplits(
        task=cut, splits={"train": cut.items("train"), "validation": (), "test": cut.items("test")}, how="an excerpt"
    )


def simple_plans(task: Any, name: str) -> tuple[Results, Results]:
    """All simple plans on the training items (one draw), and on the test items as the six benchmarks have them."""
    tested = RUNS / f"six-{name}-1-fixed"
    if not (tested / "items.json").is_file():
        raise SystemExit(
            f"no fixed plans in {tested}; run benchmarks/six_benchmarks.py --tasks {name} --effects 1 first"
        )

    async def run() -> dict[str, list[dict[str, Any]]]:
        items, progress = task.items("train"), Progress()
        session = Session(task=task, items=items, pool="simulated", progress=progress, encoder=CachedEncoder(MiniLM()))
        async with session.open() as rollouts:
            space = PlanSpace.of(rollouts.runtime.pool, session.prompts)
            comparison = Comparison(rollouts=rollouts, space=space, items=items, progress=progress)
            rows = await comparison.baselines(RATES[name])
        return {r.name: [asdict(i) for i in r.results] for r in rows if r.group != "random"}

    path = RUNS / "learning" / f"{name}-simple.json"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(clock.run(run, virtual=True)))
    kept = json.loads(path.read_text(encoding="utf-8"))
    return {plan: [ItemResult(**r) for r in results] for plan, results in kept.items()}, read_items(tested)


def learned(task: Any, name: str, size: int, seed: int) -> list[ItemResult]:
    """The controller that so many items taught, on the test items."""
    folder: Path = RUNS / "learning" / f"{name}-{size}-{seed}"
    if not (folder / "items.json").is_file():
        options = RunOptions(
            pool="simulated",
            cost_rate=RATES[name],
            seed=seed,
            controllers=("sequential",),
            epochs=1,
            calls=3000 if size else 0,
            train_limit=size,
            test_draws=DRAWS,
            baselines=False,
            out=folder,
        )
        run_experiment(task, options)
    return read_items(folder)["sequential"]


def measure(name: str, sizes: Sequence[int], seeds: Sequence[int]) -> dict[int, list[float]]:
    """Print one benchmark's rows; differences to the plan that the same items chose, by size and seed."""
    task, rate = without_validation(load_task(name, data=data_folder())), RATES[name]
    on_train, on_test = simple_plans(task, name)
    plans = [plan for plan in on_train if plan in on_test and plan != ORACLE]
    draws = len(next(iter(on_test.values()))) // len(task.items("test"))
    order = {task.query(item).id: place for place, item in enumerate(task.items("train"))}

    def value(results: Sequence[ItemResult]) -> float:
        return mean([r.utility(rate) for r in results])

    best = max(plans, key=lambda p: value(on_test[p]))
    differences: dict[int, list[float]] = {}
    for size in sizes:
        runs, chosen = [], []
        for seed in seeds:
            runs.append(learned(task, name, size, seed))
            mine = [order[task.query(i).id] for i in subset(task, "train", size, seed).items]
            chosen.append(max(plans, key=lambda p, m=mine: sum(on_train[p][i].utility(rate) for i in m)))
        each = [utilities(r, rate, DRAWS) for r in runs]
        told = f"| {name} | {min(size, len(order))} | {mean([value(r) for r in runs]):.3f} "
        cells: list[str] = []
        if size:
            other = [utilities(on_test[p], rate, draws) for p in chosen]
            differences[size] = [mean(a) - mean(b) for a, b in zip(each, other, strict=True)]
            d = paired_bootstrap(each, other)
            cells += [f"{mean([mean(o) for o in other]):.3f}", f"{d.mean:+.4f} ({d.low:+.4f} to {d.high:+.4f})"]
            cells += [verdict(d)]
        else:
            cells += ["", "", ""]
        d = paired_bootstrap(each, [utilities(on_test[best], rate, draws)] * len(each))
        cells += [f"{value(on_test[best]):.3f}", f"{d.mean:+.4f} ({d.low:+.4f} to {d.high:+.4f})", verdict(d)]
        print(f"{told}| {' | '.join(cells)} |", flush=True)
    return differences


def main() -> None:
    """Measure, print, count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    arguments = parser.parse_args()
    print(f"{machine()}\n\n{SAMPLES['test']} test items at most, {DRAWS} draws; simulated pool, version 2\n")
    print("| benchmark | items | sequential | simple plan they chose | difference | | in hindsight | minus it | |")
    print("|---|---|---|---|---|---|---|---|---|")
    found = [measure(name, arguments.sizes, arguments.seeds) for name in arguments.tasks]
    print("\n| items | runs | not below the simple plan that the same items chose |\n|---|---|---|")
    for size in (s for s in arguments.sizes if s):
        each = [d for differences in found for d in differences[size]]
        print(f"| {size} | {len(each)} | {sum(d >= 0 for d in each)} |")


if __name__ == "__main__":
    main()
