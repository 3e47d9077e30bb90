# pyright: basic
"""Evolving the head that picks models and parts: separable CMA-ES (Ros and Hansen 2008) on training episodes.

Every candidate of a generation plays the same questions with the same draws; its fitness is its mean utility.
Published: arXiv 2512.04695, with far more episodes than are paid for here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np
import torch

from mar.controllers.base import PlanSpace
from mar.controllers.belief.topics import Topics
from mar.controllers.embeddings import Encoder
from mar.controllers.trinity import TURNS, Head, Trinity
from mar.learning.progress import Progress
from mar.learning.rollouts import Job, Rollouts
from mar.runtime import RunIdentity
from mar.tasks.task import ItemT

MOST_CALLS = 3000
COORDINATES = 8  # of a text
QUESTIONS = 8  # of a generation
STEP = 0.5  # spread of the first generation's parameters


@dataclass(slots=True, kw_only=True)
class Evolution(Generic[ItemT]):
    """Evolves a head on a pool."""

    rollouts: Rollouts[ItemT]
    space: PlanSpace  # whose models are asked
    encoder: Encoder
    progress: Progress
    cost_rate: float  # utility per USD
    seed: int = 0
    most_calls: int = MOST_CALLS
    questions: int = QUESTIONS
    calls: int = 0  # that were made

    async def evolve(self, items: Sequence[ItemT]) -> Trinity:
        """The mean of the last generation. No generation begins that could take more calls than are left."""
        import cma  # takes a second

        vectors = torch.from_numpy(self.encoder.encode([self.rollouts.task.query(i).text for i in items]))
        topics = Topics.of(vectors, min(COORDINATES, len(items)))
        models = tuple(card.name for card in self.space.cards)
        rng = np.random.default_rng(self.seed)
        size = Head.size(len(models), topics.directions.shape[1])
        draw = {"seed": np.nan, "randn": lambda *shape: rng.standard_normal(shape)}  # else it seeds NumPy's own
        options = {"CMA_diagonal": True, "verbose": -9, **draw}
        strategy = cma.CMAEvolutionStrategy(np.zeros(size), STEP, options)
        worst = strategy.popsize * self.questions * TURNS
        with self.progress.bar("evolving who is asked", total=max(1, self.most_calls)) as bar:
            while self.calls + worst <= self.most_calls and not self.rollouts.limit_reached:
                before = self.calls
                candidates = strategy.ask()
                batch = [items[i] for i in rng.choice(len(items), min(self.questions, len(items)), replace=False)]
                made = [self._made(models, topics, candidate) for candidate in candidates]
                strategy.tell(candidates, [-worth for worth in await self._worth(made, batch)])
                bar.advance(self.calls - before)
        return self._made(models, topics, strategy.mean)

    def _made(self, models: tuple[str, ...], topics: Topics, parameters: np.ndarray) -> Trinity:
        return Trinity(Head.of(models, parameters), topics, self.encoder, self.rollouts.task.domain)

    async def _worth(self, candidates: Sequence[Trinity], batch: Sequence[ItemT]) -> list[float]:
        """Mean utility of each candidate on some questions."""
        queries = [self.rollouts.task.query(item) for item in batch]
        identity = RunIdentity(seed=self.seed, epoch="evolution")
        jobs = [
            Job(item=item, how=planned.how, identity=identity)
            for candidate in candidates
            for item, planned in zip(batch, candidate.plan(queries, self.space), strict=True)
        ]
        outcomes = await self.rollouts.run(jobs)
        self.calls += sum(o.calls for o in outcomes)
        utilities = np.array([o.utility(self.cost_rate) for o in outcomes]).reshape(len(candidates), len(batch))
        return utilities.mean(1).tolist()
