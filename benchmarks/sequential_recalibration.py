# pyright: basic
"""Would a map of the stated probabilities, learned from the training items, make them truer?

    uv run python benchmarks/sequential_recalibration.py    (--tasks math: a part; goes on where it was stopped)

The simulated pool and the training and validation items of six_benchmarks.py; no test item is looked at. Beliefs are
learned from the calls on four fifths of the items, and the controller plays the others, two draws at three prices of
money. To what it stated then and what came true a logistic map is fitted (logit p to a + b logit p, with normal priors
of spread PRIOR about the identity; an item counts once, however often it was played) on four fifths of the items, and
tried on the rest. It would be kept if it made what came true more probable.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _shared import RUNS, data_folder, machine
from six_benchmarks import FACTORS, RATES, excerpt

from mar import clock
from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.controllers.sequential import Sequential, Terms
from mar.evaluation.comparison import Comparison
from mar.evaluation.session import Session
from mar.evaluation.statistics import calibration_by_chance, calibration_error
from mar.files import write_atomically
from mar.learning.progress import Progress
from mar.learning.sequential import Gathering, learn_minds
from mar.tasks.registry import load_task
from mar.types import Considered

TASKS = ("math", "mmlu", "mmlu_pro")
FOLDS, DRAWS = 5, 2
PRIOR = 0.3
FAR = 1e-4  # from 0 and 1, at least

Case = tuple[int, float, bool]  # the item's number, the stated probability, and whether the answer is right


def stated(name: str, encoder: CachedEncoder) -> dict[float, list[Case]]:
    """What was stated of items that were not learned from, by factor of the price of money; measured once."""
    path = RUNS / "sequential_recalibration" / f"{name}.json"
    if not path.is_file():
        clock.run(lambda: measure(name, encoder, path), virtual=True)
    found = json.loads(path.read_text(encoding="utf-8"))
    return {factor: [(int(i), float(p), bool(r)) for i, p, r in found[f"{factor:g}"]] for factor in FACTORS}


async def measure(name: str, encoder: CachedEncoder, path: Path) -> None:
    """Play held-out items."""
    task, progress = excerpt(load_task(name, data=data_folder())), Progress()
    everything = [item for split in ("train", "validation", "test") for item in task.items(split)]
    session = Session(task=task, items=everything, pool="simulated", progress=progress, encoder=encoder)
    found: dict[str, list[Case]] = {f"{factor:g}": [] for factor in FACTORS}
    async with session.open() as rollouts:
        space = PlanSpace.of(rollouts.runtime.pool, session.prompts)
        gathering = Gathering(rollouts=rollouts, cards=space.cards, progress=progress)
        items = gathering.affordable([*task.items("train"), *task.items("validation")])
        asked = await gathering.gather(items)
        for fold in range(FOLDS):
            minds = learn_minds(
                [a for i, a in enumerate(asked) if i % FOLDS != fold], space.cards, task.domain, encoder
            )
            held = range(fold, len(items), FOLDS)
            comparison = Comparison(
                rollouts=rollouts, space=space, items=[items[i] for i in held], progress=progress, draws=DRAWS
            )
            for factor in FACTORS:
                controller = Sequential(minds, encoder, Terms(cost_rate=RATES[name] * factor), domain=task.domain)
                row, outcomes = await comparison.run(controller, group="learned")
                for i, result, outcome in zip([*held] * DRAWS, row.results, outcomes, strict=True):
                    last = [e for e in outcome.episode.events if isinstance(e, Considered)][-1]
                    found[f"{factor:g}"].append((i, last.why.options[0].right or 0.0, result.solved))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(found))


def logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, FAR, 1 - FAR)
    return np.log(p / (1 - p))


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def fitted(p: np.ndarray, right: np.ndarray, weight: float) -> np.ndarray:
    """a and b of the most probable map, by Newton's method."""
    x = np.stack([np.ones_like(p), logit(p)], 1)
    prior, bend = np.array([0.0, 1.0]), np.eye(2) / PRIOR**2
    found = prior
    for _ in range(30):
        q = logistic(x @ found)
        slope = weight * x.T @ (right - q) - bend @ (found - prior)
        found = found + np.linalg.solve(weight * (x * (q * (1 - q))[:, None]).T @ x + bend, slope)
    return found


def log_score(p: np.ndarray, right: np.ndarray) -> float:
    """Mean log-probability of what came true."""
    p = np.clip(p, FAR, 1 - FAR)
    return float(np.mean(np.where(right > 0, np.log(p), np.log(1 - p))))


def show(name: str, found: dict[float, list[Case]]) -> None:
    """One benchmark's rows."""
    item, p, right = (
        np.array(column) for column in zip(*[case for cases in found.values() for case in cases], strict=True)
    )
    parts = np.random.default_rng(0).integers(0, FOLDS, int(item.max()) + 1)[item]
    mapped, weight = np.zeros_like(p), 1 / (DRAWS * len(FACTORS))
    for part in range(FOLDS):
        a, b = fitted(p[parts != part], right[parts != part], weight)
        mapped[parts == part] = logistic(a + b * logit(p[parts == part]))
    begin = 0
    for factor, cases in found.items():
        mine = slice(begin, begin + len(cases))
        begin += len(cases)
        chance = calibration_by_chance(p[mine].tolist(), (right[mine] > 0).tolist(), item[mine].tolist())
        errors = [calibration_error(q[mine].tolist(), (right[mine] > 0).tolist()) for q in (p, mapped)]
        cells: Sequence[Any] = [name, f"{factor:g}", f"{p[mine].mean():.3f}", f"{right[mine].mean():.3f}"]
        cells = [
            *cells,
            f"{errors[0]:.3f}",
            f"{chance.mean:.3f} ({chance.low:.3f} to {chance.high:.3f})",
            f"{errors[1]:.3f}",
        ]
        scores = [f"{log_score(q[mine], right[mine]):.4f}" for q in (p, mapped)]
        print(f"| {' | '.join([*cells, *scores])} |", flush=True)


def main() -> None:
    """Measure what has not been yet, then print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", nargs="+", choices=list(RATES), default=list(TASKS))
    arguments = parser.parse_args()
    print(machine())
    encoder = CachedEncoder(MiniLM())
    found = {name: stated(name, encoder) for name in arguments.tasks}
    print("\n| benchmark | cost_rate x | stated | right | ECE | of true probabilities, 95% | ECE, mapped "
          "| log-score | log-score, mapped |\n" + "|---" * 9 + "|")  # fmt: skip
    for name, cases in found.items():
        show(name, cases)


if __name__ == "__main__":
    main()
