# pyright: basic
"""What asking several models at once is worth where time has a price: the sequential controller with and without it.

    uv run python benchmarks/sequential_time.py

Simulated pool on virtual time, so seconds are those of published serving speeds. 100 training items, 100
test items, five seeds; the same minds, questions and draws on both sides, only that one of them asks one at a time.
Utility is quality less money less time. Intervals are paired bootstraps over items and seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from _learning import SEEDS, verdict
from _shared import data_folder, machine

from mar import clock
from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import CachedEncoder, HashEncoder
from mar.controllers.sequential import Sequential, Terms
from mar.evaluation.session import Session
from mar.evaluation.statistics import paired_bootstrap
from mar.learning.progress import Progress
from mar.learning.rollouts import Job
from mar.learning.sequential import Gathering, learn_mind
from mar.runtime import RunIdentity
from mar.tasks.registry import load_task
from mar.tasks.task import subset

TASKS = ("mmlu_pro", "gsm8k")
RATES = {"mmlu_pro": 22.9, "gsm8k": 33.9}  # of money: as in six_benchmarks.py
TIME_RATES = (0.0, 0.001, 0.005, 0.02)  # utility per second
TRAIN, TEST = 100, 100


def measure(name: str, seed: int) -> dict[tuple[float, bool], np.ndarray]:
    """Quality, USD, seconds and calls of every test item, by price of time and whether it asks several at once."""
    task: Any = load_task(name, data=data_folder())
    train, test = subset(task, "train", TRAIN, seed=0).items, subset(task, "test", TEST, seed=0).items
    encoder, progress = CachedEncoder(HashEncoder()), Progress(quiet=True)
    session = Session(task=task, items=[*train, *test], pool="simulated", progress=progress, encoder=encoder)
    found: dict[tuple[float, bool], np.ndarray] = {}

    async def work() -> None:
        async with session.open() as rollouts:
            space = PlanSpace.of(rollouts.runtime.pool, rollouts.runtime.prompts)
            gathering = Gathering(rollouts=rollouts, cards=space.cards, progress=progress, seed=seed)
            asked = await gathering.gather(gathering.affordable(train))
            mind = learn_mind(asked, space.cards, task.domain, encoder)
            for rate in TIME_RATES:
                terms = Terms(cost_rate=RATES[name], time_rate=rate)
                for at_once in (False, True):
                    of = replace(terms, most_at_once=terms.most_at_once if at_once else 1)
                    controller = Sequential([mind], encoder, of, domain=task.domain)
                    planned = controller.plan([task.query(i) for i in test], space)
                    identity = RunIdentity(seed=seed, epoch="test")
                    jobs = [Job(item=i, how=p.how, identity=identity) for i, p in zip(test, planned, strict=True)]
                    found[rate, at_once] = np.array(
                        [
                            (o.score.value, o.cost_usd or 0.0, o.episode.latency_s, len(list(o.episode.calls())))
                            for o in await rollouts.run(jobs)
                        ]
                    )

    clock.run(work, virtual=True)
    return found


def show(name: str, runs: Sequence[dict[tuple[float, bool], np.ndarray]]) -> None:
    """One benchmark's table."""
    print(f"\n### {name}: {TEST} test items, {len(runs)} seeds, cost_rate {RATES[name]:g}; simulated pool\n")
    print(
        "| utility per second | asks | quality | USD / 100 | seconds | calls | utility | at once - one by one | 95% | |"
    )
    print("|---" * 10 + "|")
    for rate in TIME_RATES:
        worth: dict[bool, list[list[float]]] = {}
        for at_once in (False, True):
            each = [run[rate, at_once] for run in runs]
            worth[at_once] = [(x[:, 0] - RATES[name] * x[:, 1] - rate * x[:, 2]).tolist() for x in each]
            quality, usd, seconds, calls = np.concatenate(each).mean(0)
            cells = [f"{rate:g}", "several at once" if at_once else "one by one", f"{quality:.3f}", f"{100 * usd:.4f}"]
            cells += [f"{seconds:.1f}", f"{calls:.2f}", f"{np.mean(worth[at_once]):.4f}"]
            if at_once:
                d = paired_bootstrap(worth[True], worth[False])
                cells += [f"{d.mean:+.4f}", f"{d.low:+.4f} to {d.high:+.4f}", verdict(d)]
            print(f"| {' | '.join(cells)}{' |' * (11 - len(cells))}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    arguments = parser.parse_args()
    print(machine())
    for name in arguments.tasks:
        show(name, [measure(name, seed) for seed in arguments.seeds])


if __name__ == "__main__":
    main()
