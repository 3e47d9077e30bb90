# pyright: basic
"""A threshold cascade, after FrugalGPT (arXiv 2305.05176).

Models are asked one after the other. A learned score says how probably an answer is right by what can be seen of it;
the first answer whose score reaches its model's threshold is taken, the last model's in any case. Order, at most three
models long, and thresholds are those of the highest utility on the training items, of all that there are.

Other than as published: the score is a logistic regression on signs of the answer and coordinates of the text in place
of a fine-tuned language model; the objective is quality less price instead of quality under a budget; every order is
tried, so none has to be pruned. Scores that thresholds are chosen by are of items that the regression had not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mar.controllers.cascades.logistic import Floats, Logistic, folds
from mar.controllers.cascades.steps import Ask, Heard, Take
from mar.controllers.cascades.table import Table
from mar.types import Belief, Why

LONGEST = 3  # models of a cascade
THRESHOLDS = 12  # that are tried for a model: quantiles of its scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """Probability that an answer is right, by what can be seen of it."""

    logistic: Logistic
    models: int

    @classmethod
    def fit(cls, table: Table) -> Scorer:
        """Learn from all calls of a table."""
        return cls._fit(table, np.arange(len(table)))

    @classmethod
    def _fit(cls, table: Table, rows: np.ndarray) -> Scorer:
        heard = table.heard[rows]
        x = _features(table.signs[rows], table.texts[rows])[heard]
        return cls(logistic=Logistic.fit(x, table.right[rows][heard]), models=len(table.models))

    @classmethod
    def unseen(cls, table: Table) -> Floats:
        """Scores of a table's calls, (n, M), each by a scorer that was learned from other items; -1 where none is."""
        fold = folds(len(table))
        scores = np.full(table.quality.shape, -1.0)
        for k in np.unique(fold):
            scorer = cls._fit(table, np.flatnonzero(fold != k) if len(table) > 1 else fold)
            scores[fold == k] = scorer.logistic(_features(table.signs[fold == k], table.texts[fold == k]))
        return np.where(table.heard, scores, -1.0)

    def __call__(self, model: int, signs: Floats, text: Floats) -> float:
        """Of one answer."""
        which = np.eye(self.models)[model]
        return float(self.logistic(np.concatenate([signs, which, text])))


