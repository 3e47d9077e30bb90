# pyright: basic
"""Cross-validation of controllers at several prices of money.

Rows are dealt to folds. Everything is learned on all rows but those of a fold, and plays that fold: so each way of
answering has an outcome on every row that it was not learned from. What is chosen for a fold is chosen by the outcomes
on the others alone. These are of controllers that had learned from the fold's rows, so it is no strictly nested
validation, which takes K^2 fits in place of K; but no outcome on a row has a part in the choice that is tested on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mar.controllers.base import PlanSpace
from mar.evaluation.route.calls import Calls
from mar.evaluation.route.kinds import Kind, Priced
from mar.evaluation.route.play import Played, alone, play
from mar.learning.progress import Progress

FOLDS = 5
PRICES = (0.0, 0.003, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0)
"""Prices of money at which controllers are tried: utility that the dearest model's mean call costs more than the
cheapest one's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way of answering: a model alone, or a controller at a price of money."""

    kind: str  # of a controller; "": a model alone
    model: str = ""
    cost_rate: float = 0.0  # utility per USD

    @property
    def name(self) -> str:
        """How tables call it."""
        return f"{self.kind} at cost rate {self.cost_rate:.4g}" if self.kind else self.model


Outcomes = dict[Way, Played]
"""What every way did on the same rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validated:
    """What every way did on rows that it had not seen."""

    fold: npt.NDArray[np.int64]  # of each row, (n,)
    outcomes: Outcomes  # on all rows, in their order

    @property
    def folds(self) -> int:
        """How many."""
        return int(self.fold.max()) + 1

    def within(self, rows: npt.NDArray[np.bool_]) -> Outcomes:
        """The outcomes on some rows."""
        at = np.flatnonzero(rows)
        return {way: played.rows(at) for way, played in self.outcomes.items()}


def cost_rates(calls: Calls) -> tuple[float, ...]:
    """The prices of money that are tried, in utility per USD."""
    mean = calls.usd.mean(axis=0)
    spread = float(mean.max() - mean.min()) or float(mean.max()) or 1.0
    return tuple(float(f"{price / spread:.4g}") for price in PRICES)


def validate(
    calls: Calls, kinds: Sequence[Kind], space: PlanSpace, progress: Progress, *, seed: int = 0, folds: int = FOLDS
) -> Validated:
    """Play every way on every row that it was not learned from."""
    fold = np.random.default_rng(seed).permutation(len(calls)) % folds
    rates = cost_rates(calls)
    found: list[Outcomes] = []
    with progress.bar("learning and testing", total=folds * len(kinds)) as bar:
        for k in range(folds):
            train, test = calls.rows(np.flatnonzero(fold != k)), calls.rows(np.flatnonzero(fold == k))
            outcomes = _singles(test)
            for kind in kinds:
                outcomes |= _swept(kind.name, kind.fit(train), test, space, rates)
                bar.advance(note=kind.name)
            found.append(outcomes)
    order = np.argsort(np.concatenate([np.flatnonzero(fold == k) for k in range(folds)]))
    whole = {way: Played.joined([part[way] for part in found]).rows(order) for way in found[0]}
    return Validated(fold=fold, outcomes=whole)


def _singles(calls: Calls) -> Outcomes:
    return {Way(kind="", model=name): alone(calls, m) for m, name in enumerate(calls.models)}


def _swept(name: str, controller: Priced, test: Calls, space: PlanSpace, rates: Sequence[float]) -> Outcomes:
    found: Outcomes = {}
    for rate in rates:
        controller.cost_rate = rate
        found[Way(kind=name, cost_rate=rate)] = play(controller, test, space)
    return found
