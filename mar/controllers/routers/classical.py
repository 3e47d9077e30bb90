# pyright: basic
"""Routers that neighbouring libraries have: a support vector machine, matrix factorisation, and Elo ratings.

Sources: RouterBench (arXiv 2403.12031) for the SVM; RouteLLM (arXiv 2406.18665) for matrix factorisation and Elo
ratings weighted by similarity. Here they are stated for scores of m LLMs instead of votes on two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mar.controllers.routers.base import Examples, Floats, Prompts, fitted
from mar.errors import ConfigError

PER_ELO = np.log(10) / 400  # Elo's scale: 400 points are odds of ten to one


@dataclass(kw_only=True)
class Svm:
    """One linear support vector machine per LLM: does it solve the prompt?"""

    c: float = 0.05
    seed: int = 0

    def fit(self, train: Examples, validation: Examples) -> None:
        """Fit an SVM per LLM; one that always or never solves gets a constant."""
        from sklearn.svm import LinearSVC

        solved = train.targets >= 0.5
        weights = np.zeros((train.vectors.shape[1], solved.shape[1]))
        biases = np.where(solved.mean(axis=0) > 0.5, 1.0, -1.0)
        for j in range(solved.shape[1]):
            if 0 < solved[:, j].mean() < 1:
                model: Any = LinearSVC(C=self.c, random_state=self.seed).fit(train.vectors, solved[:, j])
                weights[:, j], biases[j] = model.coef_[0], model.intercept_[0]
        self.weights_, self.biases_ = weights.astype(np.float32), biases.astype(np.float32)

    def score(self, prompts: Prompts) -> Floats:
        """Signed distances to the separating planes."""
        return prompts.vectors @ fitted(self, "weights_") + fitted(self, "biases_")


@dataclass(kw_only=True)
class MatrixFactorisation:
    """Ridge regression whose coefficients have a low rank: few directions of prompts, shared by all LLMs.

    The best fit of rank r to a ridge regression is its projection on the first r right singular vectors of the fitted
    values (reduced-rank regression; Izenman 1975).
    """

    rank: int = 4
    ridge: float = 30.0

    def fit(self, train: Examples, validation: Examples) -> None:
        """Fit, then project."""
        self.mean_ = train.targets.mean(axis=0)
        self.centre_ = train.vectors.mean(axis=0)
        x, y = train.vectors - self.centre_, train.targets - self.mean_
        gram = x.T @ x + self.ridge * np.eye(x.shape[1], dtype=np.float32)
        full = np.linalg.solve(gram, x.T @ y)
        _, _, directions = np.linalg.svd(x @ full, full_matrices=False)
        kept = directions[: self.rank]
        self.weights_ = ((full @ kept.T) @ kept).astype(np.float32)

    def score(self, prompts: Prompts) -> Floats:
        """Predicted scores."""
        found = fitted(self, "mean_") + (prompts.vectors - fitted(self, "centre_")) @ fitted(self, "weights_")
        return np.asarray(found, dtype=np.float32)


@dataclass(kw_only=True)
class Elo:
    """Elo ratings from all pairs of LLMs, each training prompt weighted by its similarity to the one asked.

    The expected result of a pair under ratings r is 1 / (1 + 10^((r_b - r_a) / 400)). The ratings that make the
    weighted mean results of every LLM come out (a Bradley-Terry model) are found by a few Newton steps at each prompt.
    """

    sharpness: float = 12.0  # how much faster than by its exponential similarity counts
    steps: int = 6
    ridge: float = 1e-2

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 1000:
            raise ConfigError(f"steps is {self.steps}; expected 1 to 1000")

    def fit(self, train: Examples, validation: Examples) -> None:
        """Keep the training prompts and their results."""
        self.vectors_, self.targets_ = train.vectors, train.targets

    def score(self, prompts: Prompts) -> Floats:
        """Ratings around 0, shape (n, m), in hundreds of points so that a softmax of them means something."""
        vectors, targets = fitted(self, "vectors_"), fitted(self, "targets_")
        wins = mean_wins(prompts.vectors, vectors, targets, self.sharpness)
        n, m = wins.shape
        ratings = np.zeros((n, m))
        for _ in range(self.steps):
            expected = 1 / (1 + np.exp(ratings[:, None, :] - ratings[:, :, None]))
            slope = expected * (1 - expected)
            gradient = wins - (expected.sum(2) - 0.5) / max(m - 1, 1) - self.ridge * ratings
            curve = (slope.sum(2) - 0.25) / max(m - 1, 1) + self.ridge
            ratings += gradient / curve / 2
            ratings -= ratings.mean(axis=1, keepdims=True)
        return (ratings / PER_ELO / 100).astype(np.float32)


def mean_wins(queries: Floats, vectors: Floats, targets: Floats, sharpness: float, block: int = 1024) -> np.ndarray:
    """Each LLM's weighted mean result against the others: 1 for a win, one half for a draw; shape (n, m).

    On one prompt, half the difference of two scores beyond one half is the result of a pair, so that the mean over the
    other LLMs is linear in the scores.
    """
    m = targets.shape[1]
    results = 0.5 + 0.5 * (m * targets - targets.sum(axis=1, keepdims=True)) / max(m - 1, 1)
    found = np.empty((len(queries), m))
    for at in range(0, len(queries), block):
        weights = np.exp(sharpness * (queries[at : at + block] @ vectors.T - 1))
        found[at : at + block] = weights @ results / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    return found
