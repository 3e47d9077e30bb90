"""What the routing benchmarks share: embedded tables, kept between runs, and the pools of the published figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _shared import RUNS, data_folder

from mar.controllers.embeddings import encoder_of
from mar.controllers.routers.base import Examples, Floats, Prompts
from mar.controllers.routers.classical import MatrixFactorisation
from mar.controllers.routers.kernel import advantage
from mar.controllers.routers.neighbours import Knn
from mar.controllers.routers.shrunken import Scales
from mar.evaluation.routereval.construct import RoutingSet, permuted, ranked, routing_set
from mar.evaluation.routereval.embed import embed
from mar.evaluation.routereval.table import OutcomeTable
from mar.learning.progress import Progress

POOLS: Mapping[str, tuple[int, int]] = {"five strongest": (24, 28), "ten middle": (9, 18), "five weakest": (1, 5)}
"""Ranks of the candidates by ascending mean accuracy, of MMLU-Pro's 28 LLMs."""
TRAIN, VALIDATION = 9600, 1200


@dataclass(kw_only=True)
class SimpleSum:
    """The best simple thing known beforehand: the mean of neighbours, shrunken clusters and a ridge regression, all of
    them on the embedding alone."""

    def fit(self, train: Examples, validation: Examples) -> None:
        """Fit all three."""
        self.parts_ = (Knn(k=200), Scales(), MatrixFactorisation(rank=train.scores.shape[1], ridge=100.0))
        for part in self.parts_:
            part.fit(train, validation)

    def score(self, prompts: Prompts) -> Floats:
        """Their mean, each as an advantage over the mean of the pool."""
        return np.mean([advantage(part.score(prompts)) for part in self.parts_], axis=0)


def embedded_table(name: str, make: Callable[[Path], OutcomeTable]) -> OutcomeTable:
    """A recorded table with MiniLM embeddings of its prompts, made once (minutes on a slow core) and then mapped."""
    folder = RUNS / "tables" / name
    if (folder / "table.json").is_file():
        return OutcomeTable.open(folder)
    table = embed(make(data_folder()), encoder_of(None), Progress())
    table.save(folder)
    return table


def pool_problem(table: OutcomeTable, pool: str, seed: int) -> RoutingSet:
    """One of POOLS, on the split of a permutation: 9,600 train, 1,200 validate, the rest test."""
    split = permuted(len(table), seed=seed, train=TRAIN, validation=VALIDATION)
    return routing_set(table, ranked(table, *POOLS[pool]), split, group=pool)
