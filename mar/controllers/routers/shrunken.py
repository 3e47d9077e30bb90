# pyright: basic
"""Local estimates of every LLM's advantage, each shrunk as far as it is noise, averaged with weights from validation.

Five views of one question, how much better than the others an LLM is on a prompt like this one:

- `Kernel`: a smooth function of meaning, wording and looks, with a ridge for each direction;
- `Neighbourhood`: prompts that are alike in meaning and looks, near-copies above all, shrunk to the mean over all;
- `Scales`: clusters at several scales, each cluster's mean shrunk to the mean over all by empirical Bayes;
- `Benchmarks`: the benchmark or category that a prompt is probably from, and each one's shrunken means;
- `Trees`: small groups of prompts that agree in what they are about and how they look.

Choosing the LLM with the highest estimate rewards noise: the more LLMs and the smaller the neighbourhood, the more
often the winner is a lucky one. Shrinkage takes back what luck added, and the mistakes of the views differ.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mar.controllers.routers.base import Examples, Floats, Prompts, Router, fitted
from mar.controllers.routers.clusters import distances
from mar.controllers.routers.kernel import Kernel, advantage
from mar.controllers.routers.neighbours import BLOCK
from mar.controllers.routers.texts import looks
from mar.controllers.routers.trees import Trees

TRUST = 0.3  # how strongly the weights of the views are drawn to equal ones


@dataclass(kw_only=True)
class Neighbourhood:
    """Advantages on prompts that are alike in meaning and in looks: those of one source, above all."""

    sharpness: float = 8.0  # of similarity in meaning: exp(sharpness * (cosine - 1))
    reach: float = 2.2  # of similarity in looks, in standard deviations
    pull: float = 0.1  # how many identical prompts the mean over all counts for

    def fit(self, train: Examples, validation: Examples) -> None:
        """Keep the training prompts."""
        targets = advantage(train.targets)
        self.mean_ = targets.mean(axis=0)
        self.vectors_, self.targets_ = train.vectors, targets - self.mean_
        if train.texts:
            shapes = looks(train.texts)
            self.centre_, self.scale_ = shapes.mean(axis=0), np.maximum(shapes.std(axis=0), 1e-6) * self.reach
            self.looks_ = (shapes - self.centre_) / self.scale_

    def score(self, prompts: Prompts) -> Floats:
        """Weighted means, shrunk to the mean over all."""
        vectors, targets = fitted(self, "vectors_"), fitted(self, "targets_")
        shapes = (looks(prompts.texts) - self.centre_) / self.scale_ if hasattr(self, "looks_") else None
        found = np.empty((len(prompts), targets.shape[1]), dtype=np.float32)
        for at in range(0, len(prompts), BLOCK):
            likeness = self.sharpness * (prompts.vectors[at : at + BLOCK] @ vectors.T - 1)
            if shapes is not None:
                likeness -= distances(shapes[at : at + BLOCK], self.looks_) ** 2 / 2
            weights = np.exp(likeness)
            found[at : at + BLOCK] = weights @ targets / (weights.sum(axis=1, keepdims=True) + self.pull)
        return found + fitted(self, "mean_")


@dataclass(kw_only=True)
class Scales:
    """Advantages in clusters at several scales."""

    clusters: tuple[int, ...] = (8, 20, 50)
    seed: int = 0

    def fit(self, train: Examples, validation: Examples) -> None:
        """Cluster at every scale and shrink the clusters' means."""
        from sklearn.cluster import KMeans

        make: Any = KMeans
        targets = advantage(train.targets)
        self.mean_ = targets.mean(axis=0)
        fitting = [k for k in self.clusters if k <= len(train) // 10] or [1]
        centres, means = list[Floats](), list[Floats]()
        for k in fitting:
            model = make(k, random_state=self.seed, n_init=1).fit(train.vectors)
            member = np.eye(k, dtype=np.float32)[np.asarray(model.labels_)]
            centres.append(np.asarray(model.cluster_centers_, dtype=np.float32))
            means.append(shrunken_means(member, targets - self.mean_))
        self.centres_, self.means_ = tuple(centres), tuple(means)

    def score(self, prompts: Prompts) -> Floats:
        """The mean over scales of the nearest cluster's shrunken means."""
        total = np.zeros((len(prompts), len(fitted(self, "mean_"))), dtype=np.float32)
        for centres, means in zip(self.centres_, self.means_, strict=True):
            near = (prompts.vectors @ centres.T - (centres**2).sum(axis=1) / 2).argmax(axis=1)
            total += means[near]
        return total / len(self.centres_) + self.mean_


@dataclass(kw_only=True)
class Benchmarks:
    """Advantages on the benchmark, or category, that a prompt is probably from; overall means where none is known."""

    landmarks: int = 600
    seed: int = 0
    kernel_: Kernel = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.kernel_ = Kernel(landmarks=self.landmarks, seed=self.seed)

    def fit(self, train: Examples, validation: Examples) -> None:
        """Learn to tell the benchmarks apart, and how the LLMs do on each."""
        targets = advantage(train.targets)
        self.mean_ = targets.mean(axis=0)
        names = sorted(set(train.groups))
        self.means_ = np.zeros((0, targets.shape[1]), dtype=np.float32)
        if len(names) < 2:
            return
        member = (np.array(train.groups)[:, None] == np.array(names)).astype(np.float32)
        self.means_ = shrunken_means(member, targets - self.mean_)
        told = Examples(vectors=train.vectors, texts=train.texts, scores=member)
        self.kernel_.fit(told, told)

    def score(self, prompts: Prompts) -> Floats:
        """The benchmarks' shrunken means, weighed by how probable each is."""
        means = fitted(self, "means_")
        if not len(means):
            return np.tile(fitted(self, "mean_"), (len(prompts), 1))
        likely = np.maximum(self.kernel_.score(prompts) + 1 / len(means), 1e-6) ** 2
        return (likely / likely.sum(axis=1, keepdims=True)) @ means + self.mean_


@dataclass(kw_only=True)
class Shrunken:
    """The five views together."""

    landmarks: int = 1000
    seed: int = 0
    views_: tuple[Router, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.views_ = (
            Kernel(landmarks=self.landmarks, seed=self.seed),
            Neighbourhood(),
            Scales(seed=self.seed),
            Benchmarks(seed=self.seed),
            Trees(seed=self.seed),
        )

    def fit(self, train: Examples, validation: Examples) -> None:
        """Fit the views on train and weigh them on validation."""
        for view in self.views_:
            view.fit(train, validation)
        mean = advantage(train.targets).mean(axis=0)
        said = [view.score(validation) - mean for view in self.views_]
        self.weights_ = blend(said, advantage(validation.targets) - mean)
        self.mean_ = mean

    def score(self, prompts: Prompts) -> Floats:
        """Weighted advantages."""
        mean, weights = fitted(self, "mean_"), fitted(self, "weights_")
        views = (view.score(prompts) - mean for view in self.views_)
        return np.asarray(sum(w * view for w, view in zip(weights.tolist(), views, strict=True)) + mean, np.float32)


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


def blend(views: list[Floats], targets: Floats) -> Floats:
    """Least-squares weights of views, drawn to equal weights that sum to 1, shape (v,)."""
    columns = np.stack([view.ravel() for view in views], axis=1).astype(np.float64)
    gram = columns.T @ columns
    equal = np.full(len(views), 1 / len(views))
    trust = TRUST * np.trace(gram) / len(views)
    if not trust > 0:
        return equal.astype(np.float32)
    found = np.linalg.solve(gram + trust * np.eye(len(views)), columns.T @ targets.ravel() + trust * equal)
    return found.astype(np.float32)