def _features(signs: Floats, texts: Floats) -> Floats:
    """Of all models' answers to some items, (n, M, F)."""
    n, m, _ = signs.shape
    which = np.broadcast_to(np.eye(m), (n, m, m))
    return np.concatenate([signs, which, np.broadcast_to(texts[:, None], (n, m, texts.shape[1]))], axis=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A cascade: models by number, and the scores from which all but the last one's answers are taken."""

    models: tuple[int, ...]
    thresholds: tuple[float, ...]  # one fewer than models
    utility: float  # mean on the training items


def best_order(table: Table, scores: Floats, models: Sequence[int], most: int) -> Order:
    """The best cascade of at most `most` of some models, by exhaustion. Of equals the shortest.

    Args:
        table: Graded calls.
        scores: Of the calls, (n, M).
        models: That may be in it.
        most: Models of a cascade, up to three.
    """
    heads = _Heads.of(table, scores, list(models))
    tails = _Tails.alone(heads)
    means = tails.worth.mean(1)
    best = Order(models=(models[int(means.argmax())],), thresholds=(), utility=float(means.max()))
    for left in range(min(most, LONGEST, len(models)) - 1, 0, -1):
        value = heads.before(tails)
        i, t, k = (int(x) for x in np.unravel_index(value.argmax(), value.shape))
        if value[i, t, k] > best.utility + 1e-12:
            followers = [models[j] for j in tails.models[k]]
            cuts = (float(heads.cuts[i, t]), *tails.thresholds[k])
            best = Order(models=(models[i], *followers), thresholds=cuts, utility=float(value[i, t, k]))
        if left > 1:
            tails = tails.longer(heads)
    return best


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heads:
    """Every way in which a cascade can begin: a model and its threshold."""

    alone: Floats  # utility of each model alone, (m, n)
    cuts: Floats  # (m, T)
    taken: Floats  # whether its answer is taken, (m, T, n)
    gain: Floats  # quality where it is taken, less the price of asking, (m, T, n)

    @classmethod
    def of(cls, table: Table, scores: Floats, models: list[int]) -> _Heads:
        quality, price, s = table.quality[:, models].T, table.price[:, models].T, scores[:, models].T
        cuts = np.quantile(s, np.linspace(0, 1, THRESHOLDS + 2)[1:-1], axis=1).T
        taken = (s[:, None] >= cuts[:, :, None]).astype(np.float64)
        return cls(alone=quality - price, cuts=cuts, taken=taken, gain=taken * quality[:, None] - price[:, None])

    def before(self, tails: _Tails) -> Floats:
        """Mean utility of each head before each tail, (m, T, tails); minus infinity where it asks a model twice."""
        m, t, n = self.taken.shape
        passed_on = (1 - self.taken).reshape(-1, n) @ tails.worth.T / n
        value = self.gain.mean(2)[..., None] + passed_on.reshape(m, t, -1)
        for k, used in enumerate(tails.models):
            value[list(used), :, k] = -np.inf
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tails:
    """What a cascade can go on with: further cascades."""

    worth: Floats  # utility of each, (tails, n)
    models: list[tuple[int, ...]]
    thresholds: list[tuple[float, ...]]

    @classmethod
    def alone(cls, heads: _Heads) -> _Tails:
        m = len(heads.alone)
        return cls(worth=heads.alone, models=[(j,) for j in range(m)], thresholds=[()] * m)

    def longer(self, heads: _Heads) -> _Tails:
        """Those that have one model more."""
        m, cuts = heads.cuts.shape
        ways = [(i, t, k) for i in range(m) for t in range(cuts) for k in range(len(self.models))]
        ways = [(i, t, k) for i, t, k in ways if i not in self.models[k]]
        return _Tails(
            worth=np.stack([heads.gain[i, t] + (1 - heads.taken[i, t]) * self.worth[k] for i, t, k in ways]),
            models=[(i, *self.models[k]) for i, _, k in ways],
            thresholds=[(float(heads.cuts[i, t]), *self.thresholds[k]) for i, t, k in ways],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdRule:
    """Plays an order."""

    order: Order
    scorer: Scorer
    table: Table
    text: Floats  # (K,)

    def ask(self, heard: Heard) -> Ask | None:
        """The next model while the last one's score is below its threshold."""
        done = len(heard.order)
        if done >= len(self.order.models) or (done and self._accepted(heard)):
            return None
        because = (
            "first in the order" if not done else f"the last answer scores below {self.order.thresholds[done - 1]:.2f}"
        )
        return Ask(models=(self.order.models[done],), why=Why(because=because, beliefs=self._beliefs(heard)))

    def take(self, heard: Heard) -> Take:
        """The answer that was accepted or is the last one's; where it cannot be read, that of the highest score."""
        ended = self._accepted(heard) or len(heard.order) >= len(self.order.models)
        last = heard.call(heard.order[-1])
        if ended and last is not None and last.answer is not None:
            because = "it reaches its threshold" if self._accepted(heard) else "the last in the order"
            return Take(model=heard.order[-1], why=Why(because=because, beliefs=self._beliefs(heard)))
        best = max(heard.models, key=lambda m: self._score(heard, m))
        return Take(model=best, why=Why(because="the highest score", beliefs=self._beliefs(heard)))

    def _accepted(self, heard: Heard) -> bool:
        done = len(heard.order)
        cuts = self.order.thresholds
        return 0 < done <= len(cuts) and self._score(heard, heard.order[-1]) >= cuts[done - 1]

    def _score(self, heard: Heard, model: int) -> float:
        call = heard.call(model)
        return -1.0 if call is None else self.scorer(model, self.table.seen(model, call), self.text)

    def _beliefs(self, heard: Heard) -> tuple[Belief, ...]:
        pairs = zip(heard.models, heard.asked.calls, strict=True)
        found = [Belief(answer=c.answer or "", probability=self._score(heard, m)) for m, c in pairs]
        return tuple(sorted(found, key=lambda b: -b.probability))


@dataclass(slots=True, kw_only=True)
class Threshold:
    """The threshold cascade as a method."""

    table: Table
    scorer: Scorer
    scores: Floats  # of the table's calls, by scorers that had not seen them
    name: str = "threshold cascade"
    _orders: dict[tuple[tuple[int, ...], int], Order] = field(default_factory=dict)

    @classmethod
    def learn(cls, table: Table) -> Threshold:
        """Learn scores; orders are chosen once for every set of models."""
        return cls(table=table, scorer=Scorer.fit(table), scores=Scorer.unseen(table))

    def at(self, cost_rate: float) -> Threshold:
        """The same scores, of which orders are chosen anew."""
        return Threshold(table=self.table.at(cost_rate), scorer=self.scorer, scores=self.scores, name=self.name)

    def order(self, models: tuple[int, ...], most: int) -> Order:
        """The best cascade of some models."""
        if (models, most) not in self._orders:
            self._orders[models, most] = best_order(self.table, self.scores, models, most)
        return self._orders[models, most]

    def rules(self, models: tuple[int, ...], most: int, texts: Floats) -> Sequence[ThresholdRule]:
        """The same order for every query."""
        order = self.order(models, most)
        return [ThresholdRule(order=order, scorer=self.scorer, table=self.table, text=text) for text in texts]
