"""Controllers as applications use them: where one knows nothing, it says so, and the cards decide in its place.

A learned controller is right about what it learned on: a pool's models, questions of some kinds, prices that are known.
`plan_carefully` asks it for its doubts about each query; a query that it doubts is answered by the controller by cards,
which says why. Plans of several agents end as is best for who asks and not as was published: what more than half of the
agents say is the answer, and a decider is the best of the agents' models. Experiments compare controllers as they are,
and call `plan` itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeGuard

from mar.controllers.base import Controller, Planned, PlanSpace
from mar.controllers.cards import COST_RATE, Cards, domain_of, qualities
from mar.controllers.stated import stated_percents
from mar.pool.cards import ModelCard
from mar.types import Plan, Query

FALLBACK = "fallback"  # the note that says why the cards decide


class Doubts(Controller, Protocol):
    """A controller that knows where it knows nothing."""

    as_published: bool  # whether it is compared with a publication, so that its plans are carried out as they are

    def doubts(self, queries: Sequence[Query], space: PlanSpace) -> list[str]:
        """Why it should not decide about each query, in a few words; "" where it may."""
        ...


def plan_carefully(controller: Controller, queries: Sequence[Query], space: PlanSpace) -> list[Planned]:
    """How each query is worked on: as the controller decides, or by cards where it doubts."""
    if not _doubts(controller):
        return controller.plan(queries, space)
    doubts = controller.doubts(queries, space)
    sure = [i for i, doubt in enumerate(doubts) if not doubt]
    planned: Mapping[int, Planned] = dict(
        zip(sure, controller.plan([queries[i] for i in sure], space) if sure else [], strict=True)
    )
    by_card = Cards(cost_rate=getattr(controller, "cost_rate", COST_RATE))
    found: list[Planned] = []
    for i, (query, doubt) in enumerate(zip(queries, doubts, strict=True)):
        if doubt:
            why = f"{controller.name} does not decide: {doubt}"
            decided = by_card.planned(query, space, because=why)
            found.append(replace(decided, notes={**decided.notes, FALLBACK: why}))
        else:
            own = planned[i]
            changed = own.plan is None or own.policy is not None or controller.as_published
            found.append(own if changed else replace(own, plan=_well_ended(own.intent, query, space)))
    return found


def _doubts(controller: Controller) -> TypeGuard[Doubts]:
    """Whether it knows where it knows nothing. Every request passes here, and a check of the protocol is slow."""
    return hasattr(controller, "doubts")


def pool_doubt(cards: Sequence[ModelCard], known: Collection[str], *, priced: bool) -> str:
    """Why a controller that learned about some models knows too little of a pool; "" where it does not.

    Args:
        cards: Of the pool.
        known: Names of the models that it learned about. Of others it knows the scores that their cards state.
        priced: Whether it weighs money, so that models without a price are none for it.
    """
    strange = [c.name for c in cards if c.name not in known and not stated_percents(c, None)]
    if 2 * len(strange) > len(cards):
        return f"it never met {_some(strange)}, and the cards state no benchmark"
    unpriced = [c.name for c in cards if priced and not c.has_price]
    return f"the price of {_some(unpriced)} is not known" if 2 * len(unpriced) > len(cards) else ""


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _well_ended(plan: Plan, query: Query, space: PlanSpace) -> Plan:
    """The same with a majority that needs no decider, and else the best of the agents' models as one."""
    if plan.decision != "final" or len(plan.agents) == 1 or plan.decider is not None:
        return plan
    right = qualities(space.cards, domain_of(query) or plan.domain, {c.name: None for c in space.cards})
    models = [a.model for a in plan.agents if a.model is not None]
    return replace(plan, decision="agreed", decider=max(models, key=lambda m: right.get(m, 0.0), default=None))
