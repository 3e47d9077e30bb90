"""What a worker believes of the models, renewed from the log, for exploring by belief.

Each worker works it out by itself; they need not agree, since with every request lie the probabilities that it was
drawn with. What is learned of one name that clients ask for says nothing of another: prices of money differ.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from mar.controllers.cards import qualities
from mar.errors import StoreUnavailable
from mar.serving.house import House
from mar.serving.store.database import Database
from mar.serving.store.traffic import lately

if TYPE_CHECKING:  # NumPy, of a worker that does not explore by belief
    from mar.traffic.beliefs import Belief

log = logging.getLogger(__name__)
EVERY_S = 30.0  # between looks at the log
SINCE_S = 30 * 86400.0  # what came before says nothing of today's models
MOST = 5_000  # requests that are looked at, the latest


class Beliefs:
    """Of the models of a pool, by the name that clients ask for."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._known: dict[str, Belief] = {}

    def of(self, asked: str) -> Belief | None:
        """What is believed; None: nothing is known yet."""
        return self._known.get(asked)

    async def run(self, db: Database) -> None:
        """Look again and again, until it is called off."""
        while True:
            try:
                await self.look(db)
            except StoreUnavailable as down:
                log.warning("%s", down)
            await anyio.sleep(EVERY_S)

    async def look(self, db: Database) -> None:
        """Renew what is believed."""
        from mar.traffic.beliefs import believe

        found = await db.look(lambda: lately(time.time() - SINCE_S, MOST))
        stated = qualities(list(self._house.pool.cards.values()), None, dict.fromkeys(self._house.pool.names))
        for asked, requests in found.items():
            rate = float(getattr(self._house.controllers.get(asked), "cost_rate", 0.0) or 0.0)
            belief = await anyio.to_thread.run_sync(believe, requests, stated, rate)
            if belief is not None:
                self._known[asked] = belief
