# pyright: basic
"""What recorded and simulated answers are compared by: how models agree and err, and what simple policies are worth."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from _outcomes import Choices
from numpy.typing import NDArray

Array = NDArray[np.float64]
CALL = 0.01  # utility that a call costs; most of the recorded models have no list price


def statistics_of(data: Choices) -> dict[str, float]:
    """Shares by name; the models of `data` stand strongest first."""
    everybody, four = range(len(data.models)), range(4)
    found: dict[str, float] = {}
    for title, models in (("all pairs", everybody), ("the four strongest", four)):
        agree, same, phi = _pairs(data, models)
        found |= {
            f"right given that two agree, {title}": agree,
            f"same answer given that both are wrong, {title}": same,
            f"correlation of being right (phi), {title}": phi,
        }
    found["right given that three of the four strongest agree"] = _three(data)
    found |= {
        f"plurality of the {k} strongest": float(_right(data, vote(data, range(k))).mean()) for k in (1, 3, 5, 7, 9)
    }
    found |= {f"oracle of the {k} strongest": float(data.right[:, :k].max(axis=1).mean()) for k in (2, 3, 5, 8, 12)}
    found |= _categories(data)
    found["answers that cannot be read"] = float((data.answers < 0).mean())
    return found


def outcome_statistics(solved: Array) -> dict[str, float]:
    """The same of outcomes alone, (n, M), models strongest first."""
    phi = np.atleast_2d(np.corrcoef(solved.T))
    whole, four = (phi[:k, :k][np.triu_indices(k, 1)].mean() for k in (len(phi), 4))
    found = {"best single": float(solved[:, 0].mean())}
    found |= {f"oracle of the {k} strongest": float(solved[:, :k].max(axis=1).mean()) for k in (2, 3, 5, 8)}
    return found | {"phi, all pairs": float(whole), "phi, the four strongest": float(four)}


def vote(data: Choices, models: Sequence[int]) -> NDArray[np.int64]:
    """The most frequent answer of each question; among equals, that of the first model of these."""
    said = data.answers[:, list(models)]
    counts = (said[:, :, None] == np.arange(int(data.options.max()))).sum(axis=1)
    most, chosen = counts.max(axis=1), np.full(len(said), -1)
    for column in said.T[::-1]:
        popular = (column >= 0) & (counts[np.arange(len(said)), np.maximum(column, 0)] == most)
        chosen = np.where(popular, column, chosen)
    return chosen


def policies(data: Choices, vectors: Array) -> dict[str, float]:
    """Utility of ten simple policies: accuracy less `CALL` for every call."""
    first, second, third = data.answers[:, 0], data.answers[:, 1], data.answers[:, 2]
    agree = (first == second) & (first >= 0)
    others_agree = (second == third) & (second >= 0)
    weak_agree = (data.answers[:, 5] == data.answers[:, 6]) & (data.answers[:, 5] >= 0)
    three = vote(data, range(3))
    answers = {
        "best single": (first, 1.0),
        "second best single": (second, 1.0),
        "vote of 3": (three, 3.0),
        "vote of 5": (vote(data, range(5)), 5.0),
        "vote of 7": (vote(data, range(7)), 7.0),
        "first two agree, else vote of 3": (np.where(agree, first, three), 2 + (~agree).mean()),
        "next two agree, else the best": (np.where(others_agree, second, first), 2 + (~others_agree).mean()),
        "sixth and seventh agree, else the best": (
            np.where(weak_agree, data.answers[:, 5], first),
            2 + (~weak_agree).mean(),
        ),
        "ridge router on texts (tuned)": (_routed(data, vectors, _ridge_scores), 1.0),
        "nearest neighbours' router on texts (tuned)": (_routed(data, vectors, _neighbour_scores), 1.0),
    }
    return {name: float(_right(data, said).mean() - CALL * calls) for name, (said, calls) in answers.items()}


def router_gain(data: Choices, vectors: Array) -> tuple[float, float]:
    """Accuracy of the ridge router over the best single LLM, and its standard error."""
    gains = _right(data, _routed(data, vectors, _ridge_scores)) - data.right[:, 0]
    return float(gains.mean()), float(gains.std() / np.sqrt(len(gains)))


def kendall(a: Sequence[float], b: Sequence[float]) -> float:
    """Kendall's tau of two rankings without ties."""
    pairs = list(combinations(range(len(a)), 2))
    return sum(np.sign(a[i] - a[j]) * np.sign(b[i] - b[j]) for i, j in pairs) / len(pairs)


