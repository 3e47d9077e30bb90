"""What a log makes one believe of a pool's models: what each is worth at its price, how probably it is the best.

Beforehand a model is expected to be as good as its card says, by half: cards overstate what sets models apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mar.traffic.estimates.others import UNASKED, Others, believed, best_of
from mar.traffic.estimates.table import Floats, Ints, table_of
from mar.traffic.records import Logged

MIDDLE, BY_CARD = 0.5, 0.5  # what is right of anything; how much of what cards say above or below that is believed


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """Of models, by name."""

    worth: Mapping[str, float]  # how often it is right, less what its cost is worth
    best: Mapping[str, float]  # probability that none is worth more; they sum to 1


def believe(log: Sequence[Logged], stated: Mapping[str, float], rate: float) -> Belief | None:
    """What is to be believed of models; None where a price or all of the log is missing.

    Args:
        log: Requests, texts and embeddings left out or not.
        stated: How often each model is expected to be right by its card.
        rate: Utility per USD.
    """
    table = table_of([replace(logged, embedding=()) for logged in log])
    models = [name for name in stated if name in table.arms]
    if not models:
        return None
    at: Ints = np.array([table.arms.index(name) for name in models], dtype=np.int64)
    usd = _usd(log, models) if rate else np.zeros(len(models))
    if np.isnan(usd).any():
        return None
    rows = np.flatnonzero(~np.isnan(table.worth) & np.isin(table.drawn, at))
    others = _nobody(len(table), len(table.arms)) if table.others is None else table.others
    drawn: list[int] = table.drawn[rows].tolist()
    place = np.array([models.index(table.arms[k]) for k in drawn], dtype=np.int64)
    level = np.array([stated[name] for name in models])
    beforehand = MIDDLE + BY_CARD * (level - level.mean())
    found = believed(others.rows(rows).columns(at), place, table.worth[rows], beforehand)
    worth = found.mean - rate * usd
    best = best_of(worth, found.covariance)
    return Belief(worth=_named(models, worth), best=_named(models, best))


def _usd(log: Sequence[Logged], models: Sequence[str]) -> Floats:
    """Mean costs: of answers in shadow, else of those that were served, else as was estimated; NaN: nobody knows."""
    known: dict[str, list[list[float]]] = {name: [[], [], []] for name in models}
    for logged in log:
        for other in logged.others:
            if other.model in known and other.usd is not None:
                known[other.model][0].append(other.usd)
        if logged.arm.name in known and logged.cost_usd is not None:
            known[logged.arm.name][1].append(logged.cost_usd)
        for arm in logged.arms:
            if arm.name in known and arm.usd is not None:
                known[arm.name][2].append(arm.usd)
    means = [next((sum(part) / len(part) for part in known[name] if part), np.nan) for name in models]
    return np.array(means)


def _nobody(rows: int, arms: int) -> Others:
    said = np.full((rows, arms), UNASKED, dtype=np.int64)
    return Others(said=said, usd=np.full(said.shape, np.nan), single=np.zeros(rows, dtype=np.bool_))


def _named(models: Sequence[str], values: Floats) -> dict[str, float]:
    return dict(zip(models, values.tolist(), strict=True))
