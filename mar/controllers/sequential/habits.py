"""How models of a pool write: how long, how fast, and how sure they sound when they know and when they do not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
UNKNOWN_TOKENS = 250.0  # completion tokens of a model that was never heard
UNKNOWN_SECONDS = 5.0
FEW = 5.0  # calls' worth of what models have in common, in every model's means
MOST_SURE = 3.0  # the confidence of one call changes no odds by more than exp(3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What one call shows of its model's habits."""

    model: int
    strategy: int
    query_tokens: float
    prompt_tokens: int | None
    completion_tokens: int | None
    seconds: float | None
    mean_logprob: float | None
    right: bool | None  # None: not graded
    alone: bool  # whether it read nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """Means over calls, by model (M,) and strategy (S,)."""

    models: tuple[str, ...]
    strategies: tuple[str | None, ...]
    written: Floats  # completion tokens with the first strategy, (M,)
    factor: Floats  # of completion tokens, (S,)
    seconds: Floats  # of a call with the first strategy, (M,)
    overhead: float  # prompt tokens beside the query's
    centre: Floats  # of confidence, halfway between known and not known, (M,)
    apart: float  # of confidence, between known and not known
    spread: float  # standard deviation of confidence about either

    @classmethod
    def unknown(cls, models: Sequence[str], strategies: Sequence[str | None], *, overhead: float = 200.0) -> Habits:
        """Before anything was heard."""
        m, s = len(models), len(strategies)
        return cls(
            models=tuple(models),
            strategies=tuple(strategies),
            written=np.full(m, UNKNOWN_TOKENS),
            factor=np.ones(s),
            seconds=np.full(m, UNKNOWN_SECONDS),
            overhead=overhead,
            centre=np.zeros(m),
            apart=0.0,
            spread=1.0,
        )

    @classmethod
    def of(cls, models: Sequence[str], strategies: Sequence[str | None], heard: Sequence[Heard]) -> Habits:
        """The habits that calls show. Where a model said little, it is taken to be like the others."""
        before = cls.unknown(models, strategies)
        long = [h for h in heard if h.completion_tokens]
        if not long:
            return before
        model, strategy = np.array([h.model for h in long]), np.array([h.strategy for h in long])
        tokens = np.array([float(h.completion_tokens or 1) for h in long])
        factor = _factors(model, strategy, np.log(tokens), len(models), len(strategies))
        seconds = np.array([UNKNOWN_SECONDS if h.seconds is None else h.seconds for h in long]) / factor[strategy]
        beyond = [h.prompt_tokens - h.query_tokens for h in heard if h.alone and h.prompt_tokens is not None]
        centre, apart, spread = _confidence(heard, len(models))
        return cls(
            models=tuple(models),
            strategies=tuple(strategies),
            written=_means(model, tokens / factor[strategy], len(models)),
            factor=factor,
            seconds=_means(model, seconds, len(models)),
            overhead=float(np.mean(beyond)) if beyond else before.overhead,
            centre=centre,
            apart=apart,
            spread=spread,
        )

    @property
    def telling(self) -> float:
        """How far apart the confidence of those who know and of those who do not is, in standard deviations."""
        return max(0.0, self.apart / self.spread)

    def surer(self, model: int, mean_logprob: float | None) -> float:
        """Log-likelihood ratio, known against not known, of how sure a model sounds; 0 where it does not say."""
        if mean_logprob is None or self.apart <= 0:
            return 0.0
        ratio = self.apart / self.spread**2 * (sureness(mean_logprob) - self.centre[model])
        return float(np.clip(ratio, -MOST_SURE, MOST_SURE))


def sureness(mean_logprob: float) -> float:
    """A scale on which confidence is about normal: minus the logarithm of nats per token."""
    return -math.log(max(-mean_logprob, 1e-6))


def _means(model: npt.NDArray[np.int64], values: Floats, count: int) -> Floats:
    sums, calls = np.bincount(model, values, count), np.bincount(model, minlength=count)
    return (sums + FEW * values.mean()) / (calls + FEW)


def _factors(
    model: npt.NDArray[np.int64], strategy: npt.NDArray[np.int64], logs: Floats, models: int, strategies: int
) -> Floats:
    """Of every strategy against the first: least squares of log tokens = model + strategy."""
    x: Floats = np.zeros((len(logs), models + strategies - 1))
    x[np.arange(len(logs)), model] = 1
    rest = strategy > 0
    x[np.flatnonzero(rest), models + strategy[rest] - 1] = 1
    penalty = 0.5 * np.eye(x.shape[1])
    mean = logs.mean()
    solve: Any = np.linalg.solve  # its stubs know no type
    found: Floats = solve(x.T @ x + penalty, x.T @ (logs - mean))
    return np.concatenate([np.ones(1), np.exp(found[models:])])


def _confidence(heard: Sequence[Heard], models: int) -> tuple[Floats, float, float]:
    """Centre by model, distance and spread of confidence; a distance of 0 where calls do not tell."""
    known = [(h.model, sureness(h.mean_logprob), h.right) for h in heard if h.mean_logprob is not None]
    graded = [(m, s, r) for m, s, r in known if r is not None]
    right = np.array([r for _, _, r in graded], dtype=bool)
    if right.sum() < FEW or (~right).sum() < FEW:
        return np.zeros(models), 0.0, 1.0
    model, sure = np.array([m for m, _, _ in graded]), np.array([s for _, s, _ in graded])
    usual = _means(model, sure, models)
    rest = sure - usual[model]
    apart = float(rest[right].mean() - rest[~right].mean())
    variance = (rest[right].var() * right.sum() + rest[~right].var() * (~right).sum()) / len(rest)
    middle = (rest[right].mean() + rest[~right].mean()) / 2
    return usual + middle, max(apart, 0.0), float(np.sqrt(variance) or 1.0)
