"""Rated questions are put to the other models as well, in shadow: what they say tells what they are worth.

A rating is of one model's answer. Once there is one, every other model that might have answered is asked the same, from
a budget in USD a day that holds over all workers; what each says is kept as a hash that is equal for answers that say
the same (`mar.traffic.acting`), with its cost. No client sees any of it, and nothing waits for it. What was asked is
remembered by the worker that answered, in memory and for an hour at most; whoever hears of the rating, the store says.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import anyio

from mar.concurrency import task_group
from mar.errors import MarError, StoreUnavailable
from mar.runtime import Purse
from mar.serving.errors import Refusal
from mar.serving.exchange import Exchange
from mar.serving.forgetting import Deleted
from mar.serving.house import House
from mar.serving.record import Entry
from mar.traffic.acting import sayings_of
from mar.traffic.records import Other
from mar.types import Budget

log = logging.getLogger(__name__)
EVERY_S = 1.0  # between looks for ratings
MOST = 1_000  # requests that are remembered, the latest
REMEMBERED_S = 3600.0
AT_ONCE = 2  # models that a worker asks at once
LONGEST_S = 120.0  # that one may take
OTHERS = "others"  # under which limits know what they spend
UNPAID = "the budget is spent"


class Ratings(Protocol):
    """Knows what is rated, and keeps what others say."""

    async def rated(self, ids: Sequence[str]) -> set[str]:
        """Which of these requests are written down and rated."""
        ...

    async def hear(self, episode: str, others: Sequence[Other]) -> None:
        """Keep what models say about a question, of a request that is still kept."""
        ...


class Others:
    """Asks the others. `run` has to run meanwhile.

    Args:
        house: The models.
        on_state: Is told what came of each model that was asked.
    """

    def __init__(self, house: House, on_state: Callable[[str], None]) -> None:
        self._house, self._on_state = house, on_state
        self._known: OrderedDict[str, tuple[Exchange, Entry]] = OrderedDict()

    def add(self, exchange: Exchange, entry: Entry) -> None:
        """Remember a request that one model answered, if others may be asked in its place."""
        arm = entry.arms[0].name if entry.arms else ""
        by_one = entry.status == 200 and bool(entry.controller) and entry.models == (arm,)
        free = entry.keep != "nothing" and exchange.visit.explore and not exchange.asked.needs
        if by_one and free and exchange.episode is not None and exchange.episode.text:
            self._known[entry.id] = exchange, entry
            if len(self._known) > MOST:
                self._known.popitem(last=False)

    def drop(self, gone: Deleted) -> None:
        """See `Holds`."""
        for id in [id for id, (_, entry) in self._known.items() if gone.covers(entry)]:
            del self._known[id]

    async def run(self, ratings: Ratings, purse: Purse) -> None:
        """Look for ratings and ask, until it is called off.

        Args:
            ratings: Knows of them.
            purse: What is asked is paid from.
        """
        while True:
            await anyio.sleep(EVERY_S)
            old = time.time() - REMEMBERED_S
            while self._known and next(iter(self._known.values()))[1].at < old:
                self._known.popitem(last=False)
            try:
                for id in await ratings.rated(list(self._known)):
                    if (known := self._known.pop(id, None)) is not None:
                        await ratings.hear(id, await self._asked(*known, purse))
            except StoreUnavailable as down:
                log.warning("%s", down)

    async def _asked(self, exchange: Exchange, entry: Entry, purse: Purse) -> list[Other]:
        """What everybody says, the served model first."""
        served, text = entry.models[0], "" if exchange.episode is None else exchange.episode.text or ""
        found = [Other(model=served, said=text, usd=entry.usage.cost_usd, seconds=entry.seconds)]
        try:
            names = [name for name in self._house.allowed(exchange.asked, exchange.visit) if name != served]
        except Refusal:  # models were taken out since
            names = []
        limiter = anyio.CapacityLimiter(AT_ONCE)

        async def ask(name: str) -> None:
            async with limiter:
                if any(other.reason == UNPAID for other in found):
                    return  # without everybody's answer the question teaches little
                other = await self._one(exchange, name, purse)
                found.append(other)
                self._on_state("answered" if other.said else "unpaid" if other.reason == UNPAID else "failed")

        async with task_group() as tasks:
            for name in names:
                tasks.start_soon(ask, name)
        answered = [other for other in found if other.said]
        sayings = await sayings_of([other.said for other in answered], self._house.service.sandbox)
        compared = [replace(o, said=s.what, single=s.single) for o, s in zip(answered, sayings, strict=True)]
        return [*compared, *(other for other in found if not other.said)]

    async def _one(self, exchange: Exchange, name: str, purse: Purse) -> Other:
        """What one model answers, in its words; a failure is its reason."""
        house, asked = self._house, exchange.asked
        began, episode = time.perf_counter(), None
        try:
            with anyio.move_on_after(LONGEST_S):
                episode = await house.service.run(
                    asked.query,
                    house.one(exchange.way, name),
                    budget=Budget(usd=asked.wishes.max_usd, seconds=LONGEST_S),
                    seed=asked.wishes.seed,
                    purse=purse,
                )
        except MarError as error:
            return Other(model=name, said="", reason=f"{type(error).__name__}: {error}"[:500])
        seconds = time.perf_counter() - began
        if episode is None:
            return Other(model=name, said="", seconds=seconds, reason=f"nothing within {LONGEST_S:g} s")
        if not episode.text:
            failure = next(iter(episode.failures), None)
            unpaid = failure is not None and failure.kind == "limit"
            reason = "no answer" if failure is None else f"{failure.kind}: {failure.reason}"
            reason = UNPAID if unpaid else reason[:500]
            return Other(model=name, said="", usd=episode.cost_usd, seconds=seconds, reason=reason)
        return Other(model=name, said=episode.text, usd=episode.cost_usd, seconds=seconds)
