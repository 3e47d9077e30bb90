"""What the page says of quality and money: what was asked for, what it was worth, what it cost, and what else would."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mar.evaluation.statistics import UNDEFINED, Interval, wilson
from mar.pool.cards import ModelCard
from mar.pool.decoded import items
from mar.reading import parse_json
from mar.serving.record import DIRECT
from mar.serving.store.summary import DAY_S
from mar.serving.store.sums import Source, Sum, Sums, Worth, mean_cost, quantile, repriced

ALONE = ("IO", DIRECT)  # modes in which one model answers alone
WORTH: tuple[Source, ...] = ("asked", "controller", "version", "mode", "models", "kind", "source")
MOST_PARTS = 12  # of a whole that is shown divided; the rest is one part


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one source said of answers."""

    kind: str  # "rating", "judge", "grader", ...
    by: str  # who, where there are several of a kind
    n: int
    right: Interval  # mean of values from 0 to 1; of graded ones the interval is wider than it need be


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What can be asked for, and how it did."""

    name: str  # as it was asked for
    controller: str  # who planned; "": nobody, a model was asked for by name
    version: str  # of that one
    requests: int
    answered: int
    unpriced: int
    cost: Interval  # USD a request; NaN: not known
    spent_usd: float
    p50_s: float | None
    p95_s: float | None
    decision_s: float  # that planning took, on average
    said: tuple[Said, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """Everything to one model: from the requests that it answered alone, at today's prices."""

    model: str
    requests: int
    cost: Interval  # USD a request at today's prices; NaN: not known
    said: tuple[Said, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a whole."""

    name: str
    count: int
    share: float  # 0 to 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """What was spent and asked day by day, by what was asked for."""

    days: tuple[int, ...]  # days of UTC since 1970, the earliest first
    usd: Mapping[str, tuple[float, ...]]
    requests: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """All of the view."""

    requests: int
    answered: int
    unpriced: int
    spent_usd: float
    choices: tuple[Choice, ...]
    alone: tuple[Alone, ...]
    modes: tuple[Part, ...]
    models: tuple[Part, ...]  # share of requests that asked a model; several may have been asked
    guests: Mapping[str, float]  # USD by key's id
    days: Days


async def money(sums: Sums, cards: Iterable[ModelCard], *, now: float, days: int, guest: str | None = None) -> Money:
    """What requests of the last days came to.

    Args:
        sums: Where they are.
        cards: The models there are now.
        now: Seconds since 1970.
        days: How many days of UTC, today's included.
        guest: Whose requests; None: everybody's.

    Raises:
        StoreUnavailable: The store gives no answer.
    """
    since = (now // DAY_S - days + 1) * DAY_S
    daily = await sums.requests("day", "asked", since=since, guest=guest)
    ways = await sums.requests("mode", "models", since=since, guest=guest)
    guests = await sums.requests("guest", since=since, guest=guest)
    chosen, worth = await _asked(sums, since, guest)
    total = sum(found.requests for found in daily)
    return Money(
        requests=total,
        answered=sum(found.answered for found in daily),
        unpriced=sum(found.unpriced for found in daily),
        spent_usd=sum(found.cost_usd for found in daily),
        choices=chosen,
        alone=tuple(_alone(card, ways, worth) for card in cards),
        modes=parts(_counted(ways, 0), total),
        models=parts(_models(ways), total),
        guests={found.key[0]: found.cost_usd for found in guests},
        days=_days(daily, int(since // DAY_S), days),
    )


async def choices(sums: Sums, *, since: float, guest: str | None = None) -> tuple[Choice, ...]:
    """How each thing that was asked for did, and each version of it; see `money`.

    Args:
        sums: Where requests' sums are.
        since: From the beginning of this day on, seconds since 1970.
        guest: Whose requests; None: everybody's.

    Raises:
        StoreUnavailable: The store gives no answer.
    """
    return (await _asked(sums, since, guest))[0]


async def _asked(sums: Sums, since: float, guest: str | None) -> tuple[tuple[Choice, ...], Sequence[Worth]]:
    """How each thing that was asked for did, and what was said of answers, by `WORTH`: read once, since it is joined
    from requests.
    """
    chosen = await sums.requests("asked", "controller", "version", since=since, guest=guest)
    waits, worth = await sums.waits(since, guest), await sums.worth(*WORTH, since=since, guest=guest)
    return tuple(_choices(chosen, waits, worth)), worth


def parts(counts: Mapping[str, int], total: int) -> tuple[Part, ...]:
    """How a whole is divided, largest part first; many small ones are one."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    shown, rest = ordered[:MOST_PARTS], ordered[MOST_PARTS:]
    if rest:
        shown = [*shown, (f"{len(rest)} others", sum(n for _, n in rest))]
    return tuple(Part(name=name, count=n, share=n / total if total else 0.0) for name, n in shown)


def _choices(
    found: Sequence[Sum], waits: Mapping[tuple[str, ...], Mapping[int, int]], worth: Sequence[Worth]
) -> Iterable[Choice]:
    """Of every model or controller that was asked for, and each of its versions."""
    for one in found:
        buckets = waits.get(one.key, {})
        name, controller, version = one.key
        yield Choice(
            name=name,
            controller=controller,
            version=version,
            requests=one.requests,
            answered=one.answered,
            unpriced=one.unpriced,
            cost=mean_cost(one),
            spent_usd=one.cost_usd,
            p50_s=quantile(buckets, 0.5),
            p95_s=quantile(buckets, 0.95),
            decision_s=one.decision_s / one.requests,
            said=_said(w for w in worth if w.key[:3] == one.key),
        )


def _alone(card: ModelCard, ways: Sequence[Sum], worth: Sequence[Worth]) -> Alone:
    mine = json.dumps([card.name])
    ones = [found for found in ways if found.key[0] in ALONE and found.key[1] == mine]
    whole = added(ones)
    priced = card.price_in is not None and card.price_out is not None
    return Alone(
        model=card.name,
        requests=whole.requests,
        cost=repriced(whole, card.price_in or 0.0, card.price_out or 0.0) if priced else UNDEFINED,
        said=_said(w for w in worth if w.key[3] in ALONE and w.key[4] == mine),
    )


def _said(worth: Iterable[Worth]) -> tuple[Said, ...]:
    """What sources said, of users together, whoever they are; else each by its name."""
    counts: dict[tuple[str, str], tuple[int, float]] = {}
    for one in worth:
        kind, by = one.key[-2:]
        key = (kind, "" if kind == "rating" else by)
        n, total = counts.get(key, (0, 0.0))
        counts[key] = (n + one.n, total + one.total)
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1][0], pair[0]))
    return tuple(Said(kind=kind, by=by, n=n, right=wilson(total, n)) for (kind, by), (n, total) in ordered)


