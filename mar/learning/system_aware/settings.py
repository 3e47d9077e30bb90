"""What the training of a system-aware controller depends on besides data, pool and networks."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mar.learning.arrivals import Arrivals

LONG_TIERS = (10.0, 30.0, 50.0, 100.0, 200.0, 300.0, 600.0, 1000.0)  # MATH, GSM8K, MMLU
SHORT_TIERS = (30.0, 50.0, 100.0, 200.0, 300.0)  # the others
LONG_RATES = (10.0, 30.0, 50.0, 100.0, 150.0, 200.0)  # requests a minute: MATH, GSM8K, MMLU
SHORT_RATES = (10.0, 30.0, 50.0, 100.0, 200.0)  # the others
EARLY_BUDGET_S = 60.0
LONG = ("math", "gsm8k", "mmlu")  # benchmarks with the longer lists


class SystemTraining(BaseModel):
    """All settings; defaults are as published where there is a published figure."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    arrivals: tuple[Arrivals, ...]  # one after another, in every epoch
    episodes: int = Field(default=2000, gt=0)  # of each arrival process in each epoch
    epochs: int = Field(default=1, ge=0)
    budgets_s: tuple[float, ...] = SHORT_TIERS  # an episode's is drawn from these
    update_every: int = Field(default=64, gt=0)  # episodes
    most_in_flight: int = Field(default=2000, gt=0)  # episodes beyond so many under way are turned away
    seed: int = 0
    # Policy gradient: early and published
    lr: float = Field(default=1e-3, gt=0)
    clip: float = Field(default=0.2, gt=0)
    passes: int = Field(default=3, gt=0)  # over a batch
    minibatch: int = Field(default=64, gt=0)  # steps
    value_weight: float = Field(default=0.5, ge=0)
    entropy_weight: float = Field(default=0.1, ge=0)  # early: 0.01
    vae_weight: float = Field(default=1e-3, ge=0)
    multiplier: float = Field(default=0.2, ge=0)  # lambda at the start; early: 0.5
    multiplier_step: float = Field(default=1e-3, ge=0)  # eta
    multiplier_most: float = Field(default=1.0, gt=0)  # early: 10
    gradient_clip: float = Field(default=1.0, gt=0)
    # Worth: ours
    pilot: int = Field(default=80, gt=0)  # items that every model and strategy is tried on before training
    worth_lr: float = Field(default=3e-3, gt=0)
    worth_steps: int = Field(default=8, gt=0)  # gradient steps per update
    worth_batch: int = Field(default=256, gt=0)
    memory: int = Field(default=16_384, gt=0)  # decisions remembered
    tolls: tuple[float, ...] = (0.05, 0.2, 0.8)  # tried on validation items at the end
    validation_episodes: int = Field(default=300, gt=0)  # for each candidate, at the heaviest arrivals
    validation_budget_s: float = Field(default=100.0, gt=0)

    @model_validator(mode="after")
    def _something_to_do(self) -> SystemTraining:
        if not self.arrivals or not self.budgets_s:
            raise ValueError("no arrival rate or no budget is given; expected at least one of each")
        if any(not b > 0 for b in self.budgets_s):
            raise ValueError(f"the budgets are {self.budgets_s}; positive seconds are expected")
        return self


def early(settings: SystemTraining) -> SystemTraining:
    """The same with the first release's constants: a fixed budget, one pass, no clipping, its own multiplier."""
    return settings.model_copy(
        update={
            "budgets_s": (EARLY_BUDGET_S,),
            "passes": 1,
            "entropy_weight": 0.01,
            "multiplier": 0.5,
            "multiplier_most": 10.0,
        }
    )
