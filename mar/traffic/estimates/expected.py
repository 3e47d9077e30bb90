"""What every arm would have come to on every request, predicted from other requests.

An estimate from a log is the better, the better this is; it is right without it. Arms borrow from each other
(`Pooled`), and nothing is predicted for a request from anything of the same person (cross-fitting).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mar.controllers.routers.base import Examples, Prompts
from mar.controllers.routers.pooled import Pooled
from mar.numerics import one_thread
from mar.traffic.estimates.table import Floats, Ints, Table

FOLDS = 5
LEAST = 0.02  # share of requests that are rated, taken to be at least this: a weight is 50 at most on its account


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What was observed of requests, and what is expected where it was not."""

    value: Floats  # (n,); NaN: not observed
    expected: Floats  # of every arm, from other people's requests, (n, K)
    chance: Floats  # that it is observed, by the question and what was done, (n,)
    share: bool  # whether values lie between 0 and 1

    @property
    def seen(self) -> Ints:
        """Rows in which it was observed."""
        return np.flatnonzero(~np.isnan(self.value))


def column(table: Table, value: Floats, fold: Ints, *, share: bool = False) -> Column:
    """Fit, fold by fold, what is expected and how probably it is observed.

    Whether something is observed may hang on the question and on what was done, never on its value given these: that
    is assumed, and cannot be seen from a log.
    """
    seen = ~np.isnan(value)
    rows = np.arange(len(table))
    expected = _crossed(table, value, fold, Pooled() if share else Pooled(level=LOOSE))
    if share:
        expected = np.clip(expected, 0.02, 0.98)
    if seen.all():
        return Column(value=value, expected=expected, chance=np.ones(len(table)), share=share)
    chance = _crossed(table, seen.astype(np.float64), fold, Pooled(special=0.002))[rows, table.drawn]
    least = max(LEAST, float(seen.mean()) / 4)
    return Column(value=value, expected=expected, chance=np.clip(chance, least, 1.0), share=share)


LOOSE = 100.0  # variance beforehand of what models cost and take, which differ by orders


def _crossed(table: Table, value: Floats, fold: Ints, model: Pooled) -> Floats:
    """Predictions for all arms, (n, K), of models fitted on the other folds."""
    found = np.empty((len(table), len(table.arms)))
    scale = float(np.nanstd(value)) if (~np.isnan(value)).any() else 1.0
    scores = np.full(found.shape, np.nan, dtype=np.float32)
    scores[np.arange(len(table)), table.drawn] = value / max(scale, 1e-12)
    with one_thread():
        for number in range(int(fold.max()) + 1 if len(fold) else 0):
            inside = fold == number
            train = Examples(vectors=table.vectors[~inside], scores=scores[~inside])
            model.fit(train, train)
            found[inside] = model.score(Prompts(vectors=table.vectors[inside])) * scale
    return found
