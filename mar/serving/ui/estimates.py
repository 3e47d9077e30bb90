"""What each controller was worth beside every model alone and beside a candidate in shadow, from the gateway's own log.

It is estimated when somebody looks, in a thread, from a bounded number of requests, by one worker at a time for itself,
and shown again for a while.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from starlette.responses import Response

from mar.errors import StoreUnavailable
from mar.serving.answers import Desk
from mar.serving.rollout.sides import plans_of
from mar.serving.state import State
from mar.serving.store.traffic import lately
from mar.serving.ui.frame import Asking

if TYPE_CHECKING:  # NumPy is loaded when somebody looks
    from mar.traffic.learn.served import Beside

log = logging.getLogger(__name__)
MOST = 5_000  # requests, the latest
DAYS = 90  # that they go back at most
KEPT_S = 600.0  # for which estimates are shown
RESTS = 50  # times as long as they took, at least, until they are made anew
PATIENCE_S = 1.0  # that whoever opens the page waits for them


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Estimates by what was asked for."""

    at: float  # seconds since 1970
    beside: Mapping[str, Beside]
    failed: str = ""  # why there are none


class Estimates:
    """Makes estimates for a page. `run` has to run meanwhile."""

    def __init__(self, state: State, desk: Desk) -> None:
        self._state, self._desk = state, desk
        self._wanted, self._done = anyio.Event(), anyio.Event()
        self._found: Found | None = None
        self._again = 0.0  # when they are too old

    async def part(self, ask: Asking) -> Response:
        """This part of the page."""
        if anyio.current_time() >= self._again:
            self._wanted.set()
            with anyio.move_on_after(PATIENCE_S):
                await self._done.wait()
        return ask.page("quality_estimates.html.j2", found=self._found)

    async def run(self) -> None:
        """Make them whenever they are wanted and the last ones are too old."""
        while True:
            await self._wanted.wait()
            began = anyio.current_time()
            try:
                self._found = Found(at=time.time(), beside=await self._made())
            except StoreUnavailable as down:
                self._found = Found(at=time.time(), beside={}, failed=str(down))
            except Exception:  # an error of ours must not end the worker
                log.exception("estimates could not be made")
                self._found = Found(
                    at=time.time(), beside={}, failed="they could not be made; the gateway's log says why"
                )
            now = anyio.current_time()
            self._again = now + max(KEPT_S, RESTS * (now - began))
            done, self._done, self._wanted = self._done, anyio.Event(), anyio.Event()
            done.set()

    async def _made(self) -> Mapping[str, Beside]:
        house, shadows = self._desk.house, await self._shadows()
        rates = {name: getattr(controller, "cost_rate", None) or 0.0 for name, controller in house.controllers.items()}
        # On the connection of rollouts, where a look may take its time.
        asked = await self._state.rollouts.db.look(lambda: lately(time.time() - DAYS * 86400, MOST))

        def work() -> dict[str, Beside]:
            from mar.traffic.learn.served import Price, beside

            models = {
                card.name: None
                if card.price_in is None or card.price_out is None
                else Price(read=card.price_in, written=card.price_out)
                for card in house.pool.cards.values()
            }
            made = {
                name: beside(logged, models, cost_rate=rates[name], shadows=shadows.get(name))
                for name, logged in sorted(asked.items(), key=lambda pair: -len(pair[1]))
                if name in rates
            }
            return {name: one for name, one in made.items() if one is not None}

        return await anyio.to_thread.run_sync(work)

    async def _shadows(self) -> Mapping[str, Mapping[str, Mapping[str, str]]]:
        """What candidates planned in shadow, by what was asked for, the candidate and the episode."""
        store, found = self._state.rollouts, dict[str, dict[str, Mapping[str, str]]]()
        under_way = [rollout for rollout in await store.rollouts() if not rollout.over]
        labels = await store.labels()
        for rollout in under_way:
            name = f"{labels.get(rollout.candidate, 'candidate')}, in shadow"
            plans = await store.db.look(lambda id=rollout.id: plans_of(id, MOST))
            found.setdefault(rollout.controller, {})[name] = plans
        return found
