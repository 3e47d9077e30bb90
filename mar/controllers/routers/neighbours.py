"""PRknn: what the nearest training prompts scored (RouterEval, arXiv 2503.10657)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mar.controllers.routers.base import Examples, Floats, Prompts, fitted

BLOCK = 512  # prompts compared at once


@dataclass(kw_only=True)
class Knn:
    """Mean score of the k nearest training prompts by cosine."""

    k: int = 5

    def fit(self, train: Examples, validation: Examples) -> None:
        """Keep the training prompts."""
        self.vectors_, self.targets_ = train.vectors, train.targets

    def score(self, prompts: Prompts) -> Floats:
        """Mean of the neighbours' scores; of all where there are fewer than k."""
        vectors, targets = fitted(self, "vectors_"), fitted(self, "targets_")
        k = min(self.k, len(vectors))
        found = np.empty((len(prompts), targets.shape[1]), dtype=np.float32)
        for at in range(0, len(prompts), BLOCK):
            near = nearest(prompts.vectors[at : at + BLOCK], vectors, k)
            found[at : at + BLOCK] = targets[near].mean(axis=1)
        return found


def nearest(queries: Floats, vectors: Floats, k: int) -> npt.NDArray[np.int64]:
    """Rows of the k most similar vectors, in no order; shape (len(queries), k).

    Similarities that agree to six digits are one, and then the later row is nearer: benchmarks hold the same prompt
    more than once, and which copies a rule takes must not hang on rounding.
    """
    if k >= len(vectors):
        return np.tile(np.arange(len(vectors)), (len(queries), 1))
    similarity = np.round((queries @ vectors.T).astype(np.float64), 6)
    similarity += np.arange(len(vectors)) * (5e-7 / len(vectors))
    return np.argpartition(similarity, -k, axis=1)[:, -k:]
