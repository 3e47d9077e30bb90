"""CASCAL's inference (arXiv 2601.09692): from a question's vector to scores of the models, by its nearest skills.

Nearest subject, then its nearest centroids: their rankings are sharpened by a softmax, mixed by distance, and blended
into the overall ranking when even the nearest centroid is far away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mar.controllers.cascal.clustering import unit
from mar.controllers.cascal.responses import Floats
from mar.controllers.cascal.skills import Skills, SubjectSkills, Vectors
from mar.errors import ConfigError

Basis = Literal[
    "skills",  # the nearest centroids decided
    "far",  # the nearest centroid is beyond the threshold: the overall ranking has a part in it
    "overall",  # so far away, or nothing learned about the subject, that only the overall ranking decided
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingSettings:
    """What decides a route; the defaults are the published values."""

    neighbours: int = 3  # centroids that are mixed
    temperature: float = 0.1  # of the rankings' softmax and of the distances'
    far: float = 0.5  # cosine distance from which the overall ranking is blended in
    blend: float = 0.2  # further distance over which it takes over

    def __post_init__(self) -> None:
        if self.neighbours < 1 or self.temperature <= 0 or self.blend <= 0:
            raise ConfigError(
                f"neighbours {self.neighbours}, temperature {self.temperature}, blend {self.blend}: "
                "expected at least 1 and positive numbers"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """Where questions go, one entry per question."""

    scores: Floats  # of every model, adding up to 1, shape (Q, M)
    subjects: tuple[str, ...]  # recognised
    distances: Floats  # cosine distance to the nearest centroid, shape (Q,)
    basis: tuple[Basis, ...]

    def best(self, count: int) -> npt.NDArray[np.int64]:
        """Positions of the best models, best first, shape (Q, count)."""
        return np.argsort(-self.scores, axis=1, kind="stable")[:, :count]


def route(skills: Skills, vectors: Vectors, settings: RoutingSettings | None = None) -> Routes:
    """Score the models for every question.

    Args:
        skills: What was learned.
        vectors: Unit vector of each question, shape (Q, D).
        settings: Default: the published values.
    """
    settings = settings or RoutingSettings()
    points = unit(vectors.astype(np.float64))
    names = tuple(skills.subjects)
    nearest = (points @ np.stack([s.representative for s in skills.subjects.values()]).T).argmax(axis=1)
    overall = _softmax(skills.overall / settings.temperature)
    scores = np.empty((len(points), len(skills.models)))
    distances = np.empty(len(points))
    for index, name in enumerate(names):
        rows = np.flatnonzero(nearest == index)
        scores[rows], distances[rows] = _within(skills.subjects[name], points[rows], settings)
    alpha = np.clip((distances - settings.far) / settings.blend, 0.0, 1.0)
    blended = (1 - alpha)[:, None] * scores + alpha[:, None] * overall
    return Routes(
        scores=blended / blended.sum(axis=1, keepdims=True),
        subjects=tuple(names[i] for i in nearest),
        distances=distances,
        basis=tuple("skills" if a == 0 else "far" if a < 1 else "overall" for a in alpha),
    )


def _within(subject: SubjectSkills, points: Floats, settings: RoutingSettings) -> tuple[Floats, Floats]:
    """Mixed scores within one subject, and the distance to its nearest centroid."""
    distance = 1 - points @ subject.centroids.T
    near = np.argsort(distance, axis=1, kind="stable")[:, : settings.neighbours]
    close = np.take_along_axis(distance, near, axis=1)
    shares = _softmax(-close / settings.temperature)
    rankings = _softmax(subject.scores / settings.temperature)
    return np.einsum("qk,qkm->qm", shares, rankings[near]), close[:, 0]


def _softmax(values: Floats) -> Floats:
    odds = np.exp(values - values.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)
