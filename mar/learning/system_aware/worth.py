# pyright: basic
"""How our variant learns: what choices were worth, from every episode remembered.

The executor and the planner act by the worth of choices (`mar.controllers.system_aware.goodput`), so what they have to
learn is prediction: was the query solved, was the answer in time, how much time did it take from others. Each is known
after every episode, whoever chose and however long ago, so all that is remembered teaches at every update and nothing
is dropped for its age. Learning begins with a pilot that tries every model and strategy on the same few items.
"""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mar.controllers.system_aware.controller import SystemAware
from mar.controllers.system_aware.goodput import GoodputExecutor, GoodputPlanner, Worth, set_prior
from mar.controllers.system_aware.observe import Inputs
from mar.learning.rundir import SavedParts
from mar.learning.system_aware.memory import Calls, Ring, columns, inputs
from mar.learning.system_aware.samples import Sample, StepSample
from mar.learning.system_aware.selection import Knobs
from mar.learning.system_aware.settings import SystemTraining
from mar.runtime.identity import digest

EASE_WEIGHT = 0.05  # of the squared weights that read queries: training items must not be learned by heart
LEAST_MEANT = math.log(0.05)  # log-probability of a choice that is no mere try
SHRINK = 4.0  # pseudo-trials with which a pair of model and strategy is drawn to what both do on the whole


