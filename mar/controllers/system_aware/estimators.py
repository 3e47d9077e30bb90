# pyright: basic
"""How long a call will write and take, learned from telemetry.

Both are linear in the logarithm, so that a fit is one least-squares solution and every coefficient can be read:

    log tokens  = a_m + b_s + c log(1 + query tokens) + d [decider]
    log seconds = the same with its own coefficients + e_m share + f_m log(1 + queue)

for model m and strategy s, with share = running / slots and queue = waiting / slots when the call was sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mar.controllers.system_aware.observe import DECIDER, LOG_TOKENS, RUNNING, SLOTS, WAITING, Inputs
from mar.errors import ConfigError

RIDGE = 1e-2  # weight of squared coefficients: what was never seen stays near the others' mean
RECENT_CALLS = 4000  # that are enough for a fit
FEWEST_CALLS = 10
HELD_OUT = 5  # every fifth call is kept out of a fit to report its error, then taken in


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One answered call."""

    model: int  # position in the pool
    strategy: int  # position among the strategies
    log_query_tokens: float
    decider: bool
    share: float  # running calls per slot when it was sent
    queue: float  # waiting calls per slot when it was sent
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateError:
    """How far estimates are off on held-out calls."""

    calls: int  # held out
    tokens_error: float  # median of |estimated / true - 1|
    tokens_error_of_a_constant: float  # the same of one number for all calls: what the estimator must beat
    seconds_error: float
    seconds_error_of_a_constant: float


class CallEstimator(nn.Module):
    """Expected tokens and seconds of a call, for every model and strategy."""

    def __init__(self, models: int, strategies: int) -> None:
        super().__init__()
        self.models, self.strategies = models, strategies
        width = models + strategies + 2
        self.tokens_weight: Tensor
        self.seconds_weight: Tensor
        self.register_buffer("tokens_weight", torch.zeros(width))
        self.register_buffer("seconds_weight", torch.zeros(width + 2 * models))

    def fit(self, calls: Sequence[CallRecord]) -> EstimateError:
        """Learn from calls; their error is measured on every fifth, with the others' fit.

        Calls of no positive duration or length are left out: a clock that went backwards says nothing.

        Raises:
            ConfigError: There are too few calls.
        """
        known = [c for c in calls if c.seconds > 0 and c.tokens > 0]
        if len(known) < FEWEST_CALLS:
            raise ConfigError(f"{len(known)} calls are too few to learn latencies from; expected {FEWEST_CALLS}")
        rows = np.array([self._row(c) for c in known])
        tokens, seconds = (np.log([getattr(c, n) for c in known]) for n in ("tokens", "seconds"))
        held = np.arange(len(known)) % HELD_OUT == 0
        short = self.models + self.strategies + 2
        off: list[float] = []
        for x, y in ((rows[:, :short], tokens), (rows, seconds)):
            guess = x[held] @ _ridge(x[~held], y[~held])
            off += [_relative(guess, y[held]), _relative(np.full(held.sum(), np.median(y[~held])), y[held])]
        self.tokens_weight.copy_(torch.from_numpy(_ridge(rows[:, :short], tokens)))
        self.seconds_weight.copy_(torch.from_numpy(_ridge(rows, seconds)))
        return EstimateError(
            calls=int(held.sum()),
            tokens_error=off[0],
            tokens_error_of_a_constant=off[1],
            seconds_error=off[2],
            seconds_error_of_a_constant=off[3],
        )

    def _row(self, call: CallRecord) -> np.ndarray:
        row = np.zeros(3 * self.models + self.strategies + 2)
        at = self.models + self.strategies
        row[call.model] = row[self.models + call.strategy] = 1
        row[at : at + 2] = call.log_query_tokens, call.decider
        row[at + 2 + call.model] = call.share
        row[at + 2 + self.models + call.model] = np.log1p(call.queue)
        return row

    def forward(self, seen: Inputs) -> tuple[Tensor, Tensor]:
        """Log tokens and log seconds of a call that starts at once, without the queue: two of shape (B, L, S)."""
        return (
            _linear(self.tokens_weight, self.models, self.strategies, seen),
            log_seconds(self.seconds_weight, self.models, self.strategies, seen),
        )

    def queued(self, seen: Inputs) -> Tensor:
        """Log seconds of a call that takes its place in the queue, shape (B, L, S)."""
        queue = torch.log1p(seen.models[..., WAITING] / seen.models[..., SLOTS])
        return self(seen)[1] + (self.seconds_weight[-self.models :] * queue).unsqueeze(-1)


def log_seconds(weight: Any, models: int, strategies: int, seen: Inputs) -> Any:
    """Log seconds of a call that starts at once, (B, L, S): the weights and what is seen both arrays or tensors."""
    share = (seen.models[..., RUNNING] / seen.models[..., SLOTS]).clip(None, 1.0)
    at = models + strategies + 2
    return _linear(weight, models, strategies, seen) + (weight[at : at + models] * share)[..., None]


def _linear(weight: Any, models: int, strategies: int, seen: Inputs) -> Any:
    both = models + strategies
    pairs = weight[:models][:, None] + weight[models:both]
    return pairs + (seen.step[:, [LOG_TOKENS, DECIDER]] @ weight[both : both + 2])[:, None, None]


def _ridge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Least squares with a small penalty; y is centred by its coefficients for the models, which need no intercept."""
    return np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ y)


def _relative(guess: np.ndarray, true: np.ndarray) -> float:
    return float(np.median(np.abs(np.exp(guess - true) - 1)))
