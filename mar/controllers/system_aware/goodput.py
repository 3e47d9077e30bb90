# pyright: basic
"""Networks that choose by what a choice is worth under load: solved in time, minus a toll for the time it takes away.

    worth(choice) = P(solved) P(in time) - toll * pressure * work

P(solved) and P(in time) are two logistic models, taught on every episode whether or not it was in time. P(solved) of an
agent that works alone is the share of queries that its model and strategy solved in a pilot, P(in time) is that of a
lognormal delay whose median is estimated and whose spread is learned; for agents of larger plans both are corrected by
where the step stands in its plan. A query enters as one number, how easy it is. Models and strategies are known by
their figures only, so the network is the same for any pool. (Free corrections of each strategy, of each query and of
the load were tried: they learned the training items by heart and mistook the noise of few tries for effects.)

The last term is what a call costs others. `pressure` is the wait at the model as a share of the budget, `work` the
call's time in units of the model's mean call: where the wait has grown to a whole budget, an average call displaces one
other query, which is worth at most 1. (The rule that weighs value against backlog times work is drift-plus-penalty,
Neely 2010; it needs no forecast of arrivals.) A policy gradient on an episode's own reward would not see it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mar.controllers.system_aware.estimators import CallEstimator
from mar.controllers.system_aware.observe import LOG_TOKENS, RUNNING, SERVICE, SLOTS, WAITING, Inputs

HIDDEN = 32
TEMPERATURE = 0.01  # of the choice while learning, in units of worth
EXPLORE = 0.1  # share of choices that are drawn uniformly while learning
LOGISTIC = 1.7  # the logistic function of 1.7 x is nearly the normal distribution of x
STEP = LOG_TOKENS  # of a step's figures those before this one say where in its plan it stands
SLACK = 3.0  # |log(time left / delay)| counts up to this


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What every choice is expected to lead to; shapes (B, ...choices)."""

    solved: Tensor  # logit
    in_time: Tensor  # logit
    work: Tensor  # pressure * work

    def value(self, toll: float) -> Tensor:
        """Expected goodput minus the toll."""
        return self.solved.sigmoid() * self.in_time.sigmoid() - toll * self.work


def waits(seen: Inputs) -> Tensor:
    """Seconds that a call sent now would wait for a slot, (B, L): see `mar.controllers.system_aware.delay`."""
    m = seen.models
    ahead = (m[..., RUNNING] + m[..., WAITING] - m[..., SLOTS] + 1).clamp(min=0.0)
    return m[..., SERVICE] * ahead / m[..., SLOTS]


def _ease(embedding: int) -> nn.Linear:
    """How easy a query is: one number that all choices share, so no choice can be taken for an item's own good."""
    layer = nn.Linear(embedding, 1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _corrector(inputs: int, outputs: int) -> nn.Sequential:
    net = nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, outputs))
    last = net[-1]
    nn.init.zeros_(last.weight)  # pyright: ignore[reportArgumentType]
    nn.init.zeros_(last.bias)  # pyright: ignore[reportArgumentType]
    return net


class GoodputExecutor(nn.Module):
    """The worth of every model and strategy for one step, with weights shared by all models."""

    def __init__(self, embedding: int, models: int, strategies: int, *, toll: float = 1.0) -> None:
        super().__init__()
        self.estimator = CallEstimator(models, strategies)
        self.prior: Tensor
        self.toll: Tensor
        self.register_buffer("prior", torch.zeros(models, strategies))  # logit of the share solved alone
        self.register_buffer("toll", torch.tensor(toll))
        self.ease = _ease(embedding)
        self.for_step = _corrector(STEP, 3)  # how much the prior counts, a constant, and the slack for what follows
        self.spread = nn.Parameter(torch.tensor([0.5, 0.15]).log())  # of a call's own time, and of the wait
        alone = torch.tensor([[1 / 6, 1 / 6, 0.0, 0.0]])
        self.alone: Tensor
        self.register_buffer("alone", alone, persistent=False)  # the step of a plan with one agent

    def worth(self, seen: Inputs) -> Worth:
        """Every model and strategy, shapes (B, L, S)."""
        log_own = self.estimator(seen)[1]
        b, n, s = log_own.shape
        own, wait = log_own.exp(), waits(seen).unsqueeze(-1)
        budget, left = (x.clamp(min=1e-3).view(b, 1, 1) for x in (seen.budget, seen.remaining))
        slack = (left.log() - (wait + own).log()).clamp(-SLACK, SLACK)
        step = self.for_step(seen.step[:, :STEP]) - self.for_step(self.alone)
        weight, constant, later = step.view(b, 1, 1, 3).unbind(-1)
        prior = self.prior.expand(b, n, s)
        of_own, of_wait = self.spread.exp().unbind()
        unsure = (of_own * own + of_wait * wait) / (own + wait)
        pressure = (wait / budget).clamp(max=1.0)
        service = seen.models[..., SERVICE].unsqueeze(-1).clamp(min=1e-3)
        return Worth(
            solved=self.ease(seen.query).unsqueeze(-1) + weight.exp() * prior + constant,
            in_time=LOGISTIC * (slack - later) / unsure,
            work=pressure * own / service,
        )

    def forward(self, seen: Inputs) -> tuple[Tensor, Tensor]:
        """Logits (B, L, S) of the choice, and the worth of the best one (B,)."""
        worth = self.worth(seen).value(float(self.toll))
        answering = ~seen.silent.unsqueeze(-1).expand_as(worth)
        logits = explored(worth.flatten(1), answering.flatten(1))
        return logits.view_as(worth), worth.flatten(1).max(-1).values


