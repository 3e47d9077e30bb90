"""Candidates beside what served, every model alone and simple rules, on requests of people they did not learn from.

Requests are dealt to folds by person. Each candidate is fitted on all folds but one and decides for that one; what it
would have been worth there is estimated from the whole log, with expectations that were cross-fitted by the same folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from mar.evaluation.statistics import Interval
from mar.learning.progress import Progress
from mar.traffic.estimates.expected import FOLDS
from mar.traffic.estimates.policies import Comes, Judged, more_needed
from mar.traffic.estimates.table import Floats, Table
from mar.traffic.learn.candidates import learn

ALONE = "one model for everything"  # a heading
SERVING, BEST, CHANCE = "what served", "best model, chosen in each fold", "any model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one way of answering comes to."""

    name: str
    part: str  # heading
    comes: Comes
    gain: Comes  # over what served
    surely: Interval  # utility gained, by intervals that hold for all candidates together with 95%
    more: int | None  # requests that would tell it from what served: 0 none, None no number anybody waits for


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The table, and what the candidates do on each request."""

    judged: Judged
    lines: tuple[Line, ...]
    does: dict[str, Floats]  # by name
    candidates: tuple[str, ...]
    z: float  # quantile at which intervals hold for all candidates together

    def line(self, name: str) -> Line:
        """By name."""
        return next(line for line in self.lines if line.name == name)

    def apart(self, name: str, other: str) -> Interval:
        """Utility of one way less another's, by intervals that hold for all candidates together."""
        return self.judged.comes(self.does[name] - self.does[other], z=self.z).utility.interval


def compare(
    table: Table, kinds: Sequence[str], models: Sequence[int], cost_rate: float, progress: Progress, *, seed: int = 0
) -> Compared:
    """Fit candidates fold by fold and estimate what everything comes to.

    Args:
        table: The log.
        kinds: Candidates, as a command line names them.
        models: Arms that they choose among.
        cost_rate: Utility per USD.
        progress: Says how far it is.
        seed: Of the folds.
    """
    judged, fold = Judged.of(table, cost_rate, seed=seed), table.folds(FOLDS, seed)
    arms = len(table.arms)
    alone = {table.arms[k]: np.tile(np.eye(arms)[k], (len(table), 1)) for k in models}
    learned = {kind: np.zeros((len(table), arms)) for kind in kinds}
    best = np.zeros((len(table), arms))
    with progress.bar("learning and estimating", total=FOLDS * len(kinds)) as bar:
        for number in range(FOLDS):
            inside = fold == number
            if not inside.any():
                continue
            train = table.rows(~inside)
            best[inside] = np.eye(arms)[_best(train, models, cost_rate)]
            for kind in kinds:
                controller = learn(kind, train, models, cost_rate, seed=seed)
                learned[kind][inside] = controller.does(table.vectors[inside], arms)
                bar.advance(note=kind)
    mixture = np.tile(np.eye(arms)[list(models)].mean(axis=0), (len(table), 1))
    does = {SERVING: likeliest(judged.serving), **alone, BEST: best, CHANCE: mixture, **learned}
    z = NormalDist().inv_cdf(1 - 0.025 / max(1, len(kinds)))
    parts = dict.fromkeys(does, "simple") | {SERVING: "now"} | dict.fromkeys(alone, ALONE)
    parts |= dict.fromkeys(learned, "learned from this log")
    lines = tuple(_line(judged, name, parts[name], does[name], does[SERVING], z) for name in does)
    return Compared(judged=judged, lines=lines, does=does, candidates=tuple(kinds), z=z)


def likeliest(probability: Floats) -> Floats:
    """What a policy does where it does not explore: its most likely plan."""
    return np.eye(probability.shape[1])[probability.argmax(axis=1)]


def _line(judged: Judged, name: str, part: str, does: Floats, serving: Floats, z: float) -> Line:
    surely = judged.comes(does - serving, z=z).utility.interval
    return Line(
        name=name,
        part=part,
        comes=judged.comes(does),
        gain=judged.comes(does - serving),
        surely=surely,
        more=more_needed(surely, len(judged.table)),
    )


def _best(table: Table, models: Sequence[int], cost_rate: float) -> int:
    """The model of the highest mean utility, every request weighed by how seldom it was drawn."""
    chance = table.probability[np.arange(len(table)), table.drawn]
    worth = [
        np.average(table.worth[at], weights=1 / chance[at]) - cost_rate * np.nanmean(table.usd[table.drawn == k])
        if (at := (table.drawn == k) & ~np.isnan(table.worth)).any()
        else -np.inf
        for k in models
    ]
    return models[int(np.argmax(worth))]
