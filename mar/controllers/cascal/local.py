# pyright: basic
"""Scores of models around a question: the average of three smoothers of what was scored on the training questions.

A question's own neighbours (kNN, weighted by squared similarity), clusters of three sizes and a ridge regression make
different mistakes; their mean is the best simple smoother known here. Each is shrunk towards the overall mean. What is
smoothed is a table of scores without labels, or, for routers that trust the generated answers, one with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mar.controllers.cascal.clustering import Labels, spherical_kmeans, unit
from mar.controllers.cascal.responses import Floats
from mar.controllers.cascal.routing import Routes
from mar.controllers.cascal.skills import Vectors
from mar.errors import ConfigError, DataError

_BLOCK = 1024  # questions routed at once, which bounds the memory for similarities


MANY = 9600
"""Questions that the settings below were chosen for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSettings:
    """How scores are smoothed; the defaults are for 9,600 questions."""

    neighbours: int = 300
    neighbour_prior: float = 100.0  # questions that the overall mean counts as
    clusters: tuple[int, ...] = (8, 16, 32)
    cluster_prior: float = 60.0
    ridge: float = 100.0
    far: float = 0.5  # cosine distance to the nearest training question from which the overall ranking is blended in
    blend: float = 0.2  # further distance over which it takes over
    seed: int = 0

    def __post_init__(self) -> None:
        if self.neighbours < 1 or self.blend <= 0 or self.ridge <= 0:
            raise ConfigError(
                f"neighbours {self.neighbours}, blend {self.blend}, ridge {self.ridge}: expected positive numbers"
            )

    @classmethod
    def for_questions(cls, count: int) -> LocalSettings:
        """The settings for so many questions: of fewer, fewer are neighbours, and all priors count for fewer.

        With 300 neighbours of 300 questions nothing is local. The power was chosen on 200 to 2,000 recorded questions.
        """
        share = min(1.0, count / MANY) ** 0.6
        default = cls()
        neighbours = max(10, round(share * default.neighbours))
        return cls(
            neighbours=neighbours,
            neighbour_prior=neighbours * default.neighbour_prior / default.neighbours,
            clusters=tuple(min(k, max(1, count // 10)) for k in default.clusters),
            cluster_prior=share * default.cluster_prior,
            ridge=share * default.ridge,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSkills:
    """Scores of models as a function of a question's vector."""

    models: tuple[str, ...]
    subjects: tuple[str, ...]  # names, sorted
    representatives: Floats  # mean direction of every subject, shape (S, D)
    vectors: Vectors  # of the training questions, shape (Q, D)
    scores: Vectors  # of the models on them, shape (Q, M)
    centroids: Floats  # of all clusterings, one below the other, shape (sum K, D)
    means: Floats  # shrunk mean scores at the centroids, shape (sum K, M)
    sizes: Labels  # number of centroids of each clustering
    slopes: Floats  # of the ridge regression, shape (D, M)
    settings: LocalSettings

    @property
    def overall(self) -> Floats:
        """Mean score of every model, shape (M,)."""
        return self.scores.astype(np.float64).mean(axis=0)

    def estimate(self, vectors: Vectors) -> tuple[Floats, Floats]:
        """Smoothed scores, (Q, M), and the cosine distance to the nearest training question, (Q,)."""
        points = unit(vectors.astype(np.float32))
        blocks = [self._block(points[i : i + _BLOCK]) for i in range(0, len(points), _BLOCK)]
        if not blocks:
            return np.zeros((0, len(self.models))), np.zeros(0)
        return np.concatenate([b[0] for b in blocks]), np.concatenate([b[1] for b in blocks])

    def _block(self, points: Vectors) -> tuple[Floats, Floats]:
        similarity = points @ self.vectors.T
        overall = self.overall
        parts = (
            self._from_neighbours(similarity, overall),
            self._from_clusters(points),
            overall + (points - self.vectors.mean(axis=0)) @ self.slopes,
        )
        return np.mean(parts, axis=0), 1.0 - similarity.max(axis=1).astype(np.float64)

    def _from_neighbours(self, similarity: Vectors, overall: Floats) -> Floats:
        s = self.settings
        count = min(s.neighbours, similarity.shape[1])
        near = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
        weight = np.maximum(np.take_along_axis(similarity, near, axis=1), 1e-3) ** 2
        weight /= weight.sum(axis=1, keepdims=True)
        means = np.stack([w @ self.scores[rows] for w, rows in zip(weight, near, strict=True)])
        return (count * means + s.neighbour_prior * overall) / (count + s.neighbour_prior)

    def _from_clusters(self, points: Vectors) -> Floats:
        found: list[Floats] = []
        start = 0
        for size in self.sizes.tolist():
            part = slice(start, start + size)
            found.append(self.means[part][(points @ self.centroids[part].T).argmax(axis=1)])
            start += size
        return np.mean(found, axis=0)

    def route(self, vectors: Vectors) -> Routes:
        """Scores of the models for every question; the overall ranking takes over far from everything known."""
        estimated, distance = self.estimate(vectors)
        alpha = np.clip((distance - self.settings.far) / self.settings.blend, 0.0, 1.0)
        mixed = np.clip((1 - alpha)[:, None] * estimated + alpha[:, None] * self.overall, 1e-6, None)
        nearest = (unit(vectors.astype(np.float64)) @ self.representatives.T).argmax(axis=1)
        return Routes(
            scores=mixed / mixed.sum(axis=1, keepdims=True),
            subjects=tuple(self.subjects[i] for i in nearest),
            distances=distance,
            basis=tuple("skills" if a == 0 else "far" if a < 1 else "overall" for a in alpha),
        )

    def with_model(self, name: str, scores: Floats) -> LocalSkills:
        """The same and one model more, from its scores on the training questions; nothing else changes.

        Raises:
            ConfigError: The name is known already.
            DataError: There is not one score per training question.
        """
        if name in self.models:
            raise ConfigError(f"model {name!r} is known already")
        if len(scores) != len(self.vectors):
            raise DataError(f"{len(scores)} scores of {name!r}; learned on {len(self.vectors)} questions")
        column = scores[:, None].astype(np.float32)
        means, slopes = _summaries(self.vectors, column, self.centroids, self.sizes, self.settings)
        return replace(
            self,
            models=(*self.models, name),
            scores=np.column_stack([self.scores, column]),
            means=np.column_stack([self.means, means]),
            slopes=np.column_stack([self.slopes, slopes]),
        )


def train_local(
    models: Sequence[str],
    scores: Floats,
    subjects: Sequence[str],
    vectors: Vectors,
    settings: LocalSettings | None = None,
) -> LocalSkills:
    """Learn where which model scores well.

    Args:
        models: Names, M.
        scores: Of every model on every training question, (Q, M).
        subjects: Subject of each question.
        vectors: Unit vector of each question, (Q, D).
        settings: Default: those for so many questions.

    Raises:
        DataError: The lengths differ or there is no question.
    """
    settings = settings or LocalSettings.for_questions(len(scores))
    if not len(scores) == len(subjects) == len(vectors) or not len(scores):
        raise DataError(
            f"{len(scores)} scores, {len(subjects)} subjects and {len(vectors)} vectors; expected as many of each, and "
            "at least one"
        )
    points = unit(vectors.astype(np.float32))
    names = np.asarray(subjects)
    found = tuple(sorted(set(subjects)))
    sizes = [min(k, len(points)) for k in settings.clusters]
    rng = np.random.default_rng(settings.seed)
    weight = np.ones(len(points), dtype=np.float32)
    centroids = [spherical_kmeans(points, weight, k, rng).centroids for k in sizes]
    all_centroids, counts = np.concatenate(centroids), np.array([len(c) for c in centroids])
    means, slopes = _summaries(points, scores.astype(np.float32), all_centroids, counts, settings)
    return LocalSkills(
        models=tuple(models),
        subjects=found,
        representatives=unit(np.stack([points[names == s].mean(axis=0) for s in found]).astype(np.float64)),
        vectors=points,
        scores=scores.astype(np.float32),
        centroids=all_centroids,
        means=means,
        sizes=counts,
        slopes=slopes,
        settings=settings,
    )


def _summaries(
    points: Vectors, scores: Vectors, centroids: Floats, sizes: Labels, settings: LocalSettings
) -> tuple[Floats, Floats]:
    """Shrunk means at the centroids, and the ridge regression's slopes."""
    overall = scores.astype(np.float64).mean(axis=0)
    means: list[Floats] = []
    start = 0
    for size in sizes.tolist():
        labels = (points @ centroids[start : start + size].T).argmax(axis=1)
        sums = np.zeros((size, scores.shape[1]))
        np.add.at(sums, labels, scores)
        count = np.bincount(labels, minlength=size)[:, None]
        means.append((sums + settings.cluster_prior * overall) / (count + settings.cluster_prior))
        start += size
    centred = (points - points.mean(axis=0)).astype(np.float64)
    gram = centred.T @ centred + settings.ridge * np.eye(centred.shape[1])
    return np.concatenate(means), np.linalg.solve(gram, centred.T @ (scores - overall))
