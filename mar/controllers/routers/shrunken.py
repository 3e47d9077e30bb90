# pyright: basic
"""Local estimates of every LLM's advantage, each shrunk as far as it is noise, and their mean.

Two views of one question, how much better than the others an LLM is on a prompt like this one:

- `Neighbourhood`: prompts that are alike in meaning and looks, near-copies above all, shrunk to what is known of the
  benchmark or category that the prompt is probably from, which is itself shrunk to the mean over all;
- `Trees`: small groups of prompts that agree in what they are about and how they look.

Choosing the LLM with the highest estimate rewards noise: the more LLMs and the smaller the neighbourhood, the more
often the winner is a lucky one. Shrinkage takes back what luck added, and the mistakes of the views differ. Their
weights are equal, so nothing is left to choose on validation, and the views learn from those prompts, too.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np

from mar.controllers.routers.base import Examples, Floats, Prompts, Router, fitted, joined, softmax
from mar.controllers.routers.clusters import distances
from mar.controllers.routers.kernel import advantage
from mar.controllers.routers.neighbours import BLOCK
from mar.controllers.routers.texts import looks
from mar.controllers.routers.trees import Trees

MEANING, LOOKS = 6.0, 0.5  # scales of what benchmarks are told apart by, next to the regression's penalty of 1


@dataclass(kw_only=True)
class Benchmarks:
    """Advantages on the benchmark, or category, that a prompt is probably from; overall means where none is known."""

    steps: int = 100  # of the solver, which need not come to its end

    def fit(self, train: Examples, validation: Examples) -> None:
        """Learn to tell the benchmarks apart, and how the LLMs do on each."""
        targets = advantage(train.targets)
        self.mean_ = targets.mean(axis=0)
        self.names_ = np.array(sorted(set(train.groups)), dtype=np.str_)
        self.means_ = np.zeros((len(self.names_), targets.shape[1]), dtype=np.float32)
        if len(self.names_) < 2:
            return
        member = np.asarray(np.array(train.groups)[:, None] == self.names_)
        self.means_ = shrunken_means(member.astype(np.float32), targets - self.mean_)
        if train.texts:
            shapes = looks(train.texts)
            self.centre_, self.scale_ = shapes.mean(axis=0), np.maximum(shapes.std(axis=0), 1e-6)
        self.weights_, self.bias_ = self._told_apart(self._features(train), member.argmax(axis=1))

    def score(self, prompts: Prompts) -> Floats:
        """The benchmarks' shrunken means, weighed by how probable each is."""
        means = fitted(self, "means_")
        if len(means) < 2:
            return np.tile(fitted(self, "mean_"), (len(prompts), 1))
        return self.probabilities(prompts) @ means + self.mean_

    def probabilities(self, prompts: Prompts) -> Floats:
        """How probable it is that a prompt is from each of `names_`, shape (n, benchmarks)."""
        return softmax(self._features(prompts) @ self.weights_ + self.bias_)

    def known(self, train: Examples) -> Floats:
        """The same of prompts whose benchmark is known."""
        means = fitted(self, "means_")
        if len(means) < 2:
            return self.score(train)
        return means[np.searchsorted(self.names_, np.array(train.groups))] + self.mean_

    def _told_apart(self, features: Floats, member: np.ndarray) -> tuple[Floats, Floats]:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = LogisticRegression(max_iter=self.steps).fit(features, member)
        weights, bias = model.coef_, model.intercept_
        if len(weights) == 1:  # of two, one row is given
            weights, bias = np.vstack([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
        return weights.T.astype(np.float32), bias.astype(np.float32)

    def _features(self, prompts: Prompts) -> Floats:
        if not hasattr(self, "centre_"):
            return prompts.vectors * MEANING
        return np.hstack([prompts.vectors * MEANING, (looks(prompts.texts) - self.centre_) / self.scale_ * LOOKS])


@dataclass(kw_only=True)
class Neighbourhood:
    """Advantages on prompts that are alike in meaning and in looks: those of one source, above all."""

    sharpness: float = 8.0  # of similarity in meaning: exp(sharpness * (cosine - 1))
    reach: float = 3.3  # of similarity in looks, in standard deviations
    pull: float = 0.1  # how many identical prompts the benchmark's means count for
    benchmarks_: Benchmarks = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.benchmarks_ = Benchmarks()

    def fit(self, train: Examples, validation: Examples) -> None:
        """Keep how the training prompts differ from their benchmarks."""
        self.benchmarks_.fit(train, validation)
        self.vectors_, self.targets_ = train.vectors, advantage(train.targets) - self.benchmarks_.known(train)
        if train.texts:
            shapes = looks(train.texts)
            self.centre_, self.scale_ = shapes.mean(axis=0), np.maximum(shapes.std(axis=0), 1e-6) * self.reach
            self.looks_ = (shapes - self.centre_) / self.scale_

    def score(self, prompts: Prompts) -> Floats:
        """Weighted means, shrunk to the benchmark's."""
        vectors, targets = fitted(self, "vectors_"), fitted(self, "targets_")
        shapes = (looks(prompts.texts) - self.centre_) / self.scale_ if hasattr(self, "looks_") else None
        found = np.empty((len(prompts), targets.shape[1]), dtype=np.float32)
        for at in range(0, len(prompts), BLOCK):
            likeness = self.sharpness * (prompts.vectors[at : at + BLOCK] @ vectors.T - 1)
            if shapes is not None:
                likeness -= distances(shapes[at : at + BLOCK], self.looks_) ** 2 / 2
            weights = np.exp(likeness)
            found[at : at + BLOCK] = weights @ targets / (weights.sum(axis=1, keepdims=True) + self.pull)
        return found + self.benchmarks_.score(prompts)


@dataclass(kw_only=True)
class Shrunken:
    """The two views together."""

    seed: int = 0
    views_: tuple[Router, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.views_ = (Neighbourhood(), Trees(seed=self.seed))

    def fit(self, train: Examples, validation: Examples) -> None:
        """Fit the views on train and validation together: nothing is left to choose."""
        both = joined(train, validation)
        for view in self.views_:
            view.fit(both, both)

    def score(self, prompts: Prompts) -> Floats:
        """Mean advantages."""
        return np.asarray(np.mean([view.score(prompts) for view in self.views_], axis=0), dtype=np.float32)


def shrunken_means(member: Floats, targets: Floats) -> Floats:
    """Means of groups, shrunk to 0 by empirical Bayes (James and Stein), shape (g, m).

    Args:
        member: Which group a row belongs to, (n, g), 0 or 1.
        targets: Centred values, (n, m).

    The variance between groups is estimated by moments, for all columns together: what the groups' means vary more
    than their sampling errors would make them.
    """
    counts = np.maximum(member.sum(axis=0, dtype=np.float64), 1.0)[:, None]
    means = (member.T @ targets) / counts
    noise = float(targets.var(axis=0, dtype=np.float64).mean())
    share = counts / counts.sum()
    between = float((share * (means.astype(np.float64) ** 2 - noise / counts)).sum() / means.shape[1])
    pull = noise / max(between, 1e-9)
    return (means * counts / (counts + pull)).astype(np.float32)
