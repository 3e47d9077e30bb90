"""The view of the pool: how every server stands and did, and taking models out and in again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from starlette.responses import RedirectResponse, Response

from mar.serving.answers import Desk
from mar.serving.bodies import told
from mar.serving.errors import Refusal
from mar.serving.state import State
from mar.serving.store.summary import MINUTE_S
from mar.serving.ui.frame import Asking, Door, View
from mar.serving.ui.servers import Server, servers, thinned

SPANS = (60, 360, 1440)  # minutes that can be looked at
MOST_POINTS = 360  # of a plot's line


def pool_view(state: State, desk: Desk) -> View:
    """The view of the pool of a worker."""
    doors = _Doors(state, desk)
    return View(
        title="Pool",
        path="/pool",
        least="observe",
        doors=(
            Door(path="/pool", handler=doors.whole),
            Door(path="/pool/servers", handler=doors.servers),
            Door(path="/pool/plots", handler=doors.plots),
            Door(path="/pool/out", handler=doors.change, method="POST", least="admin"),
        ),
    )


class _Doors:
    def __init__(self, state: State, desk: Desk) -> None:
        self._state, self._house = state, desk.house

    async def whole(self, asking: Asking) -> Response:
        """The page."""
        return asking.page("pool.html.j2", **await self._found(asking))

    async def servers(self, asking: Asking) -> Response:
        """The table of servers, as it is now."""
        return asking.page("pool.servers.html.j2", **await self._found(asking))

    async def plots(self, asking: Asking) -> Response:
        """How they did over the last while."""
        return asking.page("pool.plots.html.j2", **await self._found(asking))

    async def change(self, asking: Asking) -> Response:
        """Take a model out, or in again."""
        model, standings = asking.one("model"), self._state.standings
        if model not in self._house.pool.cards:
            raise Refusal(f"there is no model {told(model)!r} in this pool", status=404, code="model_not_found")
        if asking.one("to") == "out":
            await standings.take_out(model, asking.who.guest)
        else:
            await standings.take_in(model)
        if asking.part:
            return await self.servers(asking)
        return RedirectResponse("/ui/pool", 303)

    async def _found(self, asking: Asking) -> dict[str, Any]:
        chosen = asking.one("span")
        span = int(chosen) if chosen in map(str, SPANS) else SPANS[0]
        now = time.time()
        since = now - span * MINUTE_S
        cards = self._house.pool.cards.values()
        standing = await self._state.standings.read(since)
        out = await self._state.standings.out()
        calls = await self._state.sums.calls(since, every_s=MINUTE_S)
        found = servers(cards, standing, calls, out, now=now, span=span)
        return {"servers": found, "span": span, "spans": SPANS, "plots": _plots(found, now, span), "now": now}


def _plots(found: Sequence[Server], now: float, span: int) -> list[dict[str, Any]]:
    """What is drawn: a line for each model that was called."""
    every = -(-span // MOST_POINTS)
    begin = int(now // MINUTE_S) - span + 1
    times = [(begin + i) * MINUTE_S for i in range(0, span, every)]

    busy = [one for one in found if one.calls] or found[:1]

    def plot(title: str, unit: str, of: Callable[[Server], Sequence[float | None]]) -> dict[str, Any]:
        series = [{"name": one.model, "values": thinned(of(one), every)} for one in busy]
        return {"title": title, "data": {"x": times, "series": series, "unit": unit, "height": 170}}

    return [
        plot("Tokens", "tokens/s", lambda one: one.tokens_s),
        plot("Queue", "requests waiting", lambda one: one.queue),
        plot("Errors", "% of calls", lambda one: [None if e is None else 100 * e for e in one.errors]),
        plot("Spend", "USD/min", lambda one: one.usd),
    ]
