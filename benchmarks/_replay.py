# pyright: basic
"""Training the cascade's LLM stage alone on answers that real LLMs once gave, and showing it beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from _learning import mean, verdict
from _shared import RUNS

from mar import clock
from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.controllers.masrouter import MasRouter, NetworkSettings, PlanOptions
from mar.evaluation.statistics import bootstrap_mean, paired_bootstrap, wilson
from mar.learning.imagined import ImaginedTrainer
from mar.learning.progress import Progress
from mar.learning.rollouts import Rollouts
from mar.learning.rundir import RunDir
from mar.learning.settings import TrainSettings
from mar.pool import Recording, replay_pool
from mar.pool.cards import ModelCard
from mar.pool.replay import RecordingKey
from mar.runtime import Runtime
from mar.tasks.task import Task

SEEDS = range(5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Recorded answers to a task's items; the recorded score is the truth, and the recorded cost, if any, the cost."""

    task: Task[Any]
    cards: Sequence[ModelCard]
    recordings: Mapping[RecordingKey, Recording]
    rate: float  # utility per USD; 0 where no cost was recorded
    epochs: int

    def answers(self, model: str, items: Sequence[Any]) -> list[Recording]:
        """What one LLM said to each item."""
        return [self.recordings[RecordingKey(item=self.task.query(i).id, model=model)] for i in items]

    def utility(self, answer: Recording) -> float:
        """Score minus cost."""
        return (answer.score or 0.0) - self.rate * (answer.cost_usd or 0.0)


def train(bench: Bench, seed: int, folder: str) -> list[Recording]:
    """Train the router; returns the answer of the LLM that it chose for every test item."""
    pool, task = replay_pool(bench.recordings, bench.cards), bench.task

    async def main() -> list[Recording]:
        async with pool:
            runtime = Runtime(pool, keep_prompts=False)
            # Recorded scores need no sandbox.
            rollouts = Rollouts(runtime=runtime, task=task, sandbox=None)  # pyright: ignore[reportArgumentType]
            space = PlanSpace(cards=tuple(pool.cards.values()), prompts=runtime.prompts, modes=("IO",), max_agents=1)
            settings = NetworkSettings(max_agents=1, price_conditioned=bench.rate > 0)
            encoder, options = CachedEncoder(MiniLM()), PlanOptions(domain=task.domain)
            router = MasRouter(settings, encoder, cost_rate=bench.rate, options=options, seed=seed)
            training = TrainSettings(epochs=bench.epochs, cost_rate=bench.rate, seed=seed)
            arguments = {"rate": bench.rate, "seed": seed, "epochs": bench.epochs}
            run = RunDir.open(RUNS / f"{folder}-{seed}", arguments=arguments, prompts="")
            trainer = ImaginedTrainer(router, space, rollouts, training, run, Progress(quiet=True))
            await trainer.train(task.items("train"), task.items("validation"))
            test = task.items("test")
            plans = router.plan([task.query(i) for i in test], space)
            return [
                bench.recordings[RecordingKey(item=task.query(i).id, model=p.intent.agents[0].model or "")]
                for i, p in zip(test, plans, strict=True)
            ]

    return clock.run(main, virtual=True)


def route(bench: Bench, folder: str, known: Sequence[Any]) -> None:
    """Train with every seed and print the table.

    Args:
        bench: The answers.
        folder: Name of the run folders.
        known: Items by whose answers the best single LLM is chosen: all that training and validation may see.
    """
    test = bench.task.items("test")
    runs = [train(bench, seed, folder) for seed in SEEDS]
    alone = {c.name: bench.answers(c.name, test) for c in bench.cards}
    best = max(alone, key=lambda m: mean([bench.utility(a) for a in bench.answers(m, known)]))
    oracle = [max(answers, key=bench.utility) for answers in zip(*alone.values(), strict=True)]
    costs = (
        f"price of money {bench.rate:.4g} utility per USD" if bench.rate else "no costs recorded: utility is accuracy"
    )
    print(f"\n{len(known)} training and {len(test)} test rows; {costs}\n")
    print("| router | accuracy % | 95% | utility | USD / 100 |\n|---|---|---|---|---|")
    score = bootstrap_mean([mean([a.score or 0.0 for a in run]) for run in runs])
    interval = f"{100 * score.low:.1f} to {100 * score.high:.1f} (over seeds)"
    print(_row(bench, f"MasRouter, LLM stage, {len(runs)} seeds", [a for run in runs for a in run], interval))
    for name, answers in [(f"{best} (best on the training rows)", alone[best]), *alone.items(), ("oracle", oracle)]:
        solved = wilson(round(sum(a.score or 0.0 for a in answers)), len(answers))
        print(_row(bench, name, answers, f"{100 * solved.low:.1f} to {100 * solved.high:.1f}"))
    ours = [[bench.utility(a) for a in run] for run in runs]
    paired = paired_bootstrap(ours, [[bench.utility(a) for a in alone[best]]] * len(runs))
    print(
        f"\nutility minus {best}: {paired.mean:+.4f} (95% {paired.low:+.4f} to {paired.high:+.4f}): {verdict(paired)}"
    )


def _row(bench: Bench, name: str, answers: Sequence[Recording], interval: str) -> str:
    accuracy, utility = mean([a.score or 0.0 for a in answers]), mean([bench.utility(a) for a in answers])
    costs = [a.cost_usd for a in answers]
    cost = "unknown" if None in costs else f"{100 * float(np.mean([c or 0.0 for c in costs])):.4f}"
    return f"| {name} | {100 * accuracy:.1f} | {interval} | {utility:.3f} | {cost} |"
