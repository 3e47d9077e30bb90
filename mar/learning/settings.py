"""What training depends on besides data, pool and network."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from mar.errors import ConfigError
from mar.learning.rundir import TrainingState
from mar.pool.pool import Pool

VALIDATION_ROLLOUTS = 4


class TrainSettings(BaseModel):
    """Settings of the cascade's training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(default=10, ge=0)
    start_epoch: int = Field(default=0, ge=0)
    lr: float = Field(default=0.01, gt=0)
    cost_rate: float = Field(ge=0)  # utility per USD
    price_spread: float = Field(default=16.0, ge=1)  # rates are drawn from cost_rate / spread to cost_rate * spread
    entropy_weight: float = Field(default=0.01, ge=0)  # beta at the start
    entropy_until: float = Field(default=0.5, gt=0, le=1)  # share of the training by which beta has fallen to 0
    vae_weight: float = Field(default=0.001, ge=0)
    gradient_clip: float = Field(default=1.0, gt=0)
    seed: int = 0
    # On imagined episodes
    calls: int = Field(default=3000, ge=0)  # real ones, in all
    generations: int = Field(default=24, ge=0)  # of plans that are searched among, in each epoch
    updates: int = Field(default=150, gt=0)  # in each epoch
    questions: int = Field(default=64, gt=0)  # in each update
    # On real episodes
    batch_size: int = Field(default=16, gt=0)
    rollouts: int = Field(default=4, gt=0)  # K
    patience: int = Field(default=4, gt=0)  # settled epochs without a better validation utility before training stops
    validation_rollouts: int = Field(default=VALIDATION_ROLLOUTS, gt=0)  # episodes per validation item

    @property
    def first_settled(self) -> int:
        """The first epoch after which a policy may be kept: the entropy bonus has ended, or the training has.

        The most likely plan of an undecided policy can do well on a small validation set by luck.
        """
        return math.ceil(self.entropy_until * self.epochs) - 1

    def done(self, state: TrainingState, share: float) -> float:
        """Share of the training that is done, when so much of the epoch under way is."""
        return (state.epoch + share) / max(1, self.epochs)

    def entropy(self, state: TrainingState, share: float) -> float:
        """beta of the update under way: it falls linearly, so that the policy can settle in the time that is left."""
        return self.entropy_weight * max(0.0, 1 - self.done(state, share) / self.entropy_until)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """How training ended."""

    steps: int
    stopped: str  # why it ended
    kept: str  # which policy the router holds, for people


def check_prices(pool: Pool, cost_rate: float) -> None:
    """Refuse a training for which a price is missing.

    Raises:
        ConfigError: Money counts, and a model has no price.
    """
    missing = pool.without_price()
    if cost_rate > 0 and missing:
        raise ConfigError(f"no price is known for {', '.join(missing)}; training with a cost term needs every price")


def draw_rates(settings: TrainSettings, n: int, key: str, *, spread: bool) -> list[float]:
    """The price of money of each of n queries: the run's for every other query, else drawn around it, log-uniformly."""
    base = settings.cost_rate
    if not spread:
        return [base] * n
    rng = random.Random(f"{key}/rates")
    return [base if i % 2 == 0 else base * settings.price_spread ** rng.uniform(-1, 1) for i in range(n)]