def _counted(ways: Sequence[Sum], position: int) -> Counter[str]:
    counts = Counter[str]()
    for found in ways:
        counts[found.key[position]] += found.requests
    return counts


def _models(ways: Sequence[Sum]) -> Counter[str]:
    counts = Counter[str]()
    for models, n in _counted(ways, 1).items():
        for model in items(parse_json(models, "a store's models")):
            counts[str(model)] += n
    return counts


def _days(daily: Sequence[Sum], first: int, days: int) -> Days:
    usd: dict[str, list[float]] = defaultdict(lambda: [0.0] * days)
    requests: dict[str, list[int]] = defaultdict(lambda: [0] * days)
    for found in daily:
        day = int(found.key[0]) - first
        if 0 <= day < days:
            usd[found.key[1]][day] += found.cost_usd
            requests[found.key[1]][day] += found.requests
    return Days(
        days=tuple(range(first, first + days)),
        usd={name: tuple(values) for name, values in usd.items()},
        requests={name: tuple(values) for name, values in requests.items()},
    )


def added(found: Sequence[Sum]) -> Sum:
    """Sums of sums."""
    return Sum(
        key=(),
        requests=sum(f.requests for f in found),
        answered=sum(f.answered for f in found),
        priced=sum(f.priced for f in found),
        cost_usd=sum(f.cost_usd for f in found),
        usd2=sum(f.usd2 for f in found),
        counted=sum(f.counted for f in found),
        prompt=sum(f.prompt for f in found),
        completion=sum(f.completion for f in found),
        prompt2=sum(f.prompt2 for f in found),
        crossed=sum(f.crossed for f in found),
        completion2=sum(f.completion2 for f in found),
        decision_s=sum(f.decision_s for f in found),
    )
