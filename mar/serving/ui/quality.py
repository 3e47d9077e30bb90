"""The view of quality and money: what answers were worth and cost, and what else they would."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from mar.serving.answers import Desk
from mar.serving.state import State
from mar.serving.store.summary import DAY_S
from mar.serving.ui.estimates import Estimates
from mar.serving.ui.frame import Asking, Door, View
from mar.serving.ui.keys import spending
from mar.serving.ui.money import Days, money

PERIODS = (1, 7, 30, 90, 365)  # days that can be looked at
PERIOD = 30
LINES = 5  # of a plot; the rest is one


def quality_view(state: State, desk: Desk) -> View:
    """The view of quality and money of a worker."""

    async def whole(asking: Asking) -> Response:
        chosen = asking.one("days")
        days = int(chosen) if chosen in map(str, PERIODS) else PERIOD
        guest = None if asking.who.may("observe") else asking.who.guest
        found = await money(state.sums, desk.house.pool.cards.values(), now=time.time(), days=days, guest=guest)
        keys = [key for key in await state.keys.all() if key.revoked is None and asking.who.sees(key.id)]
        return asking.page(
            "quality.html.j2",
            money=found,
            days=days,
            periods=PERIODS,
            plots=_plots(found.days) if days > 1 else [],
            spending=await spending(state, keys),
        )

    estimates = Estimates(state, desk)
    return View(
        title="Quality and money",
        path="/quality",
        doors=(
            Door(path="/quality", handler=whole),
            Door(path="/quality/estimates", handler=estimates.part, least="observe"),
        ),
        work=estimates.run,
    )


def _plots(days: Days) -> list[dict[str, Any]]:
    times = [day * DAY_S for day in days.days]
    return [
        {"title": title, "data": {"x": times, "series": _lines(series), "unit": unit, "height": 180}}
        for title, unit, series in (("Spent", "USD a day", days.usd), ("Asked", "requests a day", days.requests))
    ]


def _lines(series: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    ordered = sorted(series.items(), key=lambda pair: -sum(pair[1]))
    shown, rest = (ordered, []) if len(ordered) <= LINES + 1 else (ordered[:LINES], ordered[LINES:])
    if rest:
        shown = [*shown, (f"{len(rest)} others", [sum(values) for values in zip(*(v for _, v in rest), strict=True)])]
    return [{"name": name, "values": list(values)} for name, values in shown]
