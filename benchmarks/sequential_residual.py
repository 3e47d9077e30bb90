# pyright: basic
"""What a residual policy adds to the belief: scores of calls corrected by policy search (separable CMA-ES).

    uv run python benchmarks/sequential_residual.py    (--tasks mbpp --seeds 0: a part; goes on where it was stopped)

Two benchmarks, simulated pool, real questions, five seeds. Every LLM is asked every question once, alone, so any policy
that asks each LLM at most once can be replayed on these answers without a call. A mind is learned from half of 240
training questions. On the other half CMA-ES then searches what is added to a call's expected value: for each LLM a
constant, one more after the first call, and one for each coordinate of the text; and a margin for going on. Fitness is
utility on these questions; a weight for small numbers is chosen among WEIGHTS by a further split. Tested on 300 other
questions against the same mind without a residual, and against one learned from all 240. Paired bootstraps over items
and seeds.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cma
import numpy as np
import torch
from _learning import SEEDS, mean, verdict
from _shared import RUNS, data_folder, machine
from six_benchmarks import RATES

from mar import clock
from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.controllers.sequential import Asked
from mar.controllers.sequential.calls import RIGHT, evidence_of
from mar.controllers.sequential.mind import Mind
from mar.controllers.sequential.planner import Case, Planner
from mar.controllers.sequential.policy import CHARS_PER_TOKEN
from mar.evaluation.session import Session
from mar.evaluation.statistics import paired_bootstrap
from mar.files import write_atomically
from mar.learning.progress import Progress
from mar.learning.sequential import Gathering, learn_mind
from mar.pool.cards import ModelCard
from mar.tasks.registry import load_task
from mar.tasks.task import subset
from mar.types import Query

TASKS = ("mbpp", "mmlu_pro")
TRAIN, TEST = 240, 300
GENERATIONS, STEP = 40, 0.05
WEIGHTS = (0.1, 1.0, 10.0)  # of the squared residual in the fitness
MOST_CALLS = 5


@dataclass(slots=True, kw_only=True)
class Replay:
    """Questions with one answer of every LLM, and what a mind thinks of any of them."""

    mind: Mind
    planner: Planner
    queries: Sequence[Query]
    asked: Sequence[Asked]
    coordinates: np.ndarray  # of the texts, (Q, K)
    skill: np.ndarray  # (Q, M)
    cards: dict[str, ModelCard]
    rate: float
    seen: dict[tuple[int, frozenset[int]], tuple[np.ndarray, int, float]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        mind: Mind,
        queries: Sequence[Query],
        asked: Sequence[Asked],
        cards: Sequence[ModelCard],
        encoder: CachedEncoder,
        rate: float,
    ) -> Replay:
        vectors = torch.from_numpy(encoder.encode([q.text for q in queries]))
        return cls(
            mind=mind,
            planner=Planner(mind.beliefs, telling=mind.habits.telling),
            queries=queries,
            asked=asked,
            coordinates=mind.topics(vectors).numpy(),
            skill=mind.skill(vectors).numpy().astype(np.float64),
            cards={c.name: c for c in cards},
            rate=rate,
        )

    def value(self, question: int, models: frozenset[int]) -> tuple[np.ndarray, int, float]:
        """Expected chance of being right after a call of each LLM, the call with the best answer, and its chance."""
        key = (question, models)
        if key not in self.seen:
            names = self.mind.habits.models
            whole = self.asked[question]
            calls = tuple(c for c in whole.calls if names.index(c.model) in models)
            part = Asked(
                text=whole.text, form=whole.form, options=whole.options, calls=calls, equivalent=whole.equivalent
            )
            said, numbered = evidence_of(part, self.mind.habits)
            tested = bool(self.queries[question].shown_tests.tests)
            case = Case(said=tuple(said), skill=self.skill[question], options=whole.options, tested=tested)
            (outlook,) = self.planner.consider([case])
            best, now = -1, 0.0
            if calls and len(outlook.right):
                now, answer = outlook.now, int(outlook.right.argmax())
                programs = part.form == "programs"
                best = names.index(calls[answer if programs else numbered.said.index(answer)].model)
            self.seen[key] = outlook.alone[0], best, now
        return self.seen[key]

    def utilities(self, residual: np.ndarray | None) -> np.ndarray:
        """Utility of every question under a residual, (Q,)."""
        habits, k = self.mind.habits, self.coordinates.shape[1]
        m = len(habits.models)
        leaning = np.zeros((m, k + 2)) if residual is None else residual[1:].reshape(m, k + 2)
        margin = 0.0 if residual is None else float(residual[0])
        found: list[float] = []
        for q, query in enumerate(self.queries):
            prompt = len(query.text) / CHARS_PER_TOKEN + habits.overhead
            price = np.array(
                [
                    self.rate * _usd(self.cards[n], round(prompt), round(w))
                    for n, w in zip(habits.models, habits.written, strict=True)
                ]
            )
            features = np.concatenate([[1.0, 0.0], self.coordinates[q]])
            heard: frozenset[int] = frozenset()
            while True:
                after, best, now = self.value(q, heard)
                features[1] = float(bool(heard))
                worth = after + leaning @ features - price
                worth[list(heard)] = -np.inf
                pick = int(worth.argmax())
                if len(heard) == MOST_CALLS or (heard and worth[pick] <= now + margin):
                    break
                heard |= {pick}
            made = {habits.models.index(c.model): c for c in self.asked[q].calls}
            quality = float((made[best].quality or 0.0) >= RIGHT) if best in made else 0.0
            used = [made[i] for i in heard if i in made]
            usd = sum(_usd(self.cards[c.model], c.prompt_tokens or 0, c.completion_tokens or 0) for c in used)
            found.append(quality - self.rate * usd)
        return np.array(found)


def _usd(card: ModelCard, prompt: int, completion: int) -> float:
    """Of a call; the simulated pool's models are priced by tokens."""
    return card.cost_usd(prompt_tokens=prompt, completion_tokens=completion, seconds=0.0) or 0.0


