"""Controllers learned on a pool of tiny models, beside every one of them alone: a whole run in a minute or two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mar.controllers.base import PlanSpace
from mar.controllers.baselines import RandomPlans, single
from mar.controllers.embeddings import Encoder
from mar.controllers.masrouter import MasRouter, NetworkSettings, PlanOptions
from mar.evaluation.comparison import Comparison
from mar.evaluation.results import Row
from mar.evaluation.sequential_run import SequentialRun
from mar.learning.imagined import ImaginedTrainer
from mar.learning.progress import Progress
from mar.learning.rollouts import Rollouts
from mar.learning.rundir import RunDir
from mar.learning.sequential import MOST_CALLS
from mar.learning.settings import TrainSettings
from mar.pool.pool import Pool
from mar.runtime import Runtime
from mar.runtime.sandbox import Sandbox
from mar.testing.tinypool import tiny_prompts
from mar.testing.tinyskills import MixedSkills, SkillItem

MAX_AGENTS = 2
COST_RATE = 500.0  # utility per USD: a call of forty tokens at a dollar per million costs 0.02
MODES = ("IO", "Chain")


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyRun:
    """What one training run came to, on the same test items."""

    learned: Row
    baselines: tuple[Row, ...]  # random plans, and every model alone
    picks: Mapping[str, tuple[str, ...]]  # models of all agents that the trained policy chose, by kind of question

    @property
    def singles(self) -> tuple[Row, ...]:
        """Every model alone."""
        return tuple(row for row in self.baselines if row.group == "single LLM")

    @property
    def best_single(self) -> Row:
        """The single model with the highest accuracy on the test items, picked in hindsight."""
        return max(self.singles, key=lambda row: row.accuracy.mean)


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyLearned:
    """What the sequential controller came to, on the same test items."""

    row: Row
    calls: int  # that it learned from
    asked: Mapping[str, tuple[str, ...]]  # models that it asked, by kind of question


def _opened(pool: Pool, task: MixedSkills) -> tuple[Rollouts[SkillItem], PlanSpace]:
    """Rollouts on an open pool, and the plans that tiny models can carry out."""
    prompts = tiny_prompts()
    runtime = Runtime(pool, prompts=prompts, temperature=0.0, keep_prompts=False)
    rollouts = Rollouts(runtime=runtime, task=task, sandbox=Sandbox(), concurrency=32)
    return rollouts, PlanSpace(cards=tuple(pool.cards.values()), prompts=prompts, modes=MODES, max_agents=MAX_AGENTS)


async def learn_on(
    pool: Pool, task: MixedSkills, encoder: Encoder, folder: Path, *, seed: int, progress: Progress | None = None
) -> TinyLearned:
    """Let the sequential controller learn on an open pool, one question to every model, and test it.

    Args:
        pool: The pool, opened.
        task: The questions; its training and test items are used as they are.
        encoder: Where text embeddings come from.
        folder: The run folder.
        seed: Of what is drawn.
        progress: Shows how far it is.
    """
    progress = progress or Progress(quiet=True)
    rollouts, space = _opened(pool, task)
    run = RunDir.open(folder, arguments={"seed": seed}, prompts=rollouts.runtime.prompts.hash)
    part = SequentialRun(
        rollouts=rollouts,
        space=space,
        run=run,
        encoder=encoder,
        progress=progress,
        cost_rate=COST_RATE,
        most_calls=MOST_CALLS,
        seed=seed,
    )
    learned = await part.learn(task.items("train"))
    items = task.items("test")
    comparison = Comparison(rollouts=rollouts, space=space, items=items, progress=progress)
    (row,), outcomes = await part.test(learned.controller, comparison, ())
    asked: dict[str, tuple[str, ...]] = {}
    for item, outcome in zip(items, outcomes, strict=True):
        asked[item.skill] = (*asked.get(item.skill, ()), *(call.model for call in outcome.episode.calls()))
    return TinyLearned(row=row, calls=learned.calls, asked=asked)


async def train_on(
    pool: Pool,
    task: MixedSkills,
    encoder: Encoder,
    folder: Path,
    *,
    seed: int,
    epochs: int = 4,
    baselines: Sequence[Row] = (),
    progress: Progress | None = None,
) -> TinyRun:
    """Train the cascade on an open pool and test it.

    Args:
        pool: The pool, opened.
        task: The questions; its training, validation and test items are used as they are.
        encoder: Where text embeddings come from.
        folder: The run folder.
        seed: Of the training.
        epochs: Rounds of training.
        baselines: Their rows, where an earlier run has made them.
        progress: Shows how far it is.
    """
    progress = progress or Progress(quiet=True)
    rollouts, space = _opened(pool, task)
    settings = NetworkSettings(embedding=encoder.width, max_agents=MAX_AGENTS, price_conditioned=False)
    router = MasRouter(settings, encoder, cost_rate=COST_RATE, options=PlanOptions(), seed=seed)
    training = TrainSettings(epochs=epochs, cost_rate=COST_RATE, seed=seed)
    run = RunDir.open(folder, arguments={"seed": seed, "epochs": epochs}, prompts=space.prompts.hash)
    trainer = ImaginedTrainer(router, space, rollouts, training, run, progress)
    await trainer.train(task.items("train"), task.items("validation"))
    items = task.items("test")
    comparison = Comparison(rollouts=rollouts, space=space, items=items, progress=progress)
    rows = list(baselines) or [
        (await comparison.run(controller, group=group))[0]
        for controller, group in (
            (RandomPlans(task.domain), "random"),
            *((single(name, task.domain), "single LLM") for name in pool.names),
        )
    ]
    learned, outcomes = await comparison.run(router, group="learned")
    picks: dict[str, tuple[str, ...]] = {}
    for item, outcome in zip(items, outcomes, strict=True):
        picks[item.skill] = (*picks.get(item.skill, ()), *(a.model or "" for a in outcome.plan.agents))
    return TinyRun(learned=learned, baselines=tuple(rows), picks=picks)
