# pyright: basic
"""Logistic regression, as the cascades use it: fitted by scikit-learn, kept as a few numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
FOLDS = 5
STRENGTH = 1.0  # inverse of the ridge penalty


@dataclass(frozen=True, slots=True, kw_only=True)
class Logistic:
    """Probabilities of being right."""

    weights: Floats  # (F,)
    bias: float

    @classmethod
    def fit(cls, x: Floats, right: npt.NDArray[np.bool_], *, strength: float = STRENGTH) -> Logistic:
        """Fit to features (n, F). Where all are right or all are wrong, a constant: one of each is added."""
        from sklearn.linear_model import LogisticRegression

        if not x.shape[1] or right.all() or not right.any():
            share = (right.sum() + 1) / (len(right) + 2)
            return cls(weights=np.zeros(x.shape[1]), bias=float(np.log(share / (1 - share))))
        found = LogisticRegression(C=strength, max_iter=1000).fit(x, right)
        return cls(weights=found.coef_[0], bias=float(found.intercept_[0]))

    def __call__(self, x: Floats) -> Floats:
        """Of features (..., F)."""
        return 1 / (1 + np.exp(-(x @ self.weights + self.bias)))


def log_odds(chance: Floats) -> Floats:
    """Of probabilities; at most 6.9 either way."""
    kept = np.clip(chance, 1e-3, 1 - 1e-3)
    return np.log(kept / (1 - kept))


def folds(count: int) -> npt.NDArray[np.int64]:
    """Which fold each of some items is in."""
    return np.arange(count) % min(FOLDS, max(1, count))