class GoodputPlanner(nn.Module):
    """The worth of every shape of collaboration for a query, seen with the load of the moment.

    Args:
        embedding: Width of a text embedding.
        stages: Calls of each shape that must follow each other; longer shapes begin as less likely to be in time.
        toll: As of the executor.
    """

    def __init__(self, embedding: int, stages: tuple[int, ...], *, toll: float = 1.0) -> None:
        super().__init__()
        self.shapes = len(stages)
        self.late: Tensor
        self.toll: Tensor
        self.busy_shape: Tensor
        self.register_buffer("late", torch.tensor(stages, dtype=torch.float32) - 1)
        self.register_buffer("toll", torch.tensor(toll))
        self.register_buffer("busy_shape", torch.tensor(0))  # the shape for busy times; -1: none is imposed
        self.ease = _ease(embedding)
        self.for_load = _corrector(7, 3 * self.shapes)

    def worth(self, seen: Inputs) -> Worth:
        """Every shape, shapes (B, K)."""
        budget = seen.budget.clamp(min=1e-3)
        wait = torch.log1p(waits(seen) / budget.unsqueeze(-1))
        share = (seen.models[..., RUNNING] / seen.models[..., SLOTS]).clamp(max=1.0)
        load = torch.stack(
            [f(x) for x in (wait, share) for f in (_least, _mean, _most)] + [budget.log() / 7], -1
        )  # fmt: skip
        solved, timing, work = self.for_load(load).chunk(3, -1)
        return Worth(
            solved=2.0 + self.ease(seen.query) + solved,
            in_time=4.0 - self.late * (1 + 4 * load[:, :1]) + timing,
            work=nn.functional.softplus(work - 3) * (1 + self.late),
        )

    def forward(self, seen: Inputs) -> tuple[Tensor, Tensor]:
        """Logits (B, K) of the choice, and the worth of the best one (B,)."""
        worth = self.worth(seen).value(float(self.toll))
        everything = torch.ones_like(worth, dtype=torch.bool)
        if self.busy_shape >= 0:  # while calls wait somewhere, only the shape for busy times
            waiting = (seen.models[..., WAITING] > 0).any(-1, keepdim=True)
            worth = worth.masked_fill(waiting & (torch.arange(self.shapes) != self.busy_shape), -1e3)
        return explored(worth, everything), worth.max(-1).values


def explored(worth: Tensor, allowed: Tensor) -> Tensor:
    """Log-probabilities of choices (B, n): mostly the best by worth, sometimes any that is allowed."""
    best = (worth / TEMPERATURE).masked_fill(~allowed, -1e9).softmax(-1)
    anything = allowed / allowed.sum(-1, keepdim=True)
    return ((1 - EXPLORE) * best + EXPLORE * anything).clamp(min=1e-30).log()


def set_prior(executor: GoodputExecutor, shares: Mapping[tuple[int, int], float]) -> None:
    """Begin at the share of queries that each model (first index) solved alone with each strategy (second)."""
    for (model, strategy), share in shares.items():
        executor.prior[model, strategy] = torch.logit(torch.tensor(share), eps=0.01)


def _least(x: Tensor) -> Tensor:
    return x.min(-1).values


def _mean(x: Tensor) -> Tensor:
    return x.mean(-1)


def _most(x: Tensor) -> Tensor:
    return x.max(-1).values
