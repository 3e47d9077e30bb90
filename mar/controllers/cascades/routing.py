# pyright: basic
"""Routing and cascading in one, after cascade routing (arXiv 2410.10347).

At every step each set of models that holds those that have answered is worth the expected quality of its best answer
less the price of asking the others. If nothing beats the set as it is, the answer of the highest estimate is taken;
else the cheapest model that the best set adds is asked, and everything is estimated anew. The best of several uncertain
estimates is expected to be better than each: the expectation is over normal changes of the estimates, with the
covariance that answers had on training items, by drawing.

Other than as published: the price of money is given, so no trade-off is tuned for a budget and none differs from step
to step; one pair of regressions stands for one regression per set of models that answered, of which twelve models have
thousands, and spreads and three correlations for a covariance per such set; changes are measured against estimates once
a set of three has answered, not everybody; and a set has at most three models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from mar.controllers.cascades.estimates import DEPTH, Answers, Estimates
from mar.controllers.cascades.logistic import Floats
from mar.controllers.cascades.steps import Ask, Heard, Take
from mar.controllers.cascades.table import SIGNS, Table, numbers
from mar.types import Belief, Option, Why

DRAWS = 256
SHOWN = 4  # sets that a reason names


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """A set of models to ask further, and what it is worth."""

    added: tuple[int, ...]  # nobody: what there is
    quality: float  # of the best answer, expected
    price: float  # in utility

    @property
    def utility(self) -> float:
        """What sets are compared by."""
        return self.quality - self.price


def worths(
    estimates: Floats, covariance: Floats, price: Floats, answered: Sequence[int], free: Sequence[int], most: int
) -> list[Worth]:
    """Every set that may be asked further, the best first; of equals the smaller.

    Args:
        estimates: Of quality, (M,).
        covariance: Of how they will change once more have answered, (M, M).
        price: Of asking each model, in utility, (M,).
        answered: Models that have.
        free: Models that may be asked.
        most: Models that may be asked further.
    """
    sizes, directions = np.linalg.eigh(covariance)
    normal = np.random.default_rng(0).standard_normal((DRAWS // 2, len(estimates)))
    changes = np.concatenate([normal, -normal]) * np.sqrt(np.maximum(sizes, 0)) @ directions.T
    drawn = np.clip(estimates + changes, 0, 1)
    found = [Worth(added=(), quality=float(estimates[list(answered)].max()), price=0.0)] if answered else []
    best = drawn[:, list(answered)].max(1, keepdims=True, initial=0.0)
    for size in range(1, min(most, len(free)) + 1):
        sets = list(combinations(free, size))
        quality = np.maximum(drawn[:, sets].max(2), best).mean(0)
        cost = price[np.array(sets)].sum(1)
        found += [Worth(added=s, quality=float(q), price=float(c)) for s, q, c in zip(sets, quality, cost, strict=True)]
    return sorted(found, key=lambda w: -w.utility)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingRule:
    """Routes one query."""

    routing: Routing
    first: Floats  # estimates before anybody has answered, (M,)
    models: tuple[int, ...]
    most: int

    def ask(self, heard: Heard) -> Ask | None:
        """The cheapest model that the best set adds."""
        left = min(self.most, DEPTH) - len(heard.order)
        free = [m for m in self.models if m not in heard.order]
        if left <= 0 or not free:
            return None
        learned, price = self.routing.estimates, self.routing.price
        covariance = learned.changes[min(len(heard.models), DEPTH - 1)].covariance(heard.models)
        found = worths(self._estimates(heard), covariance, price, heard.models, free, left)
        if not found[0].added:
            return None
        why = Why(beliefs=self._beliefs(heard), options=tuple(self._option(w) for w in found[:SHOWN]))
        return Ask(models=(min(found[0].added, key=lambda m: price[m]),), why=why)

    def take(self, heard: Heard) -> Take:
        """The answer of the highest estimate; one that cannot be read only where no other can."""
        estimates = self._estimates(heard)
        pairs = list(zip(heard.models, heard.asked.calls, strict=True))
        best, _ = max(pairs, key=lambda p: (p[1].answer is not None, estimates[p[0]]))
        return Take(model=best, why=Why(because="the highest estimate", beliefs=self._beliefs(heard)))

    def _estimates(self, heard: Heard) -> Floats:
        table, calls = self.routing.table, heard.asked.calls
        seen = [table.seen(m, call) for m, call in zip(heard.models, calls, strict=True)]
        answers = Answers(
            models=heard.models,
            signs=np.array(seen).reshape(-1, SIGNS),
            numbers=np.array(numbers(heard.asked), dtype=np.int64),
        )
        return self.routing.estimates.after(self.first, answers)

    def _beliefs(self, heard: Heard) -> tuple[Belief, ...]:
        estimates = self._estimates(heard)
        pairs = zip(heard.models, heard.asked.calls, strict=True)
        found = [Belief(answer=call.answer or "", probability=float(estimates[m])) for m, call in pairs]
        return tuple(sorted(found, key=lambda b: -b.probability))

    def _option(self, worth: Worth) -> Option:
        names = [self.routing.table.models[m] for m in worth.added]
        action = f"ask {' and '.join(names)}" if names else "settle"
        return Option(action=action, right=worth.quality, utility=worth.utility)


@dataclass(slots=True, kw_only=True)
class Routing:
    """Cascade routing as a method."""

    table: Table
    estimates: Estimates
    name: str = "cascade routing"
    price: Floats = field(init=False)  # of asking each model, in utility, (M,)

    def __post_init__(self) -> None:
        self.price = self.table.price.sum(0) / np.maximum(self.table.heard.sum(0), 1)

    @classmethod
    def learn(cls, table: Table) -> Routing:
        """Learn the estimates."""
        return cls(table=table, estimates=Estimates.learn(table))

    def at(self, cost_rate: float) -> Routing:
        """The same estimates at another price."""
        return Routing(table=self.table.at(cost_rate), estimates=self.estimates, name=self.name)

    def rules(self, models: tuple[int, ...], most: int, texts: Floats) -> Sequence[RoutingRule]:
        """A rule for each query, by its text."""
        return [
            RoutingRule(routing=self, first=first, models=models, most=most) for first in self.estimates.at_first(texts)
        ]
