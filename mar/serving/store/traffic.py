"""The log as learning reads it: requests that keep more than what they cost, in their order, a page at a time."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import numpy as np

from mar.serving.money import usd
from mar.serving.store.database import Ask, Database, Row, Steps, among
from mar.serving.store.places import database
from mar.serving.store.rows import outcome_of, prepare_requests
from mar.traffic.records import Arm, Deletion, Logged, Other, Outcome

PAGE = 500  # requests of one transaction
FIELDS = (
    "r.id, r.at, r.guest, r.person, r.conversation, r.controller, r.version, r.label, r.explored, r.prompt_tokens, "
    "r.completion_tokens, r.cost_nano, r.seconds, r.status, d.embedding, d.detail, d.texts"
)


async def logs(place: str, *, since: float = 0.0) -> AsyncGenerator[Logged]:
    """The log of a store, the oldest request first.

    Args:
        place: The store's address.
        since: Seconds since 1970.

    Raises:
        ConfigError: The place holds no log.
        StoreUnavailable: It gives no answer.
    """
    async with database(place, durable=False) as db:
        await prepare_requests(db)
        async for logged in read(db, since=since):
            yield logged


async def read(db: Database, *, since: float = 0.0) -> AsyncGenerator[Logged]:
    """As `logs`, of a store that is open."""
    place = (since, "")
    while True:
        page = await db.do(lambda after=place: _page(after))
        for logged in page:
            yield logged
        if len(page) < PAGE:
            return
        place = (page[-1].at, page[-1].id)


async def deletions(place: str, *, since: float = 0.0) -> list[Deletion]:
    """Whose requests were deleted on request since a time: who trains on what was read before drops them.

    Raises:
        ConfigError: The place holds no log.
        StoreUnavailable: It gives no answer.
    """

    def work() -> Steps[list[Deletion]]:
        rows = yield Ask("SELECT what, hash, at FROM mar_deletions WHERE at >= ? ORDER BY at", (since,))
        return [Deletion(what=what, hash=hash, at=at) for what, hash, at in rows]

    async with database(place, durable=False) as db:
        await prepare_requests(db)
        return await db.do(work)


def lately(since: float, most: int) -> Steps[dict[str, list[Logged]]]:
    """The latest logged requests that a controller planned and that were answered, by what was asked for, without texts
    and embeddings.

    Args:
        since: Seconds since 1970.
        most: How many.
    """
    fields = FIELDS.replace("d.embedding", "NULL").replace("d.texts", "NULL")
    rows: list[Row] = []
    for keep in ("text", "features"):
        sql = (
            f"SELECT {fields}, r.asked FROM mar_requests r JOIN mar_details d ON d.id = r.id WHERE r.keep = ? "
            "AND r.at >= ? AND r.status = 200 AND r.controller <> '' ORDER BY r.at DESC LIMIT ?"
        )
        rows += yield Ask(sql, (keep, since, most))
    latest = sorted(rows, key=lambda row: row[1], reverse=True)[:most]
    said = yield from _said([row[0] for row in latest])
    heard = yield from _heard([row[0] for row in latest])
    found: dict[str, list[Logged]] = {}
    for *row, asked in latest:
        found.setdefault(asked, []).append(_logged(tuple(row), said[row[0]], heard[row[0]]))
    return found


def _said(ids: Sequence[str]) -> Steps[Mapping[str, list[Outcome]]]:
    """What is known of the worth of answers."""
    outcomes: Mapping[str, list[Outcome]] = defaultdict(list)
    for begin in range(0, len(ids), PAGE):
        some, values = among(ids[begin : begin + PAGE])
        sql = f"SELECT episode, kind, source, value, at, note FROM mar_outcomes WHERE episode IN {some} ORDER BY at"
        for episode, *outcome in (yield Ask(sql, values)):
            outcomes[episode].append(outcome_of(tuple(outcome)))
    return outcomes


def _page(after: tuple[float, str]) -> Steps[list[Logged]]:
    sql = (
        f"SELECT {FIELDS} FROM mar_requests r JOIN mar_details d ON d.id = r.id "
        "WHERE (r.at, r.id) > (?, ?) AND r.keep <> 'nothing' ORDER BY r.at, r.id LIMIT ?"
    )
    rows = yield Ask(sql, (*after, PAGE))
    outcomes = yield from _said([row[0] for row in rows])
    others = yield from _heard([row[0] for row in rows])
    return [_logged(row, outcomes[row[0]], others[row[0]]) for row in rows]


def _heard(ids: Sequence[str]) -> Steps[Mapping[str, list[Other]]]:
    """What models say about rated questions."""
    others: Mapping[str, list[Other]] = defaultdict(list)
    for begin in range(0, len(ids), PAGE):
        some, values = among(ids[begin : begin + PAGE])
        fields = "episode, model, said, single, usd, seconds, reason"
        sql = f"SELECT {fields} FROM mar_others WHERE episode IN {some} ORDER BY episode, model"
        for episode, model, said, single, cost, seconds, reason in (yield Ask(sql, values)):
            one = Other(model=model, said=said, single=bool(single), usd=cost, seconds=seconds, reason=reason)
            others[episode].append(one)
    return others


def _logged(row: Row, outcomes: Sequence[Outcome], others: Sequence[Other] = ()) -> Logged:
    id, at, guest, person, conversation, controller, version, label, explored, prompt, completion = row[:11]
    cost, seconds, status, embedding, text, texts = row[11:]
    detail, spoken = json.loads(text), None if texts is None else json.loads(texts)
    arms = tuple(Arm(**arm) for arm in detail["arms"])
    return Logged(
        id=id,
        at=at,
        key=guest,
        user=person,
        conversation=conversation,
        text=None if spoken is None else spoken["query"]["text"],
        embedding=None if embedding is None else _vector(bytes(embedding)),
        controller=controller,
        version=version,
        arms=arms or (Arm(name=label, probability=1.0),),
        explored=bool(explored),
        answer=None if spoken is None else _answer(spoken["episode"]),
        prompt_tokens=prompt,
        completion_tokens=completion,
        cost_usd=None if cost is None else usd(cost),
        seconds=seconds,
        status=status,
        outcomes=tuple(outcomes),
        others=tuple(others),
    )


def _vector(data: bytes) -> tuple[float, ...]:
    return tuple(np.frombuffer(data, dtype="<f2").astype(float).tolist())


def _answer(episode: Mapping[str, Any] | None) -> str | None:
    """The text that was answered, of a trace as it was written."""
    events = () if episode is None else reversed(episode["events"])
    return next((event["text"] for event in events if event["event"] == "Decided"), None)