def searched(replay: Replay, weight: float, seed: int) -> np.ndarray:
    """The residual that CMA-ES finds."""
    size = 1 + len(replay.mind.habits.models) * (replay.coordinates.shape[1] + 2)
    rng = np.random.default_rng(seed)
    draw = {"seed": np.nan, "randn": lambda *shape: rng.standard_normal(shape)}
    strategy = cma.CMAEvolutionStrategy(np.zeros(size), STEP, {"CMA_diagonal": True, "verbose": -9, **draw})
    for _ in range(GENERATIONS):
        candidates = strategy.ask()
        losses = [weight * float((c**2).sum()) / size - replay.utilities(c).mean() for c in candidates]
        strategy.tell(candidates, losses)
    return strategy.mean


def halves(replay: Replay) -> tuple[Replay, Replay]:
    """A replay's questions in two."""

    def part(places: range) -> Replay:
        at = list(places)
        return Replay(
            mind=replay.mind,
            planner=replay.planner,
            queries=[replay.queries[i] for i in at],
            asked=[replay.asked[i] for i in at],
            coordinates=replay.coordinates[at],
            skill=replay.skill[at],
            cards=replay.cards,
            rate=replay.rate,
        )

    n = len(replay.queries)
    return part(range(0, n, 2)), part(range(1, n, 2))


def residual_of(replay: Replay, seed: int) -> tuple[np.ndarray, float]:
    """The residual with the weight that is best across two halves, and what it gained on the half it did not see."""
    gains: dict[float, float] = {}
    a, b = halves(replay)
    for weight in WEIGHTS:
        across = [
            (test.utilities(searched(train, weight, seed)) - test.utilities(None)).mean()
            for train, test in ((a, b), (b, a))
        ]
        gains[weight] = float(np.mean(across))
    weight = max(gains, key=lambda w: gains[w])
    return searched(replay, weight, seed), gains[weight]


def measure(name: str, seed: int) -> dict[str, Any]:
    """One seed: utilities on the test questions with and without a residual."""
    path = RUNS / "residual" / f"{name}-{seed}.json"
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    task, encoder, progress = load_task(name, data=data_folder()), CachedEncoder(MiniLM()), Progress()
    train, test = list(subset(task, "train", TRAIN, seed=0).items), list(subset(task, "test", TEST, seed=0).items)
    random.Random(seed).shuffle(train)

    async def gather() -> tuple[list[Asked], list[Asked], tuple[ModelCard, ...]]:
        session = Session(task=task, items=[*train, *test], pool="simulated", progress=progress, encoder=encoder)
        async with session.open() as rollouts:
            cards = PlanSpace.of(rollouts.runtime.pool, session.prompts).cards
            gathering = Gathering(
                rollouts=rollouts, cards=cards, progress=progress, seed=seed, readers=0, strategies=(None,)
            )
            return await gathering.gather(train), await gathering.gather(test), cards

    heard, held_out, cards = clock.run(gather, virtual=True)
    half, rate = len(train) // 2, RATES[name]

    def replay(mind: Mind, items: Sequence[Any], asked: Sequence[Asked]) -> Replay:
        return Replay.of(mind, [task.query(i) for i in items], asked, cards, encoder, rate)

    mind = learn_mind(heard[:half], cards, task.domain, encoder, strategies=(None,))
    residual, seen = residual_of(replay(mind, train[half:], heard[half:]), seed)
    tested = replay(mind, test, held_out)
    whole = learn_mind(heard, cards, task.domain, encoder, strategies=(None,))
    found = {
        "gain across halves": seen,
        "half": tested.utilities(None).tolist(),
        "half and residual": tested.utilities(residual).tolist(),
        "whole": replay(whole, test, held_out).utilities(None).tolist(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(found))
    return found


def main() -> None:
    """Measure, then print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", nargs="+", choices=list(RATES), default=list(TASKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    arguments = parser.parse_args()
    print(f"{machine()}\n")
    print("| benchmark | half of the questions | residual on the other half, minus it | all questions, minus it |")
    print("|---|---|---|---|")
    for name in arguments.tasks:
        runs = [measure(name, seed) for seed in arguments.seeds]
        base = [r["half"] for r in runs]
        cells = [name, f"{mean([mean(b) for b in base]):.4f}"]
        for other in ("half and residual", "whole"):
            d = paired_bootstrap([r[other] for r in runs], base)
            cells.append(f"{d.mean:+.4f} ({d.low:+.4f} to {d.high:+.4f}), {verdict(d)}")
        print(f"| {' | '.join(cells)} |", flush=True)
        print(f"gain across the halves it was searched on: {mean([r['gain across halves'] for r in runs]):+.4f}")


if __name__ == "__main__":
    main()
