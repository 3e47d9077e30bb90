"""What the page says of a pool's servers: how they stand, and how they did over the last while."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from mar.pool.cards import ModelCard
from mar.serving.store.standing import Out, Standing
from mar.serving.store.summary import MINUTE_S
from mar.serving.store.sums import Calls
from mar.types import Circuit

RECENT = 5  # minutes that "now" is the mean of
TREND = 60  # points of a small picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One model's server over some minutes. Series have a value a minute, the earliest first; None: not known."""

    model: str
    where: str  # host and port; "": simulated, or in this process
    price_in: float | None  # USD per million tokens
    price_out: float | None
    out: Out | None  # None: it is in
    circuit: Circuit | None  # None: no worker has said how it stands
    stale: bool
    running: int | None
    waiting: int | None
    seen_s: float | None  # how long ago a worker last looked
    calls: int  # over all minutes, answered or failed
    failed: int
    spent_usd: float
    unpriced: int  # answered calls whose cost is not known
    mean_s: float | None  # of a call
    queue: tuple[float | None, ...]
    tokens_s: tuple[float, ...]
    errors: tuple[float | None, ...]  # share of the calls of a minute that failed; None: there were none
    usd: tuple[float, ...]
    circuits: tuple[Circuit | None, ...]

    @property
    def has_price(self) -> bool:
        """Whether what it costs is known."""
        return self.price_in is not None and self.price_out is not None

    @property
    def error_rate(self) -> float | None:
        """Share of all its calls that failed; None: there were none."""
        return self.failed / self.calls if self.calls else None

    @property
    def tokens_now(self) -> float:
        """Tokens a second over the last minutes."""
        recent = self.tokens_s[-RECENT:]
        return sum(recent) / max(1, len(recent))

    @property
    def trend(self) -> list[float]:
        """Tokens a second, in few points."""
        return [value or 0.0 for value in thinned(self.tokens_s, -(-len(self.tokens_s) // TREND))]

    @property
    def state(self) -> str:
        """How it is, in a word or two."""
        if self.out is not None:
            return "taken out"
        if self.circuit == "open":
            return "not asked"
        if self.circuit == "trial":
            return "being tried"
        if self.circuit is None:
            return "unknown"
        return "silent" if self.stale else "well"


def servers(
    cards: Iterable[ModelCard],
    standing: Sequence[Standing],
    minutes: Sequence[Calls],
    out: Iterable[Out],
    *,
    now: float,
    span: int,
) -> list[Server]:
    """The servers of a pool over the last `span` minutes, in the pool's order."""
    begin = int(now // MINUTE_S) - span + 1
    gone = {one.model: one for one in out}
    return [_server(card, standing, minutes, gone.get(card.name), begin=begin, now=now, span=span) for card in cards]


def _server(
    card: ModelCard,
    standing: Sequence[Standing],
    minutes: Sequence[Calls],
    out: Out | None,
    *,
    begin: int,
    now: float,
    span: int,
) -> Server:
    stood = {int(s.minute_at // MINUTE_S) - begin: s for s in standing if s.model == card.name}
    called = {int(m.at // MINUTE_S) - begin: m for m in minutes if m.model == card.name}
    known = [called[i] for i in range(span) if i in called]
    last = stood.get(span - 1) or stood.get(span - 2)  # a minute may just have begun
    calls = sum(m.answered + m.failed for m in known)
    return Server(
        model=card.name,
        where="" if card.base_url is None else _where(card.base_url),
        price_in=card.price_in,
        price_out=card.price_out,
        out=out,
        circuit=None if last is None else last.circuit,
        stale=last is not None and last.stale,
        running=None if last is None else last.running,
        waiting=None if last is None else last.waiting,
        seen_s=None if last is None else max(0.0, now - last.at),
        calls=calls,
        failed=sum(m.failed for m in known),
        spent_usd=sum(m.cost_usd for m in known),
        unpriced=sum(m.answered + m.failed - m.priced for m in known),
        mean_s=sum(m.seconds for m in known) / calls if calls else None,
        queue=tuple(_queue(stood.get(i)) for i in range(span)),
        tokens_s=tuple(called[i].completion / MINUTE_S if i in called else 0.0 for i in range(span)),
        errors=tuple(_share(called.get(i)) for i in range(span)),
        usd=tuple(called[i].cost_usd if i in called else 0.0 for i in range(span)),
        circuits=tuple(stood[i].circuit if i in stood else None for i in range(span)),
    )


def _where(base_url: str) -> str:
    """Host and port of an address, without what may be secret in it."""
    try:
        parts = urlsplit(base_url)
        return f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
    except ValueError:
        return ""


def _queue(standing: Standing | None) -> float | None:
    return None if standing is None or standing.waiting is None else float(standing.waiting)


def _share(minute: Calls | None) -> float | None:
    if minute is None or not minute.answered + minute.failed:
        return None
    return minute.failed / (minute.answered + minute.failed)


def thinned(values: Sequence[float | None], every: int) -> list[float | None]:
    """Means of so many values each, as far as they are known."""
    groups = [[v for v in values[i : i + every] if v is not None] for i in range(0, len(values), every)]
    return [sum(group) / len(group) if group else None for group in groups]
