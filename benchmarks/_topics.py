# pyright: basic
"""What a text tells about who answers it right: part 3 of fit_simulator.py.

A ridge regression on sentence embeddings: of an item's difficulty beyond its size, and of what every model gains on it
beyond its mean and the item's. The first principal components of the latter's predictions are the topics. What a
standard deviation of a topic is worth to a model is a regression on coordinates that were predicted for items left out,
so nothing is read into texts that they do not tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mar.pool.simulated import difficulty_from_complexity

Array = NDArray[np.float64]
RIDGES = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What texts were found to tell."""

    weights: Array  # from embeddings to coordinates, (384, 1 + topics)
    offset: Array  # (1 + topics,)
    difficulty: float  # correlation of difficulty with the first coordinate, held out
    effects: Array  # what a standard deviation of each topic adds to each model's share of right answers, (topics, M)
    explained: float  # share of the variance of gains that is told, held out


def told_by_texts(vectors: Array, solved: Array, complexity: Array, rho: float, *, topics: int, folds: int = 5) -> Told:
    """What texts tell of outcomes.

    Args:
        vectors: Embeddings, (n, 384).
        solved: Share of attempts that were right, (n, M).
        complexity: What the task's module takes for an item's size, (n,).
        rho: How strongly difficulty depends on it.
        topics: How many topics to keep.
        folds: Of the cross-validation.
    """
    hard = np.array(difficulty_from_complexity((-solved.mean(axis=1)).tolist()))
    rest = hard - rho * np.array(difficulty_from_complexity(complexity.tolist()))
    gains = solved - solved.mean(axis=1, keepdims=True) - solved.mean(axis=0) + solved.mean()
    first, first_predicted = _best(vectors, rest[:, None], folds)
    ridge, predicted = _best(vectors, gains, folds)
    main, main_offset = _direction(vectors, rest, first)
    middle = vectors.mean(axis=0)
    slopes = _ridge(vectors - middle, gains, ridge)
    _, _, axes = np.linalg.svd((vectors - middle) @ slopes, full_matrices=False)
    weights = slopes @ axes[:topics].T
    weights = weights / ((vectors - middle) @ weights).std(axis=0)
    told = (predicted - predicted.mean(axis=0)) @ axes[:topics].T
    effects = np.linalg.lstsq(told / told.std(axis=0), gains, rcond=None)[0]
    explained = 1 - float(((gains - predicted) ** 2).sum() / (gains**2).sum())
    return Told(
        weights=np.column_stack([main, weights]),
        offset=np.r_[main_offset, middle @ weights],
        difficulty=max(float(np.corrcoef(first_predicted[:, 0], rest)[0, 1]), 0.0),
        effects=effects if explained > 0 else np.zeros_like(effects),
        explained=explained,
    )


def _direction(vectors: Array, target: Array, ridge: float) -> tuple[Array, float]:
    middle = vectors.mean(axis=0)
    slope = _ridge(vectors - middle, (target - target.mean())[:, None], ridge)[:, 0]
    slope = slope / ((vectors - middle) @ slope).std()
    return slope, float(middle @ slope)


def _best(vectors: Array, target: Array, folds: int) -> tuple[float, Array]:
    """The ridge with the least squared error in cross-validation, and its predictions."""
    tried = {ridge: _predicted(vectors, target, ridge, folds) for ridge in RIDGES}
    best = min(tried, key=lambda ridge: float(((target - tried[ridge]) ** 2).sum()))
    return best, tried[best]


def _predicted(vectors: Array, target: Array, ridge: float, folds: int) -> Array:
    found = np.zeros_like(target)
    for fold in range(folds):
        out = np.arange(len(target)) % folds == fold
        middle, mean = vectors[~out].mean(axis=0), target[~out].mean(axis=0)
        found[out] = mean + (vectors[out] - middle) @ _ridge(vectors[~out] - middle, target[~out] - mean, ridge)
    return found


def _ridge(x: Array, y: Array, strength: float) -> Array:
    return np.linalg.solve(x.T @ x + strength * np.eye(x.shape[1]), x.T @ y)
