"""The view of one request: what was asked and said, who called whom when, what it cost, and why it was done so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from starlette.responses import Response

from mar.evaluation.report.conversation import converse
from mar.evaluation.report.graph import draw
from mar.serving.answers import Desk
from mar.serving.errors import Refusal
from mar.serving.lines import mean_rating
from mar.serving.record import Entry, Feedback, Record
from mar.serving.state import State
from mar.serving.ui.frame import Asking, Door
from mar.serving.ui.shape import shape_of
from mar.serving.ui.whatif import LADDER, rate_of, replanned, usual_rate
from mar.types import CallAnswered, CallFailed, Considered, Episode, Option, ToolCalled, Why

MOST_TEXT = 20_000  # characters of a text that are shown
MOST_BARS = 200
ALTERNATIVES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Something that took time."""

    who: str
    what: str  # a model, or a tool
    kind: str  # "plan", "call", "bad", "tool"
    begin_s: float  # after the request came
    seconds: float
    first_s: float | None = None  # to the first piece, after it began
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: float | None = None
    priced: bool = True  # whether it is a call, which costs something
    tries: int = 1
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """All that took time, in the order in which it began."""

    bars: tuple[Bar, ...]
    seconds: float  # of the whole
    left_out: int

    def along(self, seconds: float) -> float:
        """A time's place from 0 to 1000."""
        return round(1000 * min(1.0, seconds / self.seconds), 1) if self.seconds > 0 else 0.0


class Episodes:
    """Shows requests.

    Args:
        record: What is kept of them.
        state: Where keys have their names; None: there are none.
        desk: Plans anew, on the spot.
        on_feedback: Is told of ratings.
    """

    def __init__(
        self, record: Record, state: State | None, desk: Desk, on_feedback: Callable[[Entry, float], None]
    ) -> None:
        self._record, self._state, self._desk, self._on_feedback = record, state, desk, on_feedback

    @property
    def doors(self) -> tuple[Door, ...]:
        """Where requests are shown."""
        return (
            Door(path="/episodes/{id}", handler=self.page),
            Door(path="/episodes/{id}/whatif", handler=self.whatif),
            Door(path="/episodes/{id}/rate", handler=self.rate, method="POST"),
        )

    async def page(self, ask: Asking) -> Response:
        """The whole view."""
        entry = await self._found(ask)
        conversation = None if entry.episode is None else converse(entry.episode)
        names = None if self._state is None else self._state.key_names
        why = _why(entry)
        return ask.page(
            "episode.html.j2",
            entry=entry,
            key=entry.guest if names is None else names.get(entry.guest, entry.guest),
            shape=None if entry.plan is None else shape_of(entry.plan),
            conversation=conversation,
            graph=None if conversation is None or not conversation.utterances else draw(conversation),
            waterfall=waterfall(entry),
            why=why,
            options=() if why is None else why.options[: 1 + ALTERNATIVES],
            rating=mean_rating(entry.outcomes),
            rate=usual_rate(self._desk.house, entry),
            most=MOST_TEXT,
        )

    async def whatif(self, ask: Asking) -> Response:
        """What would be done at another price of money."""
        entry, house = await self._found(ask), self._desk.house
        try:
            chosen = await replanned(house, entry, rate_of(ask.one("rate")))
            ladder = [await replanned(house, entry, rate) for rate in LADDER]
        except Refusal as refusal:
            return ask.page("refusal.part.html.j2", refusal=refusal)
        why = _why(entry)
        done = why.options[0].action if why is not None and why.options else ""
        return ask.page("whatif.html.j2", chosen=chosen, ladder=ladder, before=entry.label, done=done)

    async def rate(self, ask: Asking) -> Response:
        """Keep what somebody says of the answer."""
        entry = await self._found(ask)
        if entry.guest != ask.who.guest:
            raise Refusal("an answer is rated with the key that asked", status=403, code="other_key")
        rating = {"up": 1.0, "down": 0.0}.get(ask.one("thumb"))
        if rating is None:
            raise Refusal('thumb: expected "up" or "down"')
        rated = await self._record.rate(Feedback(episode=entry.id, rating=rating))
        self._on_feedback(entry, rating)
        return ask.page("rating.html.j2", entry=entry, rating=None if rated is None else mean_rating(rated.outcomes))

    async def _found(self, ask: Asking) -> Entry:
        """A request, if it may be seen.

        Raises:
            Refusal: There is none that may.
        """
        entry = await self._record.find(ask.request.path_params["id"])
        if entry is None or not ask.who.sees(entry.guest):
            raise Refusal("there is no such episode, or it is no longer kept", status=404, code="episode_not_found")
        return entry


def waterfall(entry: Entry) -> Waterfall:
    """What took time in a request: planning, calls and tools."""
    plan = Bar(who="", what=entry.controller, kind="plan", begin_s=0.0, seconds=entry.decision_s, priced=False)
    bars = [plan] if entry.controller else []
    if entry.episode is not None:
        bars += sorted(_bars(entry.episode, entry.decision_s), key=lambda bar: bar.begin_s)
    longest = max([entry.seconds, *(bar.begin_s + bar.seconds for bar in bars)])
    return Waterfall(bars=tuple(bars[:MOST_BARS]), seconds=longest, left_out=max(0, len(bars) - MOST_BARS))


def _bars(episode: Episode, offset_s: float) -> Iterator[Bar]:
    lanes = episode.lanes
    for event in episode.events:
        match event:
            case CallAnswered():
                used = event.usage
                yield Bar(
                    who=lanes[event.index],
                    what=event.model,
                    kind="call",
                    begin_s=max(0.0, offset_s + event.t - event.latency_s),
                    seconds=event.latency_s,
                    first_s=event.ttft_s,
                    prompt_tokens=used.prompt_tokens,
                    completion_tokens=used.completion_tokens,
                    cost_usd=used.cost_usd,
                    tries=event.attempts,
                    note="from the cache" if event.cached else event.cut.lstrip(", "),
                )
            case CallFailed():
                yield Bar(
                    who=lanes[event.index],
                    what=event.model,
                    kind="bad",
                    begin_s=max(0.0, offset_s + event.t - event.latency_s),
                    seconds=event.latency_s,
                    prompt_tokens=event.usage.prompt_tokens,
                    completion_tokens=event.usage.completion_tokens,
                    cost_usd=event.usage.cost_usd,
                    tries=event.failure.attempts,
                    note=f"failed: {event.failure.kind}",
                )
            case ToolCalled():
                yield Bar(
                    who=lanes[event.index],
                    what=event.tool,
                    kind="tool" if event.ok else "bad",
                    begin_s=max(0.0, offset_s + event.t - event.seconds),
                    seconds=event.seconds,
                    priced=False,
                    note="" if event.ok else "failed",
                )
            case _:
                pass


def _why(entry: Entry) -> Why | None:
    """What was expected of what was done, and of what could have been done instead."""
    events = () if entry.episode is None else entry.episode.events
    told = next((event.why for event in events if isinstance(event, Considered) and event.why.options), None)
    if told is not None or not entry.arms:
        return told
    options = (Option(action=arm.name, right=arm.right, usd=arm.usd, seconds=arm.seconds) for arm in entry.arms)
    return Why(options=tuple(options))
