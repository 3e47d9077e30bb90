"""What training depends on besides data, pool and network."""

from __future__ import annotations

import math
import random

from pydantic import BaseModel, ConfigDict, Field

from mar.learning.rundir import TrainingState

VALIDATION_ROLLOUTS = 4


class TrainSettings(BaseModel):
    """Settings of the cascade's training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(default=10, ge=0)
    start_epoch: int = Field(default=0, ge=0)
    batch_size: int = Field(default=16, gt=0)
    rollouts: int = Field(default=4, gt=0)  # K
    lr: float = Field(default=0.01, gt=0)
    cost_rate: float = Field(ge=0)  # utility per USD
    price_spread: float = Field(default=16.0, ge=1)  # rates are drawn from cost_rate / spread to cost_rate * spread
    entropy_weight: float = Field(default=0.01, ge=0)  # beta at the start
    entropy_until: float = Field(default=0.5, gt=0, le=1)  # share of the training by which beta has fallen to 0
    survey: bool = True  # begin at the best simple plan of a survey
    critic: bool = True  # also learn from plans that are scored by the critic instead of being run
    critic_lr: float = Field(default=0.002, gt=0)
    critic_steps: int = Field(default=8, gt=0)  # updates of the critic per batch
    critic_batch: int = Field(default=256, gt=0)  # remembered rollouts per update
    imagined_steps: int = Field(default=3, gt=0)  # updates of the policy on imagined plans per batch
    imagined_plans: int = Field(default=16, gt=1)  # plans drawn per query and update
    explorers: int = Field(default=1, ge=0)  # of a query's rollouts, plans drawn uniformly while there is entropy bonus
    vae_weight: float = Field(default=0.001, ge=0)
    gradient_clip: float = Field(default=1.0, gt=0)
    patience: int = Field(default=4, gt=0)  # settled epochs without a better validation utility before training stops
    validation_rollouts: int = Field(default=VALIDATION_ROLLOUTS, gt=0)  # episodes per validation item
    seed: int = 0

    @property
    def first_settled(self) -> int:
        """The first epoch after which a policy may be kept: the entropy bonus has ended, or the training has.

        The most likely plan of an undecided policy can do well on a small validation set by luck.
        """
        return math.ceil(self.entropy_until * self.epochs) - 1

    def entropy(self, state: TrainingState, items: int) -> float:
        """beta of the update under way: it falls linearly, so that the policy can settle in the time that is left."""
        done = (state.epoch + state.batch * self.batch_size / items) / max(1, self.epochs)
        return self.entropy_weight * max(0.0, 1 - done / self.entropy_until)


def draw_rates(settings: TrainSettings, n: int, key: str, *, spread: bool) -> list[float]:
    """The price of money of each of n queries: the run's for every other query, else drawn around it, log-uniformly."""
    base = settings.cost_rate
    if not spread:
        return [base] * n
    rng = random.Random(f"{key}/rates")
    return [base if i % 2 == 0 else base * settings.price_spread ** rng.uniform(-1, 1) for i in range(n)]
