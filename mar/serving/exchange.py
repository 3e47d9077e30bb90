"""One request being worked on: what was decided, asked and spent so far, and in the end what is kept of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from mar.pool.cache import apart
from mar.serving.admission import Visit
from mar.serving.answer import Answer, answer_of, cost
from mar.serving.asked import Asked
from mar.serving.errors import Refusal, cause, of_failure
from mar.serving.house import House, Way
from mar.serving.observe.tracing import Trace
from mar.serving.record import Called, Entry
from mar.serving.settings import CacheSettings
from mar.traffic.records import Arm, Keep
from mar.types import (
    ZERO_USAGE,
    AnyEvent,
    Budget,
    CallAnswered,
    CallFailed,
    Considered,
    Delta,
    DeltaHandler,
    Episode,
    EventHandler,
    StepBound,
    Usage,
)

LEFT = 499  # status of a request whose client has gone, as nginx logs it


ID_BYTES, AT_ONCE = 12, 256  # of an id, and ids whose bytes are drawn together: each draw lets go of Python's lock


def new_id() -> str:
    """An episode's id, which no other has and nobody can guess."""
    return f"ep_{next(_IDS).hex()}"


def _drawn_ids() -> Iterator[bytes]:
    while True:
        drawn = os.urandom(ID_BYTES * AT_ONCE)
        yield from (drawn[at : at + ID_BYTES] for at in range(0, len(drawn), ID_BYTES))


_IDS = _drawn_ids()  # begun in the worker that asks first: workers are started anew, not forked


class Exchange:
    """One request under way. It listens to its episode, so that what is known is known before the end."""

    def __init__(
        self,
        house: House,
        asked: Asked,
        visit: Visit,
        way: Way,
        *,
        id: str,
        began: float,
        request_usd: float | None = None,
        cache: CacheSettings | None = None,
        trace: Trace | None = None,
    ) -> None:
        self.id = id
        self.at, self.began = time.time(), began
        self.decision_s = time.perf_counter() - began
        self.house, self.asked, self.visit, self.way = house, asked, visit, way
        self.usage: Usage = ZERO_USAGE
        self.attempts = 0
        self.answered = self.cached = 0  # calls that were answered, and of these from the response cache
        self.first_s: float | None = None
        self.episode: Episode | None = None
        self._request_usd, self._cache = request_usd, cache is not None and cache.seconds > 0
        self._apart = "" if cache is None or cache.shared else visit.guest
        self._trace = trace
        self._models: dict[str, None] = {}
        self._called: list[Called] = []

    async def run(self, on_delta: DeltaHandler | None = None, on_event: EventHandler | None = None) -> Answer:
        """Have it answered.

        Raises:
            Refusal: There is no answer.
        """

        def shown(delta: Delta) -> None:
            if self.first_s is None:
                self.first_s = time.perf_counter() - self.began
            if on_delta is not None:
                on_delta(delta)

        def heard(event: AnyEvent) -> None:
            self._hear(event)
            if self._trace is not None:
                self._trace.hear(event)
            if on_event is not None:
                on_event(event)

        with apart(self._apart):
            self.episode = await self.house.service.run(
                self.asked.query,
                self.way.planned,
                budget=self._budget(),
                seed=self.asked.wishes.seed,
                purse=self.visit.purse,
                on_event=heard,
                on_delta=None if on_delta is None else shown,
            )
        answer = answer_of(
            self.episode,
            id=self.id,
            created=int(self.at),
            model=self.asked.model,
            about=self.about(),
            usage=self.usage,
        )
        if answer is None:
            raise of_failure(cause(self.episode))
        self.house.answered(self.asked, self.visit, self.way, self.models)
        return answer

    def _budget(self) -> Budget:
        wishes = self.asked.wishes
        limits = [usd for usd in (wishes.max_usd, self._request_usd) if usd is not None]
        return Budget(usd=min(limits, default=None), seconds=wishes.deadline_s)

    def _hear(self, event: AnyEvent) -> None:
        match event:
            case StepBound():
                self._models[event.model] = None
            case CallAnswered():
                self.usage += event.usage
                self._called.append(Called(model=event.model, usage=event.usage, seconds=event.latency_s))
                self.attempts += event.attempts
                self.answered += 1
                self.cached += event.cached
            case CallFailed():
                self.usage += event.usage
                self._called.append(Called(model=event.model, usage=event.usage, seconds=event.latency_s, failed=True))
                self.attempts += event.failure.attempts
            case _:
                pass

    @property
    def simulated(self) -> bool:
        """Whether nobody real is asked."""
        return self.house.pool.simulated

    @property
    def models(self) -> tuple[str, ...]:
        """The models that were asked so far, in that order."""
        return tuple(self._models)

    @property
    def from_cache(self) -> str:
        """Whether all that was answered so far came from the response cache."""
        return "hit" if self.answered and self.cached == self.answered else "miss"

    def headers(self, *, ended: bool) -> dict[str, str]:
        """What the reply's headers say; a stream's are sent before it is known what it costs."""
        found = {
            "x-mar-episode": self.id,
            "x-mar-plan": self.way.label,
            "x-mar-models": ",".join(self.models),
            "x-mar-attempts": str(self.attempts if ended else self.attempts + 1),
        }
        if ended:
            found["x-mar-cost-usd"] = cost(self.usage.cost_usd)
        if self._cache:
            found["x-mar-cache"] = self.from_cache
        if self.way.explored:
            found["x-mar-explored"] = "true"
        if self.simulated:
            found["x-mar-simulated"] = "true"
        return found

    def about(self) -> Mapping[str, Any]:
        """The `mar` object of the reply's body."""
        about: dict[str, Any] = {
            "episode": self.id,
            "plan": self.way.label,
            "models": self.models,
            "attempts": self.attempts,
            "cost_usd": self.usage.cost_usd,
            "simulated": self.simulated,
        }
        if self._cache:
            about["cache"] = self.from_cache
        if self.asked.wishes.explain:
            plan = self.way.planned.plan
            about["controller"] = self.way.controller
            about["intent"] = None if plan is None else plan.to_json()
            about["why"] = {**self.way.notes, **self._reasons()}
        return about

    def _reasons(self) -> dict[str, Any]:
        events = () if self.episode is None else self.episode.events
        said = [event.why.because for event in events if isinstance(event, Considered) and event.why.because]
        return {"considered": said} if said else {}

    def entry(self, status: int, reason: str = "", *, keep: Keep, arms: tuple[Arm, ...] = ()) -> Entry:
        """What became of it, with no more than may be kept or is needed to tell what may."""
        self.visit.usage = self.usage
        return Entry(
            id=self.id,
            at=self.at,
            guest=self.visit.guest,
            asked=self.asked.model,
            keep=keep,
            query=None if keep == "nothing" else self.asked.query,
            followed=self.asked.followed,
            controller=self.way.controller,
            version=self.way.version,
            plan=self.way.planned.plan,
            label=self.way.label,
            arms=arms,
            explored=self.way.explored,
            why=self.way.notes,
            status=status,
            reason=reason,
            usage=self.usage,
            models=self.models,
            attempts=self.attempts,
            cached=self.cached,
            called=tuple(self._called),
            decision_s=self.decision_s,
            seconds=time.perf_counter() - self.began,
            first_s=self.first_s,
            deadline_s=self.asked.wishes.deadline_s,
            episode=None if keep == "nothing" else self.episode,
        )


def timed_out(seconds: float) -> Refusal:
    """What is said when an answer takes too long."""
    return Refusal(f"no answer within {seconds:g} s", status=504, code="timeout")