class WorthLearner:
    """Learns on copies of a controller's networks.

    Args:
        controller: Who acts. Its weights are only written by `swap`.
        settings: Of the training.
    """

    on_policy = False

    def __init__(self, controller: SystemAware, settings: SystemTraining) -> None:
        self.controller, self.settings = controller, settings
        executor, planner = controller.executor.network, controller.planner.network
        assert isinstance(executor, GoodputExecutor)
        assert isinstance(planner, GoodputPlanner)
        self.executor, self.planner = copy.deepcopy(executor), copy.deepcopy(planner)
        weights = [*self.executor.parameters(), *self.planner.parameters()]
        self.optimizer = torch.optim.Adam(weights, lr=settings.worth_lr)
        self.steps, self.plans = Ring(settings.memory), Ring(settings.memory // 4)
        self.calls = Calls(len(controller.executor.strategies))

    def parts(self) -> SavedParts:
        """What resuming needs."""
        return SavedParts(
            modules={"executor": self.executor, "planner": self.planner},
            optimizers={"adam": self.optimizer},
            memories={"steps": self.steps, "plans": self.plans, "calls": self.calls},
        )

    def begin(self, pilot: Sequence[Sample]) -> None:
        """Take in a pilot: every pair of model and strategy alone, on the same items."""
        trials: dict[tuple[int, int], list[float]] = defaultdict(list)
        for sample in pilot:
            for step in sample.steps:
                pair = divmod(step.decision.action, len(self.controller.executor.strategies))
                trials[pair].append(float(sample.outcome.score.solved))
        set_prior(self.executor, shrunken(trials))
        self.calls.note(pilot)
        self.end_segment()
        self._remember_steps(pilot)

    def end_segment(self) -> dict[str, float]:
        """Fit the estimator anew to the latest calls; reports its errors on those held out."""
        return self.calls.fit(self.executor.estimator)

    def learn(self, batch: Sequence[Sample], fresh: Sequence[StepSample], key: str) -> dict[str, float]:
        """One update on the copies; every step teaches, fresh or not."""
        self.calls.note(batch)
        self._remember_steps(batch)
        self._remember_plans([s for s in batch if _meant(s)])
        generator = torch.Generator().manual_seed(int(digest(key, size=7), 16))
        losses = [self._step(generator) for _ in range(self.settings.worth_steps)]
        good = [s.outcome.score.solved and s.in_time for s in batch]
        return {
            "worth_loss": sum(losses) / len(losses),
            "quality": sum(s.outcome.score.value for s in batch) / len(batch),
            "goodput": sum(good) / len(batch),
            "cost": sum(s.latency_s / s.budget_s for s in batch) / len(batch),
        }

    def swap(self) -> None:
        """Let the controller act by what was learned."""
        self.controller.executor.network.load_state_dict(self.executor.state_dict())
        self.controller.planner.network.load_state_dict(self.planner.state_dict())

    def set(self, knobs: Knobs) -> None:
        """Keep what was chosen by goodput."""
        knobs.turn(self.planner, self.executor)

    # Memory ---------------------------------------------------------------------------------------------------

    def _remember_steps(self, batch: Sequence[Sample]) -> None:
        pairs = [(sample, step.decision) for sample in batch for step in sample.steps]
        if pairs:
            seen = Inputs.stack([d.seen for _, d in pairs]).tensors()
            action = torch.tensor([d.action for _, d in pairs])
            self.steps.add(columns(seen) | {"action": action} | _labels([s for s, _ in pairs]))

    def _remember_plans(self, batch: Sequence[Sample]) -> None:
        if not batch:
            return
        work = torch.tensor([self._work(s) for s in batch])
        choice = torch.tensor([s.drawn.choice for s in batch])
        seen = Inputs.stack([s.seen for s in batch]).tensors()
        self.plans.add(columns(seen) | {"action": choice, "work": work} | _labels(batch))

    def _work(self, sample: Sample) -> float:
        """What an episode took from others: the sum of its steps' pressure times work."""
        if not sample.steps:
            return 0.0
        with torch.inference_mode():
            work = self.executor.worth(Inputs.stack([s.decision.seen for s in sample.steps]).tensors()).work
            action = torch.tensor([s.decision.action for s in sample.steps])
            return float(work.flatten(1).gather(1, action.unsqueeze(1)).sum())

    # Learning -------------------------------------------------------------------------------------------------

    def _step(self, generator: torch.Generator) -> float:
        rows = self.steps.draw(self.settings.worth_batch, generator)
        loss = _prediction_loss(self.executor.worth(inputs(rows)), rows)
        if len(self.plans):
            rows = self.plans.draw(self.settings.worth_batch, generator)
            worth = self.planner.worth(inputs(rows))
            work = _chosen(worth.work, rows)
            loss = loss + _prediction_loss(worth, rows) + nn.functional.huber_loss(work, rows["work"])
        for network in (self.executor, self.planner):
            loss = loss + EASE_WEIGHT * network.ease.weight.square().sum()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


def _meant(sample: Sample) -> bool:
    """Whether no step was a mere try: a shape is worth what comes of it with models that were chosen for it."""
    return all(step.decision.log_prob > LEAST_MEANT for step in sample.steps)


def shrunken(trials: Mapping[tuple[int, int], Sequence[float]]) -> dict[tuple[int, int], float]:
    """Share solved by each pair (model, strategy), drawn towards the sum of both main effects.

    Forty items tell a pair's share to eight points only; the main effects pool all pairs of a model or of a strategy.
    """
    everything = [x for values in trials.values() for x in values]
    mean = sum(everything) / len(everything)
    of_model, of_strategy = (_main_effects(trials, side, mean) for side in (0, 1))
    found: dict[tuple[int, int], float] = {}
    for (m, s), values in trials.items():
        expected = min(max(mean + of_model[m] + of_strategy[s], 0.0), 1.0)
        found[m, s] = (sum(values) + SHRINK * expected) / (len(values) + SHRINK)
    return found


def _main_effects(trials: Mapping[tuple[int, int], Sequence[float]], side: int, mean: float) -> dict[int, float]:
    pooled: dict[int, list[float]] = defaultdict(list)
    for pair, values in trials.items():
        pooled[pair[side]] += values
    return {k: sum(v) / len(v) - mean for k, v in pooled.items()}


def _labels(samples: Sequence[Sample]) -> dict[str, Tensor]:
    return {
        "solved": torch.tensor([float(s.outcome.score.solved) for s in samples]),
        "in_time": torch.tensor([float(s.in_time) for s in samples]),
    }


def _chosen(x: Tensor, rows: Mapping[str, Tensor]) -> Tensor:
    return x.flatten(1).gather(1, rows["action"].long().unsqueeze(1)).squeeze(1)


def _prediction_loss(worth: Worth, rows: Mapping[str, Tensor]) -> Tensor:
    bce = nn.functional.binary_cross_entropy_with_logits
    return bce(_chosen(worth.solved, rows), rows["solved"]) + bce(_chosen(worth.in_time, rows), rows["in_time"])
