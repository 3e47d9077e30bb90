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

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mar.controllers.system_aware.estimators import CallEstimator, log_seconds
from mar.controllers.system_aware.observe import LOG_TOKENS, RUNNING, SERVICE, SLOTS, WAITING, Decide, Inputs

Weights = Mapping[str, Any]  # tensors or arrays by name

HIDDEN = 32
TEMPERATURE = 0.01  # of the choice while learning, in units of worth
EXPLORE = 0.1  # share of choices that are drawn uniformly while learning
LOGISTIC = 1.7  # the logistic function of 1.7 x is nearly the normal distribution of x
STEP = LOG_TOKENS  # of a step's figures those before this one say where in its plan it stands
IMPOSSIBLE = -1e3  # worth of what must not be chosen
NOT_NOW = -1e2  # worth of what is not chosen, but may be tried while learning
SLACK = 3.0  # |log(time left / delay)| counts up to this


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What every choice is expected to lead to; shapes (B, ...choices)."""

    solved: Any  # logit
    in_time: Any  # logit
    work: Any  # pressure * work

    def value(self, toll: Any) -> Any:
        """Expected goodput minus the toll."""
        return _sigmoid(self.solved) * _sigmoid(self.in_time) - toll * self.work


def waits(seen: Inputs) -> Any:
    """Seconds that a call sent now would wait for a slot, (B, L): see `mar.controllers.system_aware.delay`."""
    m = seen.models
    ahead = (m[..., RUNNING] + m[..., WAITING] - m[..., SLOTS] + 1).clip(0.0, None)
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


class _Worthwhile(nn.Module, ABC):
    """A network whose formula is written once, over weights and inputs that are tensors or NumPy arrays.

    It learns on tensors. Alone, a decision is sixty operations on a few dozen numbers, of which NumPy does one in a
    quarter of the time.
    """

    toll: Tensor

    @abstractmethod
    def _worth(self, seen: Inputs, w: Weights) -> Worth:
        """What every choice leads to."""

    @abstractmethod
    def _choice(self, seen: Inputs, w: Weights) -> tuple[Any, Any]:
        """Logits, and the worth of the best."""

    def weights(self) -> Weights:
        """All weights by name."""
        return dict(self.named_parameters()) | dict(self.named_buffers())

    def in_arrays(self) -> Decide:
        """`forward` for arrays. The weights are seen as they are at each call, while they are changed in place."""
        views = {name: w.detach().numpy() for name, w in self.weights().items()}
        return lambda seen: self._choice(seen, views)

    def worth(self, seen: Inputs) -> Worth:
        """Of every choice, shapes (B, ...choices)."""
        return self._worth(seen, self.weights())

    def forward(self, seen: Inputs) -> tuple[Tensor, Tensor]:
        """Logits (B, ...choices) of the choice, and the worth of the best one (B,)."""
        return self._choice(seen, self.weights())


class GoodputExecutor(_Worthwhile):
    """The worth of every model and strategy (B, L, S) for one step, with weights shared by all models."""

    def __init__(self, embedding: int, models: int, strategies: int, *, toll: float = 1.0) -> None:
        super().__init__()
        self.estimator = CallEstimator(models, strategies)
        self.prior: Tensor
        self.register_buffer("prior", torch.zeros(models, strategies))  # logit of the share solved alone
        self.register_buffer("toll", torch.tensor(toll))
        self.ease = _ease(embedding)
        self.for_step = _corrector(STEP, 3)  # how much the prior counts, a constant, and the slack for what follows
        self.spread = nn.Parameter(torch.tensor([0.5, 0.15]).log())  # of a call's own time, and of the wait
        self.alone: Tensor  # the step of a plan with one agent
        self.register_buffer("alone", torch.tensor([[1 / 6, 1 / 6, 0.0, 0.0]]), persistent=False)

    def _worth(self, seen: Inputs, w: Weights) -> Worth:
        xp = _namespace(seen)
        models, strategies = w["prior"].shape
        log_own = log_seconds(w["estimator.seconds_weight"], models, strategies, seen)
        own, wait = xp.exp(log_own), waits(seen)[..., None]
        budget, left = (x.clip(1e-3, None)[:, None, None] for x in (seen.budget, seen.remaining))
        slack = xp.log(left / (wait + own)).clip(-SLACK, SLACK)
        step = _corrected(w, "for_step", seen.step[:, :STEP]) - _corrected(w, "for_step", w["alone"])
        weight, constant, later = (step[:, i, None, None] for i in range(3))
        of_own, of_wait = xp.exp(w["spread"])
        unsure = (of_own * own + of_wait * wait) / (own + wait)
        pressure = (wait / budget).clip(None, 1.0)
        service = seen.models[..., SERVICE, None].clip(1e-3, None)
        return Worth(
            solved=_eased(w, seen)[..., None] + xp.exp(weight) * w["prior"] + constant,
            in_time=LOGISTIC * (slack - later) / unsure,
            work=pressure * own / service,
        )

    def _choice(self, seen: Inputs, w: Weights) -> tuple[Any, Any]:
        worth = self._worth(seen, w).value(w["toll"])
        worth = _namespace(seen).where(seen.silent[..., None], IMPOSSIBLE, worth)
        flat = worth.reshape(len(worth), -1)
        return explored(flat).reshape(worth.shape), _namespace(seen).amax(flat, -1)


class GoodputPlanner(_Worthwhile):
    """The worth of every shape of collaboration (B, K) for a query, seen with the load of the moment.

    Args:
        embedding: Width of a text embedding.
        stages: Calls of each shape that must follow each other; longer shapes begin as less likely to be in time.
        toll: As of the executor.
    """

    def __init__(self, embedding: int, stages: tuple[int, ...], *, toll: float = 1.0) -> None:
        super().__init__()
        self.shapes = len(stages)
        self.late: Tensor
        self.busy_shape: Tensor
        self.register_buffer("late", torch.tensor(stages, dtype=torch.float32) - 1)
        self.register_buffer("toll", torch.tensor(toll))
        self.register_buffer("busy_shape", torch.tensor(0))  # the shape for busy times; -1: none is imposed
        self.ease = _ease(embedding)
        self.for_load = _corrector(7, 3 * self.shapes)

    def _worth(self, seen: Inputs, w: Weights) -> Worth:
        xp = _namespace(seen)
        budget = seen.budget.clip(1e-3, None)
        wait = xp.log1p(waits(seen) / budget[:, None])
        share = (seen.models[..., RUNNING] / seen.models[..., SLOTS]).clip(None, 1.0)
        each = [f(x) for x in (wait, share) for f in (_least, _mean, _most)]
        load = xp.stack([*each, xp.log(budget) / 7], -1)
        corrections = _corrected(w, "for_load", load)
        k = self.shapes
        solved, timing, work = corrections[:, :k], corrections[:, k : 2 * k], corrections[:, 2 * k :]
        return Worth(
            solved=2.0 + _eased(w, seen) + solved,
            in_time=4.0 - w["late"] * (1 + 4 * load[:, :1]) + timing,
            work=_softplus(work - 3) * (1 + w["late"]),
        )

    def _choice(self, seen: Inputs, w: Weights) -> tuple[Any, Any]:
        xp = _namespace(seen)
        worth = self._worth(seen, w).value(w["toll"])
        if w["busy_shape"] >= 0:  # while calls wait somewhere, only the shape for busy times
            waiting = (seen.models[..., WAITING] > 0).any(-1)[:, None]
            worth = xp.where(waiting & (xp.arange(self.shapes) != w["busy_shape"]), NOT_NOW, worth)
        return explored(worth), xp.amax(worth, -1)


def explored(worth: Any) -> Any:
    """Log-probabilities of choices (B, n): mostly the best by worth, sometimes any that is not impossible."""
    xp = _of(worth)
    allowed = worth > IMPOSSIBLE
    likely = xp.exp((worth - xp.amax(worth, -1)[:, None]) / TEMPERATURE)
    best = likely / likely.sum(-1)[:, None]
    anything = allowed / allowed.sum(-1)[:, None]
    return xp.log(((1 - EXPLORE) * best + EXPLORE * anything).clip(1e-30, None))


def set_prior(executor: GoodputExecutor, shares: Mapping[tuple[int, int], float]) -> None:
    """Begin at the share of queries that each model (first index) solved alone with each strategy (second)."""
    for (model, strategy), share in shares.items():
        executor.prior[model, strategy] = torch.logit(torch.tensor(share), eps=0.01)


# Written for tensors and arrays alike ----------------------------------------------------------------------------


def _of(x: Any) -> Any:
    return torch if isinstance(x, Tensor) else np


def _namespace(seen: Inputs) -> Any:
    """NumPy or PyTorch, whichever the inputs belong to."""
    return _of(seen.query)


def _sigmoid(x: Any) -> Any:
    return 0.5 + 0.5 * _of(x).tanh(0.5 * x)


def _softplus(x: Any) -> Any:
    return x.clip(0.0, None) + _of(x).log1p(_of(x).exp(-abs(x)))


def _eased(w: Weights, seen: Inputs) -> Any:
    """How easy the queries are, (B, 1)."""
    return seen.query @ w["ease.weight"].T + w["ease.bias"]


def _corrected(w: Weights, name: str, x: Any) -> Any:
    """What a `_corrector` makes of x."""
    hidden = (x @ w[f"{name}.0.weight"].T + w[f"{name}.0.bias"]).clip(0.0, None)
    return hidden @ w[f"{name}.2.weight"].T + w[f"{name}.2.bias"]


def _least(x: Any) -> Any:
    return _of(x).amin(x, -1)


def _mean(x: Any) -> Any:
    return x.mean(-1)


def _most(x: Any) -> Any:
    return _of(x).amax(x, -1)
