# pyright: basic
"""What a belief gets wrong about plans, by the episodes that were really run.

    quality of a real episode - what was imagined of its plan = w . features + noise,    w ~ N(0, QUALITY_SPREAD^2)
    log (its cost / what was imagined)                        = v . features + noise,    v ~ N(0, COST_SPREAD^2)

Features are a plan's mode, whether it is a team, and the shares of its agents in every role and on every model. One
episode is a coin flip, so corrections of quality stay small until many episodes agree on them; costs scatter less, and
what a mode or a role adds to them is known after a few dozen.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mar.controllers.masrouter import Candidates, Choices
from mar.learning.imagination import Worth

QUALITY_SPREAD, QUALITY_NOISE = 0.03, 0.35
COST_SPREAD, COST_NOISE = 0.3, 0.3
CHEAPEST = 1e-7  # USD; costs are compared on a logarithm, and a free plan counts as this


def width(candidates: Candidates) -> int:
    """How many features a plan has."""
    return 2 + len(candidates.modes) + candidates.role_mask.numel() + len(candidates.llms)


def features(choices: Choices, candidates: Candidates) -> Tensor:
    """Of plans (B,), shape (B, F)."""
    domains, roles = candidates.role_mask.shape
    n, most = choices.roles.shape
    share = (torch.arange(most) < choices.count[:, None]) / choices.count[:, None]
    modes = torch.nn.functional.one_hot(choices.mode, len(candidates.modes))
    by_role = torch.zeros(n, domains * roles).scatter_add_(1, choices.domain[:, None] * roles + choices.roles, share)
    by_llm = torch.zeros(n, len(candidates.llms)).scatter_add_(1, choices.llms, share)
    team = (choices.count > 1).float()[:, None]
    return torch.cat([torch.ones(n, 1), team, modes, by_role, by_llm], 1)


@dataclass(frozen=True, slots=True)
class Correction:
    """What to add to imagined qualities, and to logarithms of imagined costs, for each feature (F,)."""

    quality: Tensor
    log_cost: Tensor

    def __call__(self, worth: Worth, known: Tensor) -> Worth:
        """The worth of plans (Q, P) with these features (Q * P, F), put right."""
        shape = worth.quality.shape
        quality = worth.quality + (known @ self.quality).view(shape)
        return Worth(quality=quality.clamp(0, 1), cost=worth.cost * torch.exp((known @ self.log_cost).view(shape)))


class Errors:
    """By how much imagined and real episodes differed, as it can be saved."""

    def __init__(self, features: int) -> None:
        self.known = torch.zeros(0, features)
        self.quality = torch.zeros(0)  # real minus imagined
        self.log_cost = torch.zeros(0)

    def add(self, known: Tensor, worth: Worth, quality: Tensor, cost: Tensor) -> None:
        """Remember real episodes (B,) of plans with these features (B, F) and what was imagined of them (B, 1)."""
        ratio = cost.clamp(min=CHEAPEST).log() - worth.cost[:, 0].clamp(min=CHEAPEST).log()
        self.known = torch.cat([self.known, known])
        self.quality = torch.cat([self.quality, quality - worth.quality[:, 0]])
        self.log_cost = torch.cat([self.log_cost, ratio])

    def correction(self) -> Correction:
        """The most probable one."""
        return Correction(
            _ridge(self.known, self.quality, QUALITY_NOISE / QUALITY_SPREAD),
            _ridge(self.known, self.log_cost, COST_NOISE / COST_SPREAD),
        )

    def state(self) -> dict[str, Tensor]:
        """All of it, for saving."""
        return {"known": self.known, "quality": self.quality, "log_cost": self.log_cost}

    def load(self, state: dict[str, Tensor], /) -> None:
        """Take over what was saved."""
        self.known, self.quality, self.log_cost = state["known"], state["quality"], state["log_cost"]


def _ridge(x: Tensor, y: Tensor, ratio: float) -> Tensor:
    """Weights of a linear model whose prior is so many times narrower than the noise."""
    return torch.linalg.solve(x.T @ x + ratio**2 * torch.eye(x.shape[1]), x.T @ y)
