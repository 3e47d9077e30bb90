# pyright: basic
"""C-RoBERTa: the best LLM of the nearest cluster of training prompts (RouterEval, arXiv 2503.10657)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mar.controllers.routers.base import Examples, Floats, Prompts, fitted, share
from mar.numerics import one_thread

NEAR = 1e-8  # a distance below this counts as this


@dataclass(kw_only=True)
class Cluster:
    """Clusters of prompts, each routed to the LLM that was best on it in training."""

    clusters: int = 3
    mixture: Literal["kmeans", "gaussian"] = "kmeans"
    seed: int = 0

    def fit(self, train: Examples, validation: Examples) -> None:
        """Cluster the training prompts and find the best LLM of each cluster."""
        model = self._model(min(self.clusters, len(train)))
        with one_thread():  # again: the threads of scikit-learn are there only now that it is imported
            member = np.asarray(model.fit_predict(train.vectors))
        centres = model.means_ if self.mixture == "gaussian" else model.cluster_centers_
        members = [train.targets[member == c] for c in range(len(centres))]
        means = [(m if len(m) else train.targets).mean(axis=0, dtype=np.float64) for m in members]
        self.centres_ = np.asarray(centres, dtype=np.float32)
        self.best_ = np.eye(train.scores.shape[1], dtype=np.float32)[np.argmax(means, axis=1)]

    def score(self, prompts: Prompts) -> Floats:
        """Inverse distance to the nearest centroid whose best LLM it is; 0 for LLMs that are best nowhere."""
        return np.stack([(row[:, None] * fitted(self, "best_")).max(axis=0) for row in self._inverse(prompts)])

    def distribution(self, prompts: Prompts, scores: Floats) -> Floats:
        """Each LLM's share of the inverse distances, summed over the clusters whose best it is."""
        return share(self._inverse(prompts) @ fitted(self, "best_"))

    def _inverse(self, prompts: Prompts) -> Floats:
        far = np.maximum(distances(prompts.vectors, fitted(self, "centres_")), NEAR)
        return np.asarray(1 / far, dtype=np.float32)

    def _model(self, clusters: int) -> Any:
        if self.mixture == "gaussian":
            from sklearn.mixture import GaussianMixture

            return GaussianMixture(clusters, covariance_type="diag", random_state=self.seed)
        from sklearn.cluster import KMeans

        return KMeans(clusters, random_state=self.seed)


def distances(vectors: Floats, centres: Floats) -> Floats:
    """Euclidean distances, shape (n, c)."""
    squared = (vectors**2).sum(1)[:, None] - 2 * vectors @ centres.T + (centres**2).sum(1)
    return np.sqrt(np.maximum(squared, 0))
