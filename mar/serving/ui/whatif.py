"""What if: a request planned anew at other prices of money, on the spot. Nothing is run and nobody is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mar.errors import MarError
from mar.serving.admission import Visit
from mar.serving.asked import Asked
from mar.serving.errors import Refusal
from mar.serving.house import House, Way
from mar.serving.record import Entry
from mar.serving.ui.shape import Shape, shape_of
from mar.serving.wishes import Wishes
from mar.types import Query, Settle, View, Why

LADDER = (0.0, 1.0, 10.0, 100.0, 1000.0, 10_000.0)  # utility per USD
MOST_RATE = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Replanned:
    """What would be done at one price of money."""

    rate: float  # utility per USD
    label: str
    shape: Shape | None
    why: Why | None

    @property
    def first(self) -> str:
        """The first step, of what is decided step by step; "": it is a plan, or states no options."""
        return self.why.options[0].action if self.why is not None and self.why.options and not self.shape else ""

    def same(self, label: str, first: str) -> bool:
        """Whether that is what was done: its label, and its first step, by which alone policies differ here."""
        return self.label == label and self.first in ("", first)


def rate_of(text: str) -> float:
    """A price of money as somebody wrote it.

    Raises:
        Refusal: It is none.
    """
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= MOST_RATE:
        raise Refusal(f"price of money: expected a number from 0 to {MOST_RATE:g}, utility per USD")
    return rate


def usual_rate(house: House, entry: Entry) -> float | None:
    """The price of money that a request was planned at, unless it wished for another; None: it weighs none."""
    controller = house.controllers.get(entry.asked)
    return getattr(controller, "cost_rate", None)


async def replanned(house: House, entry: Entry, rate: float) -> Replanned:
    """What would be done now.

    Raises:
        Refusal: It cannot be planned anew.
    """
    if entry.asked not in house.controllers:
        raise Refusal(f"{entry.asked} was asked for by name, or is no longer there: nobody plans for it")
    if entry.query is None:
        raise Refusal("the question was not kept, so it cannot be planned anew")
    # As it came from a client, who is sent the reply as it is: controllers may plan otherwise for such a query.
    query = replace(entry.query, verbatim={})
    asked = Asked(model=entry.asked, query=query, wishes=Wishes(cost_rate=rate))
    try:
        way = await house.way(asked, Visit(guest=entry.guest))
        return Replanned(
            rate=rate,
            label=way.label,
            shape=None if way.planned.plan is None else shape_of(way.planned.plan),
            why=await _why(way, query),
        )
    except MarError as error:
        raise Refusal(f"it cannot be planned anew: {error}", status=500) from None


async def _why(way: Way, query: Query) -> Why | None:
    """Why the first move would be made."""
    policy = None if way.planned.policy is None else way.planned.policy()
    moves = None if policy is None else await policy.next(View(query=query))
    if moves is None or isinstance(moves, Settle):
        return None
    return next((move.why for move in moves if move.why is not None), None)
