"""Controllers that can be learned from a log, in which every question was answered in one way.

Routers to a single model can be. A router that takes scores with holes (`pooled`) gets what was said; any other gets
every model's doubly robust score on every request: what is expected of it from other people's requests, corrected by
what was said where it was drawn. The correction's weight is cut at WEIGHT: that costs a little bias and saves the
router from single requests that would outweigh all others.

Where other models were asked rated questions, too (`mar.traffic.estimates.others`), what is believed of all their
answers takes the place of the one rating, and what they cost counts as well. Candidates are fitted to it; what they
are worth is still estimated from ratings alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mar.controllers.routers.base import Examples, Prompts, Router
from mar.controllers.routers.pooled import Pooled
from mar.controllers.routers.registry import make_router
from mar.errors import ConfigError
from mar.extensions import parse_call
from mar.numerics import one_thread
from mar.traffic.estimates.expected import FOLDS, column
from mar.traffic.estimates.others import UNASKED, Others, believed
from mar.traffic.estimates.table import Floats, Ints, Table, Vectors

WEIGHT = 20.0  # of a request, at most
FEWEST = 5  # requests on which a model was rated, without which no candidate chooses it
ONE = "pooled(special=0,caution=1)"  # one model for all, the worse the less is known of it
KINDS = (ONE, "pooled(caution=1)", "kernel(use_texts=false)", "knn(k=50)")

SEVERAL = "needs several models' answers to one question, and a log has one; mar route asks for them"
REFUSED: Mapping[str, str] = {
    "sequential": SEVERAL,
    "cascade": SEVERAL,
    "teams": SEVERAL,
    "cascal": SEVERAL,
    "masrouter": "learns from plans that it draws itself; mar train does that",
    "trinity": "learns from plans that it draws itself; mar train does that",
    "system_aware": "learns from servers under load; mar train does that",
    "gmt": "learns from ratings as they come, behind the gateway itself (docs/gmt.md)",
}
"""Controllers that cannot be learned from a log, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """A router to the models that were rated often enough, at a price of money."""

    router: Router
    models: tuple[int, ...]  # arms that it chooses among, in its columns' order
    ties: Floats  # mean worth of each
    usd: Floats  # mean cost of each
    cost_rate: float

    def does(self, vectors: Vectors, arms: int) -> Floats:
        """What it does: probabilities of arms, (n, arms)."""
        scores = self.router.score(Prompts(vectors=vectors)) - self.cost_rate * self.usd
        return np.eye(arms)[np.array(self.models)[scores.argmax(axis=1)]]


def check_kind(name: str) -> None:
    """Refuse what cannot be learned from a log.

    Raises:
        ConfigError: Says why, or what is expected.
    """
    kind, _ = parse_call(name, "router")
    if kind in REFUSED:
        raise ConfigError(f"--router {kind}: {kind} {REFUSED[kind]}; expected a router ({', '.join(KINDS)}) or all")
    fresh(name)


def fresh(name: str) -> Router:
    """A router as a command line names it."""
    kind, parameters = parse_call(name, "router")
    return make_router(kind, **parameters)


def learn(name: str, table: Table, models: Sequence[int], cost_rate: float, *, seed: int = 0) -> Learned:
    """Fit a router.

    Args:
        name: As a command line names it.
        table: What it learns from.
        models: Arms that it may choose: `choices`.
        cost_rate: Utility per USD.
        seed: Of the folds within the table.
    """
    router, at = fresh(name), np.array(models, dtype=np.int64)
    scores = _with_holes(table) if isinstance(router, Pooled) else _completed(table, seed)
    heard = _Heard.of(table)
    if heard is not None:
        scores[np.ix_(heard.rows, heard.arms)] = heard.right(table)
    train = Examples(vectors=table.vectors, scores=scores[:, at].astype(np.float32))
    nothing = Examples(vectors=table.vectors[:0], scores=train.scores[:0])
    with one_thread():
        router.fit(train, nothing)
    return Learned(
        router=router,
        models=tuple(models),
        ties=_means(table, table.worth)[at],
        usd=_costs(table, heard)[at],
        cost_rate=cost_rate,
    )


def choices(table: Table, models: Sequence[str] | None = None) -> tuple[int, ...]:
    """Arms that candidates choose among: single models that were rated often enough.

    Args:
        table: The log.
        models: Names of the pool's; None: whatever looks like a name, which a plan of several words does not.

    Raises:
        ConfigError: There are fewer than two.
    """
    rated = np.bincount(table.drawn[~np.isnan(table.worth)], minlength=len(table.arms))
    single = [name in models if models is not None else " " not in name for name in table.arms]
    found = tuple(k for k in range(len(table.arms)) if single[k] and rated[k] >= FEWEST)
    if len(found) < 2:
        counts = ", ".join(f"{name} {count}" for name, count in zip(table.arms, rated.tolist(), strict=True))
        raise ConfigError(
            f"requests that somebody said something about, by what was done: {counts or 'none'}; expected {FEWEST} or "
            "more of two models: without exploration (explore in serve.toml) a log teaches nothing"
        )
    return found


def _with_holes(table: Table) -> Floats:
    scores = np.full(table.probability.shape, np.nan)
    scores[np.arange(len(table)), table.drawn] = table.worth
    return scores


def _completed(table: Table, seed: int) -> Floats:
    quality = column(table, table.worth, table.folds(FOLDS, seed), share=True)
    found, rows = quality.expected.copy(), quality.seen
    drawn = table.drawn[rows]
    weight = np.minimum(WEIGHT, 1 / (table.probability[rows, drawn] * quality.chance[rows]))
    found[rows, drawn] += weight * (quality.value[rows] - found[rows, drawn])
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    """Rated questions that all of some arms were asked."""

    rows: Ints  # of the table
    arms: Ints
    others: Others  # on these rows, of these arms

    @classmethod
    def of(cls, table: Table) -> _Heard | None:
        """None where there are none."""
        if table.others is None:
            return None
        arms = np.flatnonzero((table.others.said != UNASKED).any(axis=0))
        rated = ~np.isnan(table.worth) & np.isin(table.drawn, arms)
        rows = np.flatnonzero(rated & table.others.columns(arms).whole)
        if not len(rows):
            return None
        return cls(rows=rows, arms=arms, others=table.others.rows(rows).columns(arms))

    def right(self, table: Table) -> Floats:
        """How probably each answer is right. Of the arms nothing is known but what ratings say."""
        worth = table.worth[self.rows]
        drawn = np.searchsorted(self.arms, table.drawn[self.rows])
        return believed(self.others, drawn, worth, np.full(len(self.arms), float(worth.mean()))).right


def _costs(table: Table, heard: _Heard | None) -> Floats:
    """Mean costs of arms; of those that were asked the same questions, on these."""
    found = _means(table, table.usd)
    if heard is not None:
        same = heard.others.usd.mean(axis=0)
        found[heard.arms] = np.where(np.isnan(same), found[heard.arms], same)
    return found


def _means(table: Table, value: Floats) -> Floats:
    """Means by arm of what is known; the mean of all where nothing is."""
    seen = ~np.isnan(value)
    whole = float(value[seen].mean()) if seen.any() else 0.0
    counts = np.bincount(table.drawn[seen], minlength=len(table.arms))
    sums = np.bincount(table.drawn[seen], value[seen], minlength=len(table.arms))
    return np.where(counts > 0, sums / np.maximum(counts, 1), whole)
