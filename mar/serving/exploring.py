"""Answering a share of the requests otherwise than the controller would, for what that teaches.

What was never tried cannot be judged from a log, and neither can a choice whose probability nobody knows. So a share of
the requests is given to one model alone, drawn evenly among those that may answer, that are expected to cost no more
than is allowed, and to be right hardly less often than what would have been done. Every request is logged with the
probabilities of all that could have been drawn. Where that is wanted, and something is known (`mar.serving.beliefs`), a
model is drawn as probably as it is the best, what was planned among them, and the bound holds for what it is believed
to be worth at its price.

The draw is a function of the episode's id (`drawn`), so that anybody can check it, and it is made before anything else:
a request that does not explore pays a hash for it. Estimates are the controller's where it has any, else the cards'.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b

from mar.controllers.cards import Cards
from mar.serving.admission import Visit
from mar.serving.asked import Asked
from mar.serving.beliefs import Beliefs
from mar.serving.house import House, Way, is_alone
from mar.serving.settings import ExploreSettings
from mar.serving.sticky import STAYS
from mar.traffic.records import Arm, Keep

OTHERS = "other plans"  # the arm of all that a controller which draws its plans could have drawn


def weighed(id: str, chances: Mapping[str, float]) -> str | None:
    """As `drawn`, of alternatives with probabilities of their own."""
    left = _number(id)
    for name in sorted(chances):
        left -= chances[name]
        if left < 0:
            return name
    return None


def _number(id: str) -> float:
    return int.from_bytes(blake2b(id.encode(), digest_size=8).digest()) / 2**64


def drawn(id: str, share: float, names: Sequence[str]) -> str | None:
    """Which of the alternatives an episode is given to; None: to none of them.

    Args:
        id: The episode's.
        share: Of requests that explore.
        names: The alternatives, in any order.
    """
    number = _number(id)
    if number >= share or not names:
        return None
    return sorted(names)[int(number / share * len(names))]


class Explorer:
    """Draws what is done with requests.

    Args:
        house: Who answers.
        told: How much may be explored.
        keep: What is kept of requests without a key.
        beliefs: What is believed of models.
    """

    def __init__(self, house: House, told: ExploreSettings, keep: Keep, beliefs: Beliefs) -> None:
        self._house, self._told, self._keep, self._beliefs = house, told, keep, beliefs

    def draw(self, way: Way, asked: Asked, visit: Visit, id: str) -> Way:
        """How a request is worked on: as was planned, or, of a share, by another model."""
        if not self._told.share:
            return way
        share = self._share(way, visit)
        if not share or drawn(id, share, (id,)) is None:
            return way
        planned, others = self._arms(way, asked, share)
        name = weighed(id, {arm.name: arm.probability for arm in others})
        if name is None:
            return way
        why = f"{name} in place of {way.label}, drawn to learn from: {share:.0%} of requests are"
        first = [arm for arm in others if arm.name == name]
        arms = (*first, *planned, *(arm for arm in others if arm.name != name))
        return replace(self._house.alone(way, name, why), arms=arms, explored=True)

    def arms(self, way: Way, asked: Asked, visit: Visit) -> tuple[Arm, ...]:
        """All that could have been done with a request, what was done first; their probabilities sum to 1."""
        if way.explored or not way.controller:
            return way.arms
        planned, others = self._arms(way, asked, self._share(way, visit))
        return (*planned, *others)

    def _share(self, way: Way, visit: Visit) -> float:
        """Of requests like this one that explore; what is not logged, or stays where it is, teaches nothing."""
        logged = (visit.keep or self._keep) != "nothing"
        free = way.controller and visit.explore and logged and STAYS not in way.notes
        return self._told.share if free else 0.0

    def _arms(self, way: Way, asked: Asked, share: float) -> tuple[list[Arm], list[Arm]]:
        """What was planned, and the single models in its place with what is expected of them."""
        mine = _planned(way)
        chosen = next(iter(mine))
        right, usd = dict(way.planned.right), dict(way.planned.usd)
        if share:
            cards = [self._house.pool.cards[name] for name in way.allowed]
            choices = Cards().choices(asked.query, cards)
            right = {choice.card.name: choice.right for choice in choices} | right
            usd = {choice.card.name: choice.usd for choice in choices} | usd
        others = [name for name in right if name != chosen and name in way.allowed]
        best = right.get(chosen, max(right.values(), default=0.0))
        limits = [limit for limit in (self._told.max_usd, asked.wishes.max_usd) if limit is not None]

        def paid(name: str) -> bool:
            cost = usd.get(name)
            return not limits or (cost is not None and cost <= min(limits))

        each: dict[str, float] = {}
        belief = self._beliefs.of(asked.model)
        if self._told.by == "belief" and belief is not None and chosen in belief.worth:
            least = belief.worth[chosen] - self._told.max_loss
            able = [n for n in others if belief.worth.get(n, -math.inf) >= least and paid(n)]
            every = sum(belief.best[n] for n in (chosen, *able))
            each = {name: share * belief.best[name] / every for name in able} if every else {}
        elif self._told.by == "evenly" and share:
            able = [n for n in others if best - right[n] <= self._told.max_loss and paid(n)]
            each = {name: share / len(able) for name in able}
        left = 1.0 - sum(each.values())
        planned = [Arm(name=n, probability=p * left, right=right.get(n), usd=usd.get(n)) for n, p in mine.items()]
        return planned, [Arm(name=n, probability=each.get(n, 0.0), right=right[n], usd=usd.get(n)) for n in others]


def _planned(way: Way) -> dict[str, float]:
    """The probability of what was planned, first, and of what else the controller might have drawn."""
    plan = way.planned.plan
    alone = plan.agents[0].model if plan is not None and is_alone(plan) else None
    name = alone or way.label
    if way.planned.log_prob is None:
        return {name: 1.0}
    p = min(math.exp(way.planned.log_prob), 1.0)
    return {name: p, OTHERS: 1.0 - p}