def _right(data: Choices, said: NDArray[np.int64]) -> Array:
    return (said == data.gold).astype(np.float64)


def _pairs(data: Choices, models: Sequence[int]) -> tuple[float, float, float]:
    agree = agree_right = wrong = same_wrong = 0
    phi: list[float] = []
    for i, j in combinations(models, 2):
        readable = (data.answers[:, i] >= 0) & (data.answers[:, j] >= 0)
        same = (data.answers[:, i] == data.answers[:, j]) & readable
        both_wrong = (data.right[:, i] + data.right[:, j] == 0) & readable
        agree, agree_right = agree + same.sum(), agree_right + (same & (data.right[:, i] == 1)).sum()
        wrong, same_wrong = wrong + both_wrong.sum(), same_wrong + (both_wrong & same).sum()
        phi.append(float(np.corrcoef(data.right[:, i], data.right[:, j])[0, 1]))
    return float(agree_right / agree), float(same_wrong / wrong), float(np.mean(phi))


def _three(data: Choices) -> float:
    agree = right = 0
    for i, j, k in combinations(range(4), 3):
        same = (data.answers[:, i] == data.answers[:, j]) & (data.answers[:, i] == data.answers[:, k])
        same &= data.answers[:, i] >= 0
        agree, right = agree + same.sum(), right + (same & (data.right[:, i] == 1)).sum()
    return float(right / agree)


def _categories(data: Choices) -> dict[str, float]:
    """Spreads of accuracy; what sampling alone would give is taken off the second."""
    names = sorted(set(data.categories.tolist()))
    cells = np.array([data.right[data.categories == c].mean(axis=0) for c in names])
    sizes = np.array([(data.categories == c).sum() for c in names])
    left = cells - cells.mean(axis=1, keepdims=True) - cells.mean(axis=0) + cells.mean()
    noise = (cells * (1 - cells) / sizes[:, None]).mean() * (1 - _mean_phi(data))
    return {
        "spread of categories (tuned)": float(cells.mean(axis=1).std()),
        "spread of category x model beyond both (tuned)": float(np.sqrt(max((left**2).mean() - noise, 0.0))),
    }


def _mean_phi(data: Choices) -> float:
    return _pairs(data, range(len(data.models)))[2]


def _routed(data: Choices, vectors: Array, scores: object) -> NDArray[np.int64]:
    """The answer of the model that a router chose, in five folds."""
    chosen = np.zeros(len(data.gold), dtype=np.int64)
    folds = np.arange(len(chosen)) % 5
    for fold in range(5):
        train, test = folds != fold, folds == fold
        chosen[test] = scores(vectors[train], data.right[train], vectors[test]).argmax(axis=1)  # pyright: ignore
    return data.answers[np.arange(len(chosen)), chosen]


def _ridge_scores(x: Array, right: Array, asked: Array) -> Array:
    own = right - right.mean(axis=1, keepdims=True)
    middle, mean = x.mean(axis=0), own.mean(axis=0)
    slopes = np.linalg.solve((x - middle).T @ (x - middle) + 30 * np.eye(x.shape[1]), (x - middle).T @ (own - mean))
    return mean + (asked - middle) @ slopes


def _neighbour_scores(x: Array, right: Array, asked: Array) -> Array:
    near = np.argpartition(-(asked @ x.T), 100, axis=1)[:, :100]
    return right[near].mean(axis=1)
