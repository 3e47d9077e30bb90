# pyright: basic
"""How the early and the published variant learn: policy gradients on the samples of the last episodes."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mar.controllers.base import PlanSpace
from mar.controllers.masrouter import Cascade, Choices
from mar.controllers.system_aware.controller import SystemAware
from mar.controllers.system_aware.observe import Inputs
from mar.controllers.system_aware.planners import CascadePlanner, joined
from mar.learning.rundir import SavedParts
from mar.learning.system_aware.memory import Calls
from mar.learning.system_aware.ppo import Multiplier, Steps, normalised, ppo_update
from mar.learning.system_aware.samples import Sample, StepSample
from mar.learning.system_aware.settings import SystemTraining
from mar.runtime.identity import digest


class PolicyGradient:
    """Learns on copies of a controller's networks.

    Args:
        controller: Who acts. Its weights are only written by `swap`.
        space: What plans are made of.
        settings: Of the training.
    """

    on_policy = True

    def __init__(self, controller: SystemAware, space: PlanSpace, settings: SystemTraining) -> None:
        self.controller, self.space, self.settings = controller, space, settings
        self.early = controller.settings.variant == "early"
        self.executor = copy.deepcopy(controller.executor.network)
        self.planner = copy.deepcopy(controller.planner.network)
        self.for_executor = torch.optim.Adam(self.executor.parameters(), lr=settings.lr)
        self.for_planner = torch.optim.Adam(self.planner.parameters(), lr=settings.lr)
        self.calls = Calls(len(controller.executor.strategies))
        self.multiplier = Multiplier(
            value=settings.multiplier, step=settings.multiplier_step, most=settings.multiplier_most
        )

    def parts(self) -> SavedParts:
        """What resuming needs."""
        return SavedParts(
            modules={"executor": self.executor, "planner": self.planner},
            optimizers={"for_executor": self.for_executor, "for_planner": self.for_planner},
            memories={"multiplier": self.multiplier, "calls": self.calls},
        )

    def learn(self, batch: Sequence[Sample], fresh: Sequence[StepSample], key: str) -> dict[str, float]:
        """One update on the copies.

        Args:
            batch: Episodes.
            fresh: Those of their steps that were decided by the present weights or the ones before.
            key: Of everything that is drawn.
        """
        self.calls.note(batch)
        generator = torch.Generator().manual_seed(int(digest(key, size=7), 16))
        steps = self._steps(batch, {id(s) for s in fresh})
        metrics = {} if steps is None else ppo_update(self.executor, self.for_executor, steps, self.settings, generator)
        oldest = self.controller.planner.version - 1
        metrics |= self._teach_planner([s for s in batch if s.drawn.version >= oldest])
        self.multiplier.move(self._excess(batch))
        return metrics | {"multiplier": self.multiplier.value}

    def swap(self) -> None:
        """Let the controller act by what was learned."""
        self.controller.executor.network.load_state_dict(self.executor.state_dict())
        self.controller.planner.network.load_state_dict(self.planner.state_dict())

    def begin(self, pilot: Sequence[Sample]) -> None:
        """Nothing is learned beforehand but the estimator's figures, where the executor takes them as inputs."""
        self.calls.note(pilot)
        self.end_segment()

    def end_segment(self) -> dict[str, float]:
        """Fit the estimator anew, where there is one; reports its errors on calls held out."""
        return self.calls.fit(getattr(self.executor, "estimator", None))

    # Rewards --------------------------------------------------------------------------------------------------

    def _excess(self, batch: Sequence[Sample]) -> float:
        costs = [s.latency_s / s.budget_s - 1 for s in batch]
        if self.early:
            costs = [max(0.0, c) for c in costs]
        return sum(costs) / len(costs)

    def _reward(self, sample: Sample, step: StepSample) -> float:
        quality, price = sample.outcome.score.value, self.multiplier.value
        if not self.early:
            return quality - price * step.seconds / sample.budget_s
        left = max(step.decision.seen.remaining_s, 1.0)
        soft = float(nn.functional.softplus(torch.tensor(price)))
        return quality - soft * max(0.0, step.seconds - left) / left

    def _steps(self, batch: Sequence[Sample], fresh: set[int]) -> Steps | None:
        pairs = [(sample, step) for sample in batch for step in sample.steps if id(step) in fresh]
        if not pairs:
            return None
        made = [step.decision for _, step in pairs]
        return Steps(
            seen=Inputs.stack([d.seen for d in made]).tensors(),
            action=torch.tensor([d.action for d in made]),
            log_prob=torch.tensor([d.log_prob for d in made]),
            value=torch.tensor([d.value for d in made]),
            reward=torch.tensor([self._reward(sample, step) for sample, step in pairs]),
        )

    # Planner --------------------------------------------------------------------------------------------------

    def _teach_planner(self, batch: Sequence[Sample]) -> dict[str, float]:
        if not batch:
            return {}
        quality = torch.tensor([s.outcome.score.value for s in batch])
        cost = torch.tensor([s.latency_s / s.budget_s for s in batch])
        advantage = normalised(quality if self.early else quality - self.multiplier.value * cost)
        log_prob, more = self._evaluate(batch)
        loss = -(advantage * log_prob).mean() + more
        self.for_planner.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.planner.parameters(), self.settings.gradient_clip)
        self.for_planner.step()
        return {"planner_loss": loss.item(), "quality": quality.mean().item(), "cost": cost.mean().item()}

    def _evaluate(self, batch: Sequence[Sample]) -> tuple[Tensor, Tensor]:
        """Log-probabilities (B,) of the plans that were drawn, and what else the planner's loss holds."""
        planner, seen = self.controller.planner, Inputs.stack([s.seen for s in batch]).tensors()
        if not isinstance(planner, CascadePlanner) or not isinstance(self.planner, Cascade):
            logs = self.planner(seen)[0].log_softmax(-1)
            choice = torch.tensor([s.drawn.choice for s in batch])
            return logs.gather(1, choice.unsqueeze(1)).squeeze(1), torch.zeros(())
        candidates, names = planner.router.candidates(self.space)
        encoded = self.planner.encode(candidates)
        given = joined([s.drawn.choice for s in batch if isinstance(s.drawn.choice, Choices)])
        output = self.planner(seen.query, encoded, price=planner.prices(len(batch)), given=given, open_llms=True)
        truth = torch.full((len(batch),), names.domain(planner.domain))
        task = nn.functional.cross_entropy(output.domain_logits, truth)
        return output.log_prob, task + self.settings.vae_weight * self.planner.vae_loss(output, encoded, seen.query)
