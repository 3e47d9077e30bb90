"""A candidate in shadow: it plans a share of requests once they are answered, and a part of its plans is carried out.

Nothing of it is on the path of a request: it begins when the answer has ended, has a limiter and a budget in USD a day
of its own that holds over all workers, and is called off when the worker ends. Whatever goes wrong is a row that says
so. What a request's key and wishes forbid is forbidden here, too, and keys that let nothing be logged are left out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import anyio

from mar.concurrency import task_group
from mar.errors import MarError, StoreUnavailable
from mar.runtime import Purse, Purses
from mar.serving.errors import Refusal
from mar.serving.exchange import Exchange
from mar.serving.forgetting import Deleted, sift
from mar.serving.house import House
from mar.serving.record import Entry
from mar.serving.rollout.referee import UNCOMPARED, Compared, Referee
from mar.serving.rollout.store import RolloutStore
from mar.serving.staff import Serving, Trial, share_of
from mar.serving.store.database import Steps, Tell
from mar.serving.store.rows import storable
from mar.traffic.rollout import Rules
from mar.types import Budget

log = logging.getLogger(__name__)
AT_ONCE = 2  # plans that a worker carries out at once
MOST_WAITING = 100  # requests that wait to be planned; further ones are left out, and counted
LONGEST_S = 120.0  # that a plan may take


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadowed:
    """What came of one request in shadow."""

    state: str  # planned, carried out, failed, skipped
    reason: str = ""
    label: str = ""  # of the plan, in a few words
    usd: float | None = None
    seconds: float | None = None
    compared: Compared = UNCOMPARED  # with what was answered


class Shadows:
    """Plans requests beside whoever answered them. `run` has to run meanwhile.

    Args:
        house: The models and who plans.
        store: Where what came of it is kept.
        rules: How much of it there is.
        purse: What is carried out is paid from.
        referee: Compares what was carried out with what was answered.
        on_state: Is told what became of each request.
        on_verdict: Is told what was said of each answer, or why nothing was.
    """

    def __init__(
        self,
        house: House,
        store: RolloutStore,
        rules: Rules,
        purse: Purse,
        referee: Referee,
        *,
        on_state: Callable[[str], None],
        on_verdict: Callable[[str], None],
    ) -> None:
        self._house, self._store, self._rules, self._purse = house, store, rules, purse
        self._referee, self._on_state, self._on_verdict = referee, on_state, on_verdict
        self._send, self._receive = anyio.create_memory_object_stream[tuple[Exchange, Entry, Trial]](MOST_WAITING)
        self._busy = 0  # plans that are carried out

    def add(self, exchange: Exchange, entry: Entry) -> None:
        """Take note of a request that has ended, where a candidate is in shadow and it is drawn."""
        trial = self._house.staff.trials.get(entry.asked)
        answered = entry.status == 200 or entry.status >= 500
        if trial is None or trial.share > 0 or entry.keep == "nothing" or not answered:
            return
        if share_of(f"{trial.salt}/{entry.id}") < self._rules.shadow:
            try:
                self._send.send_nowait((exchange, entry, trial))
            except anyio.WouldBlock:
                self._on_state("skipped")

    def drop(self, gone: Deleted) -> None:
        """See `Holds`."""
        sift(self._send, self._receive, lambda waiting: not gone.covers(waiting[1]))

    async def run(self) -> None:
        """Plan what is added, until it is called off."""
        async with task_group() as tasks:
            async for exchange, entry, trial in self._receive:
                # One that explored is planned, for estimates; its answer is none that the candidate would replace.
                carried = not entry.explored and share_of(f"{entry.id}/{trial.salt}") < self._rules.shadow_run
                if not carried or self._busy >= AT_ONCE:
                    await self._one(exchange, entry, trial, "others were being carried out" if carried else None)
                else:
                    self._busy += 1
                    tasks.start_soon(self._carried, exchange, entry, trial)

    async def _carried(self, exchange: Exchange, entry: Entry, trial: Trial) -> None:
        try:
            await self._one(exchange, entry, trial, "")
        finally:
            self._busy -= 1

    async def _one(self, exchange: Exchange, entry: Entry, trial: Trial, skip: str | None) -> None:
        """Plan a request, and carry the plan out where `skip` is "": else it says why not, None: it was not drawn."""
        try:
            found = await self._planned(exchange, entry, trial.candidate, carry=skip == "")
        except Exception as error:  # a candidate's fault must not end the worker, nor be silent
            log.warning("%s in shadow: %s", trial.candidate.version, error)
            found = Shadowed(state="failed", reason=f"{type(error).__name__}: {error}"[:500])
        if skip:
            found = replace(found, reason=found.reason or skip)
        self._on_state(found.state)
        try:
            await self._store.db.do(lambda: _written(entry, trial, found, self._store.db.now))
        except StoreUnavailable as down:
            log.warning("%s", down)

    async def _planned(self, exchange: Exchange, entry: Entry, candidate: Serving, *, carry: bool) -> Shadowed:
        house, asked = self._house, exchange.asked
        try:
            way = await house.planned(asked, house.allowed(asked, exchange.visit), candidate)
        except (MarError, Refusal) as error:
            return Shadowed(state="failed", reason=f"it cannot plan: {error}")
        if not carry:
            return Shadowed(state="planned", label=way.label)
        began = time.perf_counter()
        budget, episode = Budget(seconds=LONGEST_S), None
        with anyio.move_on_after(LONGEST_S + 10):
            episode = await house.service.run(
                asked.query, way.planned, budget=budget, seed=asked.wishes.seed, purse=self._purse
            )
        seconds = time.perf_counter() - began
        if episode is None:
            return Shadowed(state="failed", reason=f"nothing within {LONGEST_S:g} s", label=way.label)
        if not episode.text:
            failure = next(iter(episode.failures), None)
            reason = "no answer" if failure is None else f"{failure.kind}: {failure.reason}"
            state = "skipped" if failure is not None and failure.kind == "limit" else "failed"
            return Shadowed(state=state, reason=reason[:500], label=way.label, usd=episode.cost_usd, seconds=seconds)
        done = Shadowed(state="carried out", label=way.label, usd=episode.cost_usd, seconds=seconds)
        served = "" if exchange.episode is None else exchange.episode.text or ""
        if entry.status != 200 or not served:
            return replace(done, reason="nothing was answered that it could be compared with")
        compared = await self._referee.compare(
            asked.query.text,
            served,
            episode.text,
            keep=entry.keep,
            may=house.allowed(asked, exchange.visit),
            purse=Purses(house.service.ledger, self._purse),
        )
        self._on_verdict(compared.word)
        return replace(done, reason=compared.reason, compared=compared)


def _written(entry: Entry, trial: Trial, found: Shadowed, now: str) -> Steps[None]:
    said = (found.usd, found.seconds, found.compared.value, found.compared.by)
    served = (int(entry.status != 200), entry.usage.cost_usd, entry.seconds)
    row = (entry.id, trial.salt, found.state, storable(found.reason), found.label, *served, *said)
    sql = f"INSERT INTO mar_shadows VALUES (?, ?, {now}, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
    yield Tell(sql, [row])
