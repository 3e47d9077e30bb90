"""CASCAL's training (arXiv 2601.09692): skill centroids of every subject and a ranking of the models at each.

Per subject and model, the questions on which the model sided with the majority are clustered; centroids of one subject
that lie close together, whosever they are, are merged; the subject's questions go to their nearest centroid, and the
models are ranked there by their mean score. Clusters that recommend the same three models become one.

What a score is, is the caller's matter (`consensus`, `families`): everything here takes a table of scores. A model is
added from its scores alone: questions, centroids and the scores of the others stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from mar.controllers.cascal.clustering import Labels, best_clustering, unit
from mar.controllers.cascal.responses import Floats, Responses, agreement
from mar.errors import ConfigError, DataError

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillSettings:
    """What decides skill centroids; the defaults are the published values."""

    min_agreement: float = 0.5  # share of the models that must agree for a question to count for a model
    sizes: tuple[int, ...] = (2, 3, 4, 5)  # numbers of clusters tried
    least_silhouette: float = 0.05  # below it, one cluster
    merge_threshold: float = 0.15  # cosine distance below which centroids are one
    same_best: float = 0.95  # Jaccard similarity of top sets from which clusters are one
    top: int = 3  # models in a top set
    same_leader: bool = True  # clusters are one only if their best models agree, too (the published code: False)
    share_ties: bool = False  # whether options tied for the most votes all count as majority (the published code: True)
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.min_agreement <= 1 or not 0 <= self.merge_threshold <= 2 or self.top < 1:
            raise ConfigError(
                f"min_agreement {self.min_agreement}, merge_threshold {self.merge_threshold}, top {self.top}: expected "
                "a share from 0 to 1, a cosine distance from 0 to 2, and at least 1"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectSkills:
    """Skill centroids of one subject."""

    representative: Floats  # mean direction of the subject's questions, shape (D,)
    centroids: Floats  # unit vectors, shape (K, D)
    scores: Floats  # mean score of every model at every centroid, shape (K, M)
    sizes: Labels  # questions at every centroid, shape (K,)
    assigned: Labels = field(repr=False)  # centroid of each of the subject's training questions, in their order


@dataclass(frozen=True, slots=True, kw_only=True)
class Skills:
    """What CASCAL learned."""

    models: tuple[str, ...]
    subjects: Mapping[str, SubjectSkills]  # by name, sorted
    overall: Floats  # mean score of every model over all questions, shape (M,)

    def ranking(self, scores: Floats) -> tuple[str, ...]:
        """Models by score, best first; ties in the order of the pool."""
        return tuple(self.models[i] for i in np.argsort(-scores, kind="stable"))


def majority_support(responses: Responses, *, share_ties: bool) -> Floats:
    """Agreement behind each answer where it is the majority's, else 0, shape (Q, M).

    Without `share_ties` an answer must have more votes than any other.
    """
    same = agreement(responses.choices)
    votes = same.sum(axis=2)
    most = votes.max(axis=1, keepdims=True)
    backers = (votes == most).sum(axis=1, keepdims=True)
    alone = backers == most  # the models behind options with the most votes are those of one option
    counts = backers if share_ties else most
    sides = (votes == most) & (votes > 0) & (alone | share_ties)
    return np.where(sides, counts / len(responses.models), 0.0)


def train_skills(
    responses: Responses,
    scores: Floats,
    subjects: Sequence[str],
    vectors: Vectors,
    settings: SkillSettings | None = None,
) -> Skills:
    """Learn skill centroids.

    Args:
        responses: Answers to the training questions, Q x M.
        scores: A score of every answer, higher for what is more likely right, shape (Q, M).
        subjects: Subject of each question.
        vectors: Unit vector of each question, shape (Q, D).
        settings: Default: the published values, mended.

    Raises:
        DataError: The lengths differ or there is no question.
    """
    settings = settings or SkillSettings()
    if not len(responses.questions) == len(scores) == len(subjects) == len(vectors) or not len(scores):
        raise DataError(
            f"{len(responses.questions)} questions, {len(scores)} scores, {len(subjects)} subjects and {len(vectors)} "
            "vectors; expected as many of each, and at least one"
        )
    support = majority_support(responses, share_ties=settings.share_ties)
    names = np.asarray(subjects)
    points = unit(vectors.astype(np.float64))
    learned: dict[str, SubjectSkills] = {}
    for number, name in enumerate(sorted(set(subjects))):
        rows = np.flatnonzero(names == name)
        rng = np.random.default_rng([settings.seed, number])
        learned[name] = _subject(points[rows], support[rows], scores[rows], settings, rng)
    return Skills(models=responses.models, subjects=learned, overall=scores.mean(axis=0))


def _subject(
    points: Floats, support: Floats, scores: Floats, settings: SkillSettings, rng: np.random.Generator
) -> SubjectSkills:
    centroids, sizes = _skill_centroids(points, support, settings, rng)
    centroids = merge_close(centroids, sizes, settings.merge_threshold)
    kept, labels = np.unique((points @ centroids.T).argmax(axis=1), return_inverse=True)
    labels = merge_alike(_means(scores, labels, len(kept)), labels, settings)
    count = int(labels.max()) + 1
    final = unit(_means(points, labels, count))
    return SubjectSkills(
        representative=unit(points.mean(axis=0)),
        centroids=final,
        scores=_means(scores, labels, count),
        sizes=np.bincount(labels, minlength=count),
        assigned=labels,
    )


def _skill_centroids(
    points: Floats, support: Floats, settings: SkillSettings, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Centroids of all models and the weight behind each; the subject's own centre when no model has any."""
    centroids: list[Floats] = []
    sizes: list[Floats] = []
    for model in range(support.shape[1]):
        rows = np.flatnonzero((support[:, model] > 0) & (support[:, model] >= settings.min_agreement))
        if not len(rows):
            continue
        found = best_clustering(
            points[rows], support[rows, model], rng, sizes=settings.sizes, least=settings.least_silhouette
        )
        centroids.append(found.centroids)
        sizes.append(np.bincount(found.labels, minlength=len(found.centroids)).astype(np.float64))
    if not centroids:
        return unit(points.mean(axis=0))[None, :], np.ones(1)
    return np.concatenate(centroids), np.concatenate(sizes)


