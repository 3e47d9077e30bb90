# pyright: basic
"""Randomised trees over what a prompt is about, how it looks and which benchmark it is probably from.

Whether an LLM copes hangs on conditions (ten options and mostly numbers; long and about law) that no smooth function of
an embedding states well. Extremely randomised trees (Geurts, Ernst and Wehenkel 2006) do: a leaf is a small group of
prompts that agree in several such conditions, and the mean over many trees is a soft neighbourhood whose shape was
learned. All LLMs share the trees, so what splits the prompts well for some helps the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mar.controllers.routers.base import Examples, Floats, Prompts, fitted
from mar.controllers.routers.kernel import advantage
from mar.controllers.routers.texts import looks
from mar.errors import ConfigError

BLOCK = 4096  # prompts that descend at once


@dataclass(kw_only=True)
class Trees:
    """Expected advantage of each LLM over the mean of the pool."""

    trees: int = 200
    leaf: int = 20  # training prompts in a leaf, at least
    share: float = 0.5  # of the features, tried at each split
    directions: int = 40  # principal directions of the embeddings
    seed: int = 0

    def fit(self, train: Examples, validation: Examples) -> None:
        """Grow the trees."""
        from sklearn.ensemble import ExtraTreesRegressor

        self.centre_ = train.vectors.mean(axis=0)
        centred = train.vectors - self.centre_
        _, basis = np.linalg.eigh((centred.T @ centred).astype(np.float64))
        self.basis_ = basis[:, ::-1][:, : self.directions].astype(np.float32)
        self.reads_texts_ = np.array([bool(train.texts)])
        targets = advantage(train.targets)
        self.mean_ = targets.mean(axis=0)
        forest = ExtraTreesRegressor(
            self.trees, min_samples_leaf=self.leaf, max_features=self.share, random_state=self.seed
        ).fit(self._features(train), targets - self.mean_)
        self._keep([estimator.tree_ for estimator in forest.estimators_])

    def score(self, prompts: Prompts) -> Floats:
        """Advantages, shape (n, m): the mean over the leaves that a prompt falls into."""
        features, values = self._features(prompts), fitted(self, "values_")
        found = np.empty((len(prompts), values.shape[1]), dtype=np.float32)
        if (np.minimum(self.left_, self.right_) <= np.arange(len(self.feature_)))[self.feature_ >= 0].any():
            raise ConfigError("a tree's node does not come after its parent, so that a prompt would never reach a leaf")
        for at in range(0, len(features), BLOCK):
            some = features[at : at + BLOCK]
            node = np.tile(self.roots_, (len(some), 1))
            rows = np.arange(len(some))[:, None]
            while (inner := self.feature_[node] >= 0).any():
                left = some[rows, np.maximum(self.feature_[node], 0)] <= self.threshold_[node]
                node = np.where(inner, np.where(left, self.left_[node], self.right_[node]), node)
            total = np.zeros((len(some), values.shape[1]), dtype=np.float32)
            for column in node.T:
                total += values[column]
            found[at : at + BLOCK] = total / node.shape[1]
        return found + self.mean_

    def _features(self, prompts: Prompts) -> Floats:
        parts: list[Any] = [(prompts.vectors - fitted(self, "centre_")) @ self.basis_]
        if self.reads_texts_[0]:
            if not prompts.texts:
                raise ConfigError("the router was fitted on prompts with texts, and these have none")
            parts.append(looks(prompts.texts))
        return np.hstack(parts).astype(np.float32)

    def _keep(self, trees: list) -> None:
        """All trees as one list of nodes; a leaf has no feature."""
        starts = np.cumsum([0, *(tree.node_count for tree in trees)])
        self.roots_ = starts[:-1]
        self.feature_ = np.concatenate([tree.feature for tree in trees]).astype(np.int32)
        self.threshold_ = np.concatenate([tree.threshold for tree in trees])
        self.left_ = np.concatenate([t.children_left + s for t, s in zip(trees, starts, strict=False)]).astype(np.int32)
        self.right_ = np.concatenate([t.children_right + s for t, s in zip(trees, starts, strict=False)]).astype(
            np.int32
        )
        self.values_ = np.concatenate([tree.value.reshape(tree.node_count, -1) for tree in trees]).astype(np.float32)
