"""What requests came to, in small sums that are written with them: a page about a hundred thousand need not read them.

`mar_days` has a row for every day of UTC and kind of request (key, model asked for, controller and its version, mode,
models that were asked); `mar_waits` says how long answers took, in buckets each a quarter longer than the one before;
`mar_calls_minute` and `mar_calls_hour` have a row for every minute or hour and model that was called. Sums of squares
are kept, too, so that a mean cost has an interval, at today's prices as well.

Finer kinds would make no sums: with hours and buckets in one table 100,000 requests of a month had 60,000 rows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from mar.serving.money import nearest
from mar.serving.record import Called, Entry
from mar.serving.store.database import Ask, Database, Steps, Tell, among, insert, prepare
from mar.serving.store.rows import storable

VERSION = 1
DAY_S, HOUR_S, MINUTE_S = 86400, 3600, 60
DAY_KEYS = ("day", "guest", "asked", "controller", "version", "mode", "models")
DAY_SUMS = (
    "requests",
    "answered",
    "priced",  # of these, those whose cost is known
    "cost_nano",  # of those
    "usd2",  # sum of their squares, in USD
    "counted",  # requests whose tokens are known
    "prompt",  # tokens of those
    "completion",
    "prompt2",  # sums of squares and of products
    "crossed",
    "completion2",
    "decision_s",
)
WAIT_KEYS, WAIT_SUMS = ("day", "guest", "asked", "controller", "version", "bucket"), ("requests",)
CALL_KEYS = ("period", "model")
CALL_SUMS = ("answered", "failed", "completion", "priced", "cost_nano", "seconds")
SHORTEST_S, GROWTH = 0.001, 1.25  # of buckets
KEEP_DAYS, KEEP_MINUTES = 400, 24 * 60  # how long sums are kept: to compare with a year ago, with yesterday
_REAL = {"usd2", "prompt2", "crossed", "completion2", "decision_s", "seconds"}
_TEXT = {"guest", "asked", "controller", "version", "mode", "models", "model"}


def _table(name: str, keys: Sequence[str], sums: Sequence[str]) -> str:
    kinds = [f"{c} {'TEXT' if c in _TEXT else 'DOUBLE PRECISION' if c in _REAL else 'BIGINT'}" for c in (*keys, *sums)]
    columns = ", ".join(f"{column} NOT NULL" for column in kinds)
    return f"CREATE TABLE {name} ({columns}, PRIMARY KEY ({', '.join(keys)}))"


SCHEMA = (
    _table("mar_days", DAY_KEYS, DAY_SUMS),
    _table("mar_waits", WAIT_KEYS, WAIT_SUMS),
    _table("mar_calls_minute", CALL_KEYS, CALL_SUMS),
    _table("mar_calls_hour", CALL_KEYS, CALL_SUMS),
)


async def prepare_summary(db: Database) -> None:
    """Make the tables where there are none.

    Raises:
        ConfigError: The database holds them as another version of mar makes them.
        StoreUnavailable: It gives no answer.
    """
    await prepare(db, "summary", VERSION, SCHEMA)


def summed(entries: Sequence[Entry]) -> Steps[None]:
    """Add requests to the sums, before they are written: those that are there already were added then."""
    ids = [storable(entry.id) for entry in entries]
    some, values = among(ids)
    rows = yield Ask(f"SELECT id FROM mar_requests WHERE id IN {some}", values)
    there = {str(row[0]) for row in rows}
    new = [entry for entry, id in zip(entries, ids, strict=True) if id not in there]
    if new:
        yield from _added("mar_days", DAY_KEYS, DAY_SUMS, (_of_request(entry) for entry in new))
    answered = [entry for entry in new if entry.status == 200]
    if answered:
        yield from _added("mar_waits", WAIT_KEYS, WAIT_SUMS, (_of_answer(entry) for entry in answered))
    called = [(entry.at, call) for entry in new for call in entry.called]
    if called:
        for table, length in (("mar_calls_minute", MINUTE_S), ("mar_calls_hour", HOUR_S)):
            yield from _added(table, CALL_KEYS, CALL_SUMS, (_of_call(int(at // length), call) for at, call in called))


def forgotten(db: Database) -> Steps[None]:
    """Remove sums that are too old."""
    for table in ("mar_days", "mar_waits"):
        yield Tell(f"DELETE FROM {table} WHERE day < {db.now} / {DAY_S} - {KEEP_DAYS}", [()])
    yield Tell(f"DELETE FROM mar_calls_hour WHERE period < {db.now} / {HOUR_S} - {24 * KEEP_DAYS}", [()])
    yield Tell(f"DELETE FROM mar_calls_minute WHERE period < {db.now} / {MINUTE_S} - {KEEP_MINUTES}", [()])


def bucket_of(seconds: float) -> int:
    """The bucket of a duration: k holds those from `SHORTEST_S * GROWTH**k` to a quarter more; 0 all shorter ones."""
    return max(0, math.floor(math.log(max(seconds, SHORTEST_S) / SHORTEST_S) / math.log(GROWTH) + 1e-9))


def _added(table: str, keys: Sequence[str], sums: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> Steps[None]:
    """Add rows to those of the same keys; in the order of the keys, so that two who do so wait, and never for good."""
    found: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows:
        key, values = row[: len(keys)], row[len(keys) :]
        before = found.setdefault(key, [0] * len(values))
        found[key] = [a + b for a, b in zip(before, values, strict=True)]
    changes = ", ".join(f"{column} = {table}.{column} + excluded.{column}" for column in sums)
    ordered = [(*key, *found[key]) for key in sorted(found)]
    yield from insert(table, ordered, f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changes}")


def _of_request(entry: Entry) -> tuple[Any, ...]:
    used = entry.usage
    cost, prompt, completion = used.cost_usd, used.prompt_tokens, used.completion_tokens
    key = (*_whose(entry), storable(entry.mode), storable(json.dumps(entry.models)))
    came = (1, int(entry.status == 200))
    money = (0, 0, 0.0) if cost is None else (1, nearest(cost), cost * cost)
    if prompt is None or completion is None:
        return (*key, *came, *money, 0, 0, 0, 0.0, 0.0, 0.0, entry.decision_s)
    squares = (float(prompt * prompt), float(prompt * completion), float(completion * completion))
    return (*key, *came, *money, 1, prompt, completion, *squares, entry.decision_s)


def _of_answer(entry: Entry) -> tuple[Any, ...]:
    return (*_whose(entry), bucket_of(entry.seconds), 1)


def _whose(entry: Entry) -> tuple[Any, ...]:
    return (int(entry.at // DAY_S), *map(storable, (entry.guest, entry.asked, entry.controller, entry.version)))


def _of_call(period: int, call: Called) -> tuple[Any, ...]:
    cost = call.usage.cost_usd
    money = (0, 0) if cost is None else (1, nearest(cost))
    outcome = (0, 1) if call.failed else (1, 0)
    return (period, storable(call.model), *outcome, call.usage.completion_tokens or 0, *money, call.seconds)
