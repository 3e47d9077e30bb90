# pyright: basic
"""PPO with a Lagrange multiplier, for the executor: the published learning rule.

For a step with advantage A = reward - value and r = pi(a) / pi_old(a),

    L = -mean min(r A, clip(r, 1 - eps, 1 + eps) A) + c_v mean (value - reward)^2 - c_e entropy

over a few passes of minibatches (Schulman et al. 2017). The multiplier lambda is the price of latency: it rises while
the mean cost C = latency / budget is above 1 and falls below, lambda <- clip(lambda + eta (mean C - 1), 0, most).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mar.controllers.system_aware.observe import Inputs
from mar.learning.system_aware.settings import SystemTraining


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Decisions of a batch with their rewards."""

    seen: Inputs
    action: Tensor  # (B,), of the flattened choices
    log_prob: Tensor  # (B,), when it was made
    value: Tensor  # (B,), when it was made
    reward: Tensor  # (B,)


@dataclass(slots=True, kw_only=True)
class Multiplier:
    """The price of latency."""

    value: float
    step: float
    most: float

    def move(self, excess: float) -> None:
        """Follow the mean excess of the constraint: positive when it is violated."""
        self.value = min(max(self.value + self.step * excess, 0.0), self.most)

    def state(self) -> dict[str, Tensor]:
        """For saving."""
        return {"value": torch.tensor(self.value, dtype=torch.float64)}

    def load(self, state: Mapping[str, Tensor], /) -> None:
        """Take over what `state` returned."""
        self.value = float(state["value"])


def normalised(x: Tensor) -> Tensor:
    """Mean 0 and standard deviation 1; zeros where there is one value or none differs."""
    return (x - x.mean()) / (x.std() + 1e-6) if len(x) > 1 else torch.zeros_like(x)


def ppo_loss(network: nn.Module, steps: Steps, advantage: Tensor, settings: SystemTraining) -> tuple[Tensor, Tensor]:
    """The loss of a minibatch, and its mean entropy."""
    logits, value = network(steps.seen)
    logs = logits.flatten(1).log_softmax(-1)
    log_prob = logs.gather(1, steps.action.unsqueeze(1)).squeeze(1)
    ratio = (log_prob - steps.log_prob).exp()
    clipped = ratio.clamp(1 - settings.clip, 1 + settings.clip)
    policy = -torch.minimum(ratio * advantage, clipped * advantage).mean()
    entropy = -(logs.exp() * logs).sum(-1).mean()
    loss = policy + settings.value_weight * (value - steps.reward).square().mean() - settings.entropy_weight * entropy
    return loss, entropy


def ppo_update(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    steps: Steps,
    settings: SystemTraining,
    generator: torch.Generator,
) -> dict[str, float]:
    """All passes over a batch."""
    advantage = normalised(steps.reward - steps.value)
    losses: list[float] = []
    entropies: list[float] = []
    for _ in range(settings.passes):
        order = torch.randperm(len(steps.action), generator=generator)
        for rows in order.split(settings.minibatch):
            part = Steps(
                seen=steps.seen.rows(rows),
                action=steps.action[rows],
                log_prob=steps.log_prob[rows],
                value=steps.value[rows],
                reward=steps.reward[rows],
            )
            loss, entropy = ppo_loss(network, part, advantage[rows], settings)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_clip)
            optimizer.step()
            losses.append(loss.item())
            entropies.append(entropy.item())
    return {"executor_loss": sum(losses) / len(losses), "executor_entropy": sum(entropies) / len(entropies)}