def merge_close(centroids: Floats, sizes: Floats, threshold: float) -> Floats:
    """Merge the two closest centroids, weighted by size, until none are closer than the threshold."""
    centroids, sizes = centroids.copy(), sizes.copy()
    while len(centroids) > 1:
        distance = 1 - centroids @ centroids.T
        np.fill_diagonal(distance, np.inf)
        i, j = divmod(int(distance.argmin()), len(centroids))
        if distance[i, j] >= threshold:
            break
        centroids[i] = unit(sizes[i] * centroids[i] + sizes[j] * centroids[j])
        sizes[i] += sizes[j]
        centroids, sizes = np.delete(centroids, j, axis=0), np.delete(sizes, j)
    return centroids


def merge_alike(means: Floats, labels: Labels, settings: SkillSettings) -> Labels:
    """New labels, with clusters that recommend the same models made one."""
    order = np.argsort(-means, axis=1, kind="stable")[:, : settings.top]
    kept: list[int] = []
    goes_to = np.zeros(len(means), dtype=np.int64)
    for cluster in range(len(means)):
        alike = (k for k, first in enumerate(kept) if _alike(order[first], order[cluster], settings))
        found = next(alike, None)
        if found is None:
            found = len(kept)
            kept.append(cluster)
        goes_to[cluster] = found
    return goes_to[labels]


def _alike(a: Labels, b: Labels, settings: SkillSettings) -> bool:
    shared, either = len(np.intersect1d(a, b)), len(np.union1d(a, b))
    return shared / either >= settings.same_best and (a[0] == b[0] or not settings.same_leader)


def _means(values: Floats, labels: Labels, count: int) -> Floats:
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, labels, values)
    return sums / np.maximum(np.bincount(labels, minlength=count), 1)[:, None]


def add_model(skills: Skills, name: str, scores: Floats, subjects: Sequence[str]) -> Skills:
    """The same skills and one more model, ranked at the centroids that are there; nothing else changes.

    Args:
        skills: What was learned without it.
        name: The new model.
        scores: A score of its answer to every training question, in their order, shape (Q,).
        subjects: Subject of each training question.

    Raises:
        ConfigError: The name is known already.
        DataError: These are not the questions that the skills were learned on.
    """
    if name in skills.models:
        raise ConfigError(f"model {name!r} is known already")
    names = np.asarray(subjects)
    learned: dict[str, SubjectSkills] = {}
    for subject, known in skills.subjects.items():
        rows = np.flatnonzero(names == subject)
        if len(rows) != len(known.assigned):
            raise DataError(f"subject {subject!r} has {len(rows)} questions; learned on {len(known.assigned)}")
        column = _means(scores[rows, None], known.assigned, len(known.centroids))
        learned[subject] = replace(known, scores=np.column_stack([known.scores, column]))
    return Skills(
        models=(*skills.models, name), subjects=learned, overall=np.append(skills.overall, float(scores.mean()))
    )
