# pyright: basic
"""How good each model's answer to a query probably is, before and after some have answered, and how that may change.

Before: a logistic regression on coordinates of the text for each model. After: of a model that answered, one on its
estimate before, on signs of the answer, and on the estimates of those who agree and who do not; of a model that did
not, one on its estimate before and on how much better or worse than expected the answers look. These two are shared by
all models and learned from random sets of answers, on estimates of items that the first had not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from mar.controllers.cascades.logistic import Floats, Logistic, folds, log_odds
from mar.controllers.cascades.table import NOTHING, Table

DEPTH = 3  # answers of one query
SETS = 4  # random sets of answers of each size and item
SEED = 0
TEXT = 0.1  # strength of the regressions on texts
FEW = 20.0  # changes' worth of what models have in common, in every model's spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Answers to one query."""

    models: tuple[int, ...]
    signs: Floats  # (k, SIGNS)
    numbers: npt.NDArray[np.int64]  # equal where they agree, (k,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How estimates about one query changed until a set of models had answered."""

    models: tuple[int, ...]  # the set
    answered: int  # how many of them, the first ones, had before
    by: Floats  # (k,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """How estimates change: normally, by as much as they did, models that have answered and that have not together."""

    answered: float  # spread
    other: Floats  # (M,)
    correlations: Floats  # of pairs of which none, one and both have answered, (3,)

    @classmethod
    def of(cls, seen: Sequence[Change], models: int) -> Changes:
        """From changes on training items, about 0; spreads of models are shrunk to what they have in common."""
        sums, counts, pairs = np.zeros(models + 1), np.zeros(models + 1), np.zeros((2, 3))
        for change in seen:
            at = np.where(np.arange(len(change.by)) < change.answered, models, change.models)
            np.add.at(sums, at, change.by**2)
            np.add.at(counts, at, 1.0)
        common = sums[:models].sum() / max(1.0, counts[:models].sum())
        other = np.sqrt((sums[:models] + FEW * common) / (counts[:models] + FEW))
        answered = float(np.sqrt(sums[models] / max(1.0, counts[models])))
        for change in seen:
            done = np.arange(len(change.by)) < change.answered
            spread = np.maximum(np.where(done, answered, other[list(change.models)]), 1e-9)
            for i, j in combinations(range(len(change.by)), 2):
                pairs[:, int(done[i]) + int(done[j])] += change.by[i] * change.by[j] / (spread[i] * spread[j]), 1.0
        return cls(answered=answered, other=other, correlations=pairs[0] / np.maximum(pairs[1], 1.0))

    def covariance(self, answered: Sequence[int]) -> Floats:
        """Of all models, (M, M), where some have answered."""
        done = np.isin(np.arange(len(self.other)), answered)
        spread = np.where(done, self.answered, self.other)
        found = self.correlations[done.astype(int)[:, None] + done.astype(int)[None]]
        np.fill_diagonal(found, 1.0)
        return spread[:, None] * found * spread[None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimates:
    """Estimates of quality, learned."""

    before: tuple[Logistic, ...]  # by model
    own: Logistic  # of a model that answered
    other: Logistic  # of a model that did not
    changes: tuple[Changes, ...]  # that are still to come, by number of answers

    @classmethod
    def learn(cls, table: Table) -> Estimates:
        """Learn from a table, with the same random sets every time."""
        before = _before(table, np.arange(len(table)))
        unseen = _unseen(table)
        drawn = _drawn(table)
        seen = [_of(table, i, models) for i, models in drawn]
        rows = [i for i, _ in drawn]
        own = _fit(table, [(i, list(a.models), own_features(unseen[i], a)) for i, a in zip(rows, seen, strict=True)])
        partial = cls(before=before, own=own, other=own, changes=())
        rest: list[tuple[int, list[int], Floats]] = []
        for i, answers in zip(rows, seen, strict=True):
            others = [int(m) for m in np.flatnonzero(table.heard[i]) if m not in answers.models]
            if others:
                rest.append((i, others, other_features(unseen[i], partial, answers)[others]))
        other = _fit(table, rest) if rest else Logistic(weights=np.array([1.0, 0.0, 0.0]), bias=0.0)
        learned = cls(before=before, own=own, other=other, changes=())
        return cls(before=before, own=own, other=other, changes=learned._changes(table, unseen, drawn))

    def at_first(self, texts: Floats) -> Floats:
        """Before anybody has answered, (n, M)."""
        return np.stack([logistic(texts) for logistic in self.before], axis=1)

    def after(self, first: Floats, answers: Answers) -> Floats:
        """Once some have answered, (M,)."""
        if not answers.models:
            return first
        found = self.other(other_features(first, self, answers))
        found[list(answers.models)] = self.own(own_features(first, answers))
        return found

    def _changes(
        self, table: Table, unseen: Floats, drawn: Sequence[tuple[int, tuple[int, ...]]]
    ) -> tuple[Changes, ...]:
        by_size: list[list[Change]] = [[] for _ in range(DEPTH)]
        for i, models in drawn:
            if len(models) < min(DEPTH, table.heard[i].sum()):
                continue
            last = self.after(unseen[i], _of(table, i, models))[list(models)]
            for size in range(len(models)):
                now = self.after(unseen[i], _of(table, i, models[:size]))[list(models)]
                by_size[size].append(Change(models=models, answered=size, by=last - now))
        return tuple(Changes.of(found, len(table.models)) for found in by_size)


def own_features(first: Floats, answers: Answers) -> Floats:
    """Of each of some answers, (k, F): the estimate before, its signs, and who agrees and who does not."""
    models = list(answers.models)
    spoke = answers.numbers != NOTHING
    same = (answers.numbers[:, None] == answers.numbers[None]) & spoke[:, None]
    other = ~same & spoke[None] & spoke[:, None]
    np.fill_diagonal(same, False)
    np.fill_diagonal(other, False)
    chance = first[models]
    return np.column_stack([log_odds(chance), answers.signs, same @ chance, other @ chance])


def other_features(first: Floats, estimates: Estimates, answers: Answers) -> Floats:
    """Of every model, (M, F): the estimate before, and by how much the answers look better than expected."""
    models = list(answers.models)
    surprise = log_odds(estimates.own(own_features(first, answers))) - log_odds(first[models])
    return np.column_stack([log_odds(first), np.full(len(first), surprise.mean()), np.full(len(first), surprise.max())])


def _of(table: Table, item: int, models: tuple[int, ...]) -> Answers:
    ids = list(models)
    return Answers(models=models, signs=table.signs[item, ids], numbers=table.answer[item, ids])


def _before(table: Table, rows: npt.NDArray[np.int64]) -> tuple[Logistic, ...]:
    heard, right, texts = table.heard[rows], table.right[rows], table.texts[rows]
    return tuple(
        Logistic.fit(texts[heard[:, m]], right[heard[:, m], m], strength=TEXT) for m in range(len(table.models))
    )


def _unseen(table: Table) -> Floats:
    """Estimates before any answer of items that they were not learned from, (n, M)."""
    fold = folds(len(table))
    found = np.zeros(table.quality.shape)
    for k in np.unique(fold):
        rows = np.flatnonzero(fold != k) if len(table) > 1 else np.flatnonzero(fold == k)
        logistics = _before(table, rows)
        found[fold == k] = np.stack([logistic(table.texts[fold == k]) for logistic in logistics], axis=1)
    return found


def _drawn(table: Table) -> list[tuple[int, tuple[int, ...]]]:
    rng = np.random.default_rng(SEED)
    drawn: list[tuple[int, tuple[int, ...]]] = []
    for i in range(len(table)):
        models = np.flatnonzero(table.heard[i])
        for size in range(1, min(DEPTH, len(models)) + 1):
            drawn += [(i, tuple(int(m) for m in rng.choice(models, size, replace=False))) for _ in range(SETS)]
    return drawn


def _fit(table: Table, rows: Sequence[tuple[int, list[int], Floats]]) -> Logistic:
    x = np.concatenate([features for _, _, features in rows])
    right = np.concatenate([table.right[i, models] for i, models, _ in rows])
    return Logistic.fit(x, right)
