# pyright: basic
"""What a question's text alone tells about the models: the chance that each is right, and how long its answer will be.

The kernel regression of `routers.kernel`, of the numbers themselves and not of advantages. Who weighs answers by these
estimates has to learn how far to trust them, on questions from whose outcomes they were not made; a ridge regression
gives what it would have said of each training question without it in closed form: (fit - h y) / (1 - h), where h is
the question's leverage. So one fit does the work of a cross-validation.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mar.controllers.routers.base import Examples, Floats, Prompts, fitted
from mar.controllers.routers.kernel import NULL, RIDGES, Kernel


@dataclass(kw_only=True)
class Skills:
    """Expected values of some numbers for each question, shape (n, k)."""

    landmarks: int = 1000
    seed: int = 0
    kernel_: Kernel = field(init=False, repr=False)

    def fit(self, train: Examples, targets: Floats) -> Floats:
        """Learn the numbers.

        Args:
            train: The questions.
            targets: Their numbers, shape (n, k).

        Returns:
            What is expected of each training question by the others, shape (n, k).
        """
        rows = np.random.default_rng(self.seed).permutation(len(train))[: self.landmarks]
        self.kernel_ = Kernel(landmarks=self.landmarks, seed=self.seed)
        self.kernel_.remember(train, rows)
        likeness = self.kernel_.similarity(train)
        values, basis = np.linalg.eigh(likeness[rows].astype(np.float64))
        kept = values > NULL * values[-1]
        project = basis[:, kept] / np.sqrt(values[kept])
        features = likeness @ project.astype(np.float32)
        centre, mean = features.mean(axis=0, dtype=np.float64), targets.mean(axis=0, dtype=np.float64)
        weights, left_out = _left_out(features - centre.astype(np.float32), targets - mean)
        self.weights_ = (project @ weights).astype(np.float32)
        self.bias_ = (mean - centre @ weights).astype(np.float32)
        return (left_out + mean).astype(np.float32)

    def expect(self, prompts: Prompts) -> Floats:
        """What is expected of new questions, shape (n, k)."""
        return self.kernel_.similarity(prompts) @ fitted(self, "weights_") + fitted(self, "bias_")


def _left_out(features: Floats, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A ridge regression with a ridge for each principal direction of the targets, by generalised cross-validation.

    Args:
        features: Centred, shape (n, p).
        targets: Centred, shape (n, k).

    Returns:
        Its coefficients, (p, k), and what it says of every row without that row, (n, k).
    """
    n = len(features)
    squares, basis = np.linalg.eigh((features.T @ features).astype(np.float64))
    squares = np.maximum(squares, 1e-9)
    _, directions = np.linalg.eigh(targets.T @ targets)
    rotated = targets @ directions
    units = (features @ basis.astype(np.float32)).astype(np.float64) / np.sqrt(squares)
    moments, total = units.T @ rotated, (rotated**2).sum(axis=0)
    errors: list[np.ndarray] = []
    for ridge in RIDGES:
        kept = squares / (squares + ridge)
        residual = total - ((2 * kept - kept**2)[:, None] * moments**2).sum(axis=0)
        errors.append(residual / (1 - kept.sum() / n) ** 2)
    ridges = RIDGES[np.argmin(errors, axis=0)]
    kept = squares[:, None] / (squares[:, None] + ridges)
    said, leverage = units @ (kept * moments), units**2 @ kept + 1 / n
    left_out = (said - leverage * rotated) / (1 - leverage)
    weights = basis @ (kept * moments / np.sqrt(squares)[:, None]) @ directions.T
    return weights, left_out @ directions.T
