"""Weighted spherical k-means and the silhouette, on unit vectors: small, seeded and the same on every run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from mar.controllers.cascal.responses import Floats

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clustering:
    """A partition of points on the unit sphere."""

    centroids: Floats  # unit vectors, shape (K, D)
    labels: Labels  # shape (N,)


def unit(vectors: Floats) -> Floats:
    """Vectors of length 1; a zero vector stays."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)


def spherical_kmeans(
    points: Floats, weights: Floats, k: int, rng: np.random.Generator, *, rounds: int = 25
) -> Clustering:
    """Weighted spherical k-means (Dhillon and Modha 2001), started as k-means++ does, one start.

    Args:
        points: Unit vectors, shape (N, D), N >= k.
        weights: Positive, shape (N,).
        k: Number of clusters; one that runs empty is dropped.
        rng: Draws the start.
        rounds: At most so many passes.
    """
    centroids = points[_start(points, weights, k, rng)]
    labels = (points @ centroids.T).argmax(axis=1)
    for _ in range(rounds):
        centroids = unit(_sums(points, weights, labels))
        new = (points @ centroids.T).argmax(axis=1)
        if np.array_equal(new, labels):
            break
        labels = np.unique(new, return_inverse=True)[1]
    found, labels = np.unique((points @ centroids.T).argmax(axis=1), return_inverse=True)
    return Clustering(centroids=centroids[found], labels=labels)


def _sums(points: Floats, weights: Floats, labels: Labels) -> Floats:
    """Weighted vector sum of every cluster, shape (K, D)."""
    at = (labels, np.arange(len(points)))
    chosen = csr_array((weights.astype(points.dtype), at), shape=(int(labels.max()) + 1, len(points)))
    return chosen @ points


def _start(points: Floats, weights: Floats, k: int, rng: np.random.Generator) -> list[int]:
    chosen = [int(rng.choice(len(points), p=weights / weights.sum()))]
    nearest = 1 - points @ points[chosen[0]]
    for _ in range(k - 1):
        odds = weights * np.maximum(nearest, 0)
        if odds.sum() <= 0:
            break
        chosen.append(int(rng.choice(len(points), p=odds / odds.sum())))
        nearest = np.minimum(nearest, 1 - points @ points[chosen[-1]])
    return chosen


def silhouette(points: Floats, labels: Labels) -> float:
    """Mean silhouette (Rousseeuw 1987) in cosine distance; -1 for fewer than two clusters.

    Cosine distances to a cluster add up, so its mean needs the cluster's vector sum and no matrix of pairs.
    """
    count = np.bincount(labels)
    if len(count) < 2:
        return -1.0
    sums = np.zeros((len(count), points.shape[1]))
    np.add.at(sums, labels, points)
    total = count - points @ sums.T  # summed distance of every point to every cluster
    own = count[labels]
    rows = np.arange(len(points))
    within = (total[rows, labels] - (1 - (points**2).sum(axis=1))) / np.maximum(own - 1, 1)
    means = total / np.maximum(count, 1)
    means[rows, labels] = np.inf
    between = means.min(axis=1)
    widest = np.maximum(within, between)
    value = np.where(own > 1, (between - within) / np.where(widest > 0, widest, 1.0), 0.0)
    return float(value.mean())


def best_clustering(
    points: Floats, weights: Floats, rng: np.random.Generator, *, sizes: tuple[int, ...], least: float
) -> Clustering:
    """The clustering whose silhouette is best; everything in one cluster when the best is below `least`."""
    found = [spherical_kmeans(points, weights, k, rng) for k in sizes if k < len(points)]
    scored = [(silhouette(points, c.labels), -len(c.centroids), i) for i, c in enumerate(found)]
    if not scored or max(scored)[0] < least:
        centre = unit(weights @ points)[None, :]
        return Clustering(centroids=centre, labels=np.zeros(len(points), dtype=np.int64))
    return found[max(scored)[2]]
