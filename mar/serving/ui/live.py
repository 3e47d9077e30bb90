"""The view of requests as they come in, the latest first; of all there are, by filters and page by page."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from markupsafe import Markup
from starlette.responses import Response

from mar.runtime import MODES
from mar.serving.answers import Desk
from mar.serving.errors import Refusal
from mar.serving.lines import Came, Line, Part, Place, Sieve
from mar.serving.record import DIRECT, Record
from mar.serving.state import State
from mar.serving.ui.frame import Asking, Door, View
from mar.serving.ui.latest import MOST, MOST_LISTS, Latest
from mar.serving.ui.paper import write
from mar.serving.ui.shape import Shape, shape_of

STEPS = "steps"  # how an address calls what is decided step by step
PAUSE_MS = 400  # between polls of a page that is open
FILTERS = ("key", "model", "mode", "came", "person", "text")
CAME: Mapping[Came, str] = {
    "answered": "answered",
    "failed": "failed",
    "left": "client left",
    "late": "too late",
    "liked": "rated well",
    "disliked": "rated badly",
    "explored": "explored",
}


def live_view(record: Record, state: State | None, desk: Desk, newest: Latest, *more: Door) -> View:
    """The view.

    Args:
        record: What is kept of requests.
        state: Where keys have their names; None: there are none.
        desk: Knows what can be asked for.
        newest: Has what is shown of the latest.
        more: Doors that lead on from here.
    """
    live = Live(record, state, desk, newest)
    doors = (Door(path="/live", handler=live.page), Door(path="/live/rows", handler=live.rows), *more)
    return View(title="Live", path="/live", doors=doors, work=newest.run)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A request with what is drawn of it."""

    line: Line
    key: str  # the name of its key
    shape: Shape | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Rows as HTML."""

    part: Part
    names: Mapping[str, str]  # of keys
    html: Markup
    seen: str  # another one whenever another thing is shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A page of requests."""

    written: Written
    again: str  # where to ask for news
    filtered: bool  # whether not all are to be seen
    older: str  # where the list goes on; "": nowhere
    back_to: float | None  # how far it was looked back, seconds since 1970; None: the page is full, or all was seen


class Live:
    """Lists requests."""

    def __init__(self, record: Record, state: State | None, desk: Desk, newest: Latest) -> None:
        self._record, self._state, self._desk, self._newest = record, state, desk, newest
        self._written: OrderedDict[Sieve, Written] = OrderedDict()  # once for all who see the same

    async def page(self, ask: Asking) -> Response:
        """The whole view."""
        chosen = {name: ask.one(name) for name in FILTERS}
        return ask.page(
            "live.html.j2",
            table=await self._table(ask),
            chosen=chosen,
            keys=self._names(ask),
            models=self._desk.house.pool.names,
            modes={DIRECT: DIRECT, STEPS: "step by step", **{name: name for name in MODES.names()}},
            outcomes=CAME,
            latest=not ask.one("before"),
            pause_ms=PAUSE_MS,
        )

    async def rows(self, ask: Asking) -> Response:
        """The rows alone, for a page that is open; nothing where it shows them already."""
        table = await self._table(ask)
        if table.written.seen == ask.one("seen"):
            return Response(status_code=204)
        return ask.page("live_body.html.j2", table=table, latest=True, pause_ms=PAUSE_MS)

    def _names(self, ask: Asking) -> Mapping[str, str]:
        """Of keys by id, as far as they may be seen."""
        if self._state is None:
            return {}
        names = self._state.key_names
        return {id: name for id, name in names.items() if ask.who.sees(id)}

    async def _table(self, ask: Asking) -> Table:
        sieve, before, names = _sieve(ask), _before(ask), self._names(ask)
        filters = {name: value for name in FILTERS if (value := ask.one(name))}
        if before is None:
            part = await self._newest.of(sieve)
            written = self._shown(sieve, part, names, filtered=bool(filters))
        else:
            part = await self._record.latest(sieve, before=before, most=MOST)
            written = _written(part, names, filtered=bool(filters), latest=False)
        on = part.on
        last = {} if on is None else {"before": f"{on.at!r} {on.id}"}
        return Table(
            written=written,
            again=f"/ui/live/rows?{urlencode({**filters, 'seen': written.seen})}",
            filtered=bool(filters),
            older=f"/ui/live?{urlencode({**filters, **last})}" if last else "",
            back_to=None if on is None or len(part.lines) == MOST else on.at,
        )

    def _shown(self, sieve: Sieve, part: Part, names: Mapping[str, str], *, filtered: bool) -> Written:
        known = self._written.get(sieve)
        if known is not None and known.part is part and known.names == names:
            return known
        written = self._written[sieve] = _written(part, names, filtered=filtered, latest=True)
        if len(self._written) > MOST_LISTS:
            self._written.popitem(last=False)
        return written


def _written(part: Part, names: Mapping[str, str], *, filtered: bool, latest: bool) -> Written:
    rows = [
        Row(
            line=line,
            key=names.get(line.guest, line.guest),
            shape=None if line.plan is None else shape_of(line.plan),
        )
        for line in part.lines
    ]
    values = {"rows": rows, "filtered": filtered, "latest": latest, "older": part.on is not None}
    html = write("live_rows.html.j2", values)
    seen = hashlib.blake2b(html.encode(errors="replace"), digest_size=12).hexdigest()
    return Written(part=part, names=names, html=Markup(html), seen=seen)


def _sieve(ask: Asking) -> Sieve:
    """What is to be seen; whoever only uses the gateway sees nobody else's.

    Raises:
        Refusal: There is no such outcome.
    """
    key, mode, name = ask.one("key"), ask.one("mode"), ask.one("came")
    came: Came | None = next((one for one in CAME if one == name), None)
    if name and came is None:
        raise Refusal(f"came: expected one of {', '.join(CAME)}")
    everybody = None if ask.who.may("observe") else ask.who.guest
    return Sieve(
        guest=key or None if everybody is None else everybody,
        model=ask.one("model"),
        mode="" if mode == STEPS else mode or None,
        came=came,
        person=ask.one("person"),
        text=ask.one("text")[:200],
    )


def _before(ask: Asking) -> Place | None:
    """Where the page goes on.

    Raises:
        Refusal: That is no place.
    """
    if not ask.one("before"):
        return None
    at, _, id = ask.one("before").partition(" ")
    found = _number(at)
    if found is None or not id:
        raise Refusal("before: expected a time and an id, as links on the page have it")
    return Place(at=found, id=id)


def _number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None
