# pyright: basic
"""A kernel ridge regression of every LLM's advantage, with as much shrinkage in each direction as the data ask for.

What decides a routing is not how well an LLM does but how much better than the others, so the targets are scores minus
the mean score on the prompt: the difficulty that all LLMs share, most of the noise, is gone. Their principal directions
(strong against weak, good at mathematics against good at law, ...) differ in how predictable they are, so each gets a
ridge of its own by generalised cross-validation (Golub, Heath and Wahba 1979), in closed form from one
eigendecomposition. The kernel adds up similarity in meaning (embedding), in wording (TF-IDF) and in looks; landmarks
stand for the training prompts (Nystroem), so fitting is linear in their number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse

from mar.controllers.routers.base import Examples, Floats, Prompts, fitted
from mar.controllers.routers.clusters import distances
from mar.controllers.routers.texts import BUCKETS, looks, rarity, weighed, words
from mar.errors import ConfigError

RIDGES = 10.0 ** np.arange(-1, 4.1, 0.25)
NULL = 1e-4  # directions of the landmarks' kernel below this share of the largest are rounding


@dataclass(kw_only=True)
class Kernel:
    """Expected advantage of each LLM over the mean of the pool."""

    landmarks: int = 1000
    sharpness: float = 3.0  # of similarity in meaning: exp(sharpness * (cosine - 1))
    reach: float = 4.0  # of similarity in looks, in standard deviations
    use_texts: bool = True  # where they are known
    seed: int = 0

    def fit(self, train: Examples, validation: Examples) -> None:
        """Fit on the training prompts; the ridges need no validation."""
        rows = np.random.default_rng(self.seed).permutation(len(train))[: self.landmarks]
        self.remember(train, rows)
        kernel = self.similarity(train)
        values, basis = np.linalg.eigh(kernel[rows].astype(np.float64))
        kept = values > NULL * values[-1]
        project = basis[:, kept] / np.sqrt(values[kept])
        features = kernel @ project.astype(np.float32)
        targets = advantage(train.targets)
        mean, centre = targets.mean(axis=0, dtype=np.float64), features.mean(axis=0, dtype=np.float64)
        weights = shrunken_ridge(features - centre.astype(np.float32), targets - mean.astype(np.float32))
        self.weights_ = (project @ weights).astype(np.float32)
        self.bias_ = (mean - centre @ weights).astype(np.float32)

    def score(self, prompts: Prompts) -> Floats:
        """Advantages, shape (n, m)."""
        return self.similarity(prompts) @ fitted(self, "weights_") + fitted(self, "bias_")

    def remember(self, train: Examples, rows: np.ndarray) -> None:
        """Remember the landmarks, and how words and looks are weighed."""
        self.vectors_ = train.vectors[rows]
        if not (self.use_texts and train.texts):
            return
        counts, shapes = words(train.texts), looks(train.texts)
        self.rare_ = rarity(counts)
        marks = weighed(counts[rows], self.rare_)
        self.words_ = (marks.data, marks.indices, marks.indptr)
        self.mean_, self.scale_ = shapes.mean(axis=0), np.maximum(shapes.std(axis=0), 1e-6)
        self.looks_ = self._scaled(shapes[rows])

    def similarity(self, prompts: Prompts) -> Floats:
        """Similarity to every landmark, shape (n, landmarks)."""
        found = np.exp(self.sharpness * (prompts.vectors @ fitted(self, "vectors_").T - 1))
        if not hasattr(self, "rare_"):
            return found
        if not prompts.texts:
            raise ConfigError("the router was fitted on prompts with texts, and these have none")
        marks = sparse.csr_matrix(self.words_, shape=(len(self.vectors_), BUCKETS))
        marks.check_format(full_check=True)  # SciPy follows the indices of a checkpoint without looking
        found += (weighed(words(prompts.texts), self.rare_) @ marks.T).toarray()
        found += np.exp(-0.5 * distances(self._scaled(looks(prompts.texts)), self.looks_) ** 2)
        return found

    def _scaled(self, shapes: Floats) -> Floats:
        return (shapes - self.mean_) / (self.scale_ * self.reach)


def advantage(scores: Floats) -> Floats:
    """Scores minus the mean on the prompt."""
    return scores - scores.mean(axis=1, keepdims=True)


def shrunken_ridge(features: Floats, targets: Floats) -> np.ndarray:
    """Coefficients of a ridge regression with a ridge for each principal direction of the targets, shape (p, m).

    Args:
        features: Centred, shape (n, p).
        targets: Centred, shape (n, m).
    """
    n = len(features)
    squares, basis = np.linalg.eigh((features.T @ features).astype(np.float64))
    squares = np.maximum(squares, 1e-9)
    _, directions = np.linalg.eigh((targets.T @ targets).astype(np.float64))
    rotated = targets @ directions.astype(np.float32)
    moments = basis.T @ (features.T @ rotated).astype(np.float64)  # (p, m)
    explained, total = moments**2 / squares[:, None], (rotated.astype(np.float64) ** 2).sum(axis=0)
    errors = []
    for ridge in RIDGES:
        kept = squares / (squares + ridge)
        residual = total - ((2 * kept - kept**2)[:, None] * explained).sum(axis=0)
        errors.append(residual / (1 - kept.sum() / n) ** 2)
    ridges = RIDGES[np.argmin(errors, axis=0)]
    return basis @ (moments / (squares[:, None] + ridges)) @ directions.T
