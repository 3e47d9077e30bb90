# pyright: basic
"""What the routing benchmarks share: embedded tables, kept between runs, and the pools of the published figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sparse
from _shared import RUNS, data_folder
from sklearn.cluster import KMeans

from mar.controllers.embeddings import encoder_of
from mar.controllers.routers.base import Examples, Floats, Prompts
from mar.controllers.routers.classical import MatrixFactorisation
from mar.controllers.routers.kernel import Kernel
from mar.controllers.routers.shrunken import Benchmarks, Neighbourhood, Shrunken
from mar.controllers.routers.texts import rarity, weighed, words
from mar.controllers.routers.trees import Trees
from mar.evaluation.routereval.construct import RoutingSet, permuted, ranked, routing_set
from mar.evaluation.routereval.embed import embed
from mar.evaluation.routereval.table import OutcomeTable
from mar.learning.progress import Progress

POOLS: Mapping[str, tuple[int, int]] = {"five strongest": (24, 28), "ten middle": (9, 18), "five weakest": (1, 5)}
"""Ranks of the candidates by ascending mean accuracy, of MMLU-Pro's 28 LLMs."""
TRAIN, VALIDATION = 9600, 1200


SIZES = (5, 8, 10, 15, 20, 30)  # of clusters
WORDING = 8.0  # scale of TF-IDF beside what else categories are told apart by


@dataclass(kw_only=True)
class SimpleSum:
    """The best simple thing known beforehand: the sum of three estimates from the embedding alone.

    A mean over the 300 nearest prompts, weighted by the fourth power of the cosine (the cosine itself hardly tells the
    nearest from the 300th); means of clusters at six scales; a ridge regression. The first two are shrunk to the mean
    over all, as if `pull` more prompts had scored that.
    """

    k: int = 300
    power: float = 4.0
    pull: float = 30.0
    ridge: float = 100.0
    seed: int = 0

    def fit(self, train: Examples, validation: Examples) -> None:
        """Fit all three; nothing is chosen on validation."""
        self.train = train
        self.regression = MatrixFactorisation(rank=train.scores.shape[1], ridge=self.ridge)
        self.regression.fit(train, validation)
        self.mean = self.train.targets.mean(axis=0)
        make: Any = KMeans
        self.clusterings = [make(k, random_state=self.seed, n_init=1).fit(train.vectors) for k in SIZES]

    def score(self, prompts: Prompts) -> Floats:
        """Their sum."""
        return self.neighbours(prompts) + self.clusters(prompts) + self.regression.score(prompts)

    def neighbours(self, prompts: Prompts) -> Floats:
        cosines = prompts.vectors @ self.train.vectors.T
        near = np.argpartition(-cosines, self.k, axis=1)[:, : self.k]
        weights = np.maximum(np.take_along_axis(cosines, near, axis=1), 1e-6) ** self.power
        weights /= weights.mean(axis=1, keepdims=True)
        sums = np.einsum("nk,nkm->nm", weights, self.train.targets[near])
        return (sums + self.pull * self.mean) / (self.k + self.pull)

    def clusters(self, prompts: Prompts) -> Floats:
        total = np.zeros((len(prompts), len(self.mean)), dtype=np.float32)
        for model in self.clusterings:
            member = np.eye(model.n_clusters, dtype=np.float32)[model.labels_]
            sums = member.T @ self.train.targets + self.pull * self.mean
            total += (sums / (member.sum(axis=0)[:, None] + self.pull))[model.predict(prompts.vectors)]
        return np.asarray(total / len(SIZES), dtype=np.float32)


class Neighbours(Neighbourhood):
    """Ours, without the trees."""


class Categories(Benchmarks):
    """Ours, without neighbours and trees: the means of the category that a prompt is probably from."""


class WordedCategories(Benchmarks):
    """The same, told apart by wording, too: right for 85% of MMLU-Pro's questions instead of 78%."""

    def fit(self, train: Examples, validation: Examples) -> None:
        self.rare = rarity(words(train.texts))
        super().fit(train, validation)

    def _features(self, prompts: Prompts) -> Any:
        wording = weighed(words(prompts.texts), self.rare) * WORDING
        return sparse.hstack([sparse.csr_matrix(super()._features(prompts)), wording]).tocsr()


class WordedNeighbours(Neighbourhood):
    """Ours, without the trees, shrunk to the means of those categories."""

    def __post_init__(self) -> None:
        self.benchmarks_ = WordedCategories()


class WithWording(Shrunken):
    """Ours with those neighbours."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.views_ = (WordedNeighbours(), Trees(seed=self.seed))


class WithKernel(Shrunken):
    """Ours, and the kernel regression as a third."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.views_ = (*self.views_, Kernel(seed=self.seed))


def embedded_table(name: str, make: Callable[[Path], OutcomeTable], encoder: str | None = None) -> OutcomeTable:
    """A recorded table with embeddings of its prompts, made once (minutes on a slow core) and then mapped.

    Args:
        name: The table's.
        make: What loads it from the data folder.
        encoder: A name or a folder, which becomes part of the table's name; None: MiniLM.
    """
    name = name if encoder is None else f"{name}-{Path(encoder).name}"
    folder = RUNS / "tables" / name
    if (folder / "table.json").is_file():
        return OutcomeTable.open(folder)
    table = embed(replace(make(data_folder()), name=name), encoder_of(encoder), Progress())
    table.save(folder)
    return table


def pool_problem(table: OutcomeTable, pool: str, seed: int) -> RoutingSet:
    """One of POOLS, on the split of a permutation: 9,600 train, 1,200 validate, the rest test."""
    split = permuted(len(table), seed=seed, train=TRAIN, validation=VALIDATION)
    return routing_set(table, ranked(table, *POOLS[pool]), split, group=pool)
