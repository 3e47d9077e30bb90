"""Reads the sums of requests and calls, and what answers were worth; see `mar.serving.store.summary`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from mar.evaluation.statistics import UNDEFINED, Z95, Interval
from mar.serving.money import usd
from mar.serving.store.database import Ask, Database, Row, Steps
from mar.serving.store.summary import CALL_SUMS, DAY_S, DAY_SUMS, GROWTH, MINUTE_S, SHORTEST_S

Dimension = Literal["day", "guest", "asked", "controller", "version", "mode", "models"]
_USERS = "CASE kind WHEN 'rating' THEN '' ELSE source END"
Source = Literal["asked", "controller", "version", "mode", "models", "kind", "source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """What some requests came to."""

    key: tuple[str, ...]  # what they have in common, as it was asked for
    requests: int
    answered: int
    priced: int  # requests whose cost is known
    cost_usd: float  # of those
    usd2: float  # sum of their squares
    counted: int  # requests whose tokens are known
    prompt: int  # tokens of those
    completion: int
    prompt2: float  # sums of squares, and of products
    crossed: float
    completion2: float
    decision_s: float

    @property
    def unpriced(self) -> int:
        """Requests whose cost is not known."""
        return self.requests - self.priced


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """The calls of a model in one minute or hour."""

    at: float  # seconds since 1970, when it began
    model: str
    answered: int
    failed: int
    completion: int  # tokens
    priced: int
    cost_usd: float  # of those
    seconds: float  # of all calls together


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What one source said of some answers."""

    key: tuple[str, ...]  # what they have in common, as it was asked for
    n: int
    total: float  # of values from 0 to 1


class Sums:
    """Reads sums of a database. Its methods raise `StoreUnavailable` where that gives no answer."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def requests(self, *by: Dimension, since: float, guest: str | None = None) -> list[Sum]:
        """Sums of requests, the most frequent first.

        Args:
            by: What requests of one sum have in common. A "day" is its number since 1970, of UTC.
            since: From the day of this time on, seconds since 1970.
            guest: Whose; None: everybody's.
        """
        names = [name for name in by if name in get_args(Dimension)]
        whose, values = _of_guest(guest)
        sums = ", ".join(f"SUM({column})" for column in DAY_SUMS)
        sql = f"SELECT {', '.join([*names, sums])} FROM mar_days WHERE day >= ?{whose}"
        if names:
            sql += f" GROUP BY {', '.join(names)} ORDER BY {len(names) + 1} DESC"
        rows = await self._rows(sql, [int(since // DAY_S), *values])
        return [_sum(row, len(names)) for row in rows if row[len(names)] is not None]

    async def waits(self, since: float, guest: str | None = None) -> Mapping[tuple[str, ...], Mapping[int, int]]:
        """How many answers took how long, by bucket, of what was asked for, its controller and that one's version."""
        whose, values = _of_guest(guest)
        kind = "asked, controller, version, bucket"
        sql = f"SELECT {kind}, SUM(requests) FROM mar_waits WHERE day >= ?{whose} GROUP BY {kind}"
        found: dict[tuple[str, ...], dict[int, int]] = {}
        for *key, bucket, n in await self._rows(sql, [int(since // DAY_S), *values]):
            found.setdefault(tuple(key), {})[int(bucket)] = int(n)
        return found

    async def calls(self, since: float, *, every_s: Literal[60, 3600]) -> list[Calls]:
        """Calls by model and minute or hour, from the one of a time (seconds since 1970) on, the earliest first."""
        table = "mar_calls_minute" if every_s == MINUTE_S else "mar_calls_hour"
        columns = ", ".join(("period", "model", *CALL_SUMS))
        sql = f"SELECT {columns} FROM {table} WHERE period >= ? ORDER BY period, model"
        rows = await self._rows(sql, [int(since // every_s)])
        return [
            Calls(
                at=float(period * every_s),
                model=model,
                answered=answered,
                failed=failed,
                completion=completion,
                priced=priced,
                cost_usd=usd(int(nano)),
                seconds=seconds,
            )
            for period, model, answered, failed, completion, priced, nano, seconds in rows
        ]

    async def worth(self, *by: Source, since: float, guest: str | None = None) -> list[Worth]:
        """What was said of answers to requests since a time, the most frequent first; see `requests`. Users who rated
        are one source, "".
        """
        names = [_USERS if name == "source" else name for name in by if name in get_args(Source)]
        whose, values = _of_guest(guest)
        sql = (
            f"SELECT {', '.join([*names, 'COUNT(*)', 'SUM(value)'])} FROM mar_outcomes "
            f"JOIN mar_requests ON id = episode WHERE mar_requests.at >= ?{whose}"
        )
        if names:
            sql += f" GROUP BY {', '.join(names)} ORDER BY {len(names) + 1} DESC"
        rows = await self._rows(sql, [since, *values])
        return [Worth(key=tuple(map(str, r[:-2])), n=int(r[-2]), total=float(r[-1])) for r in rows if r[-2]]

    async def _rows(self, sql: str, values: Sequence[object]) -> list[Row]:
        def work() -> Steps[list[Row]]:
            return (yield Ask(sql, values))

        return await self._db.look(work)


def _of_guest(guest: str | None) -> tuple[str, list[str]]:
    return ("", []) if guest is None else (" AND guest = ?", [guest])


def quantile(buckets: Mapping[int, int], q: float) -> float | None:
    """A quantile of durations from how many lie in each bucket, right to an eighth; None: there are none."""
    rank = q * sum(buckets.values())
    for bucket, n in sorted(buckets.items()):
        if rank <= n:
            return SHORTEST_S * GROWTH ** (bucket + rank / n)
        rank -= n
    return None


def mean_cost(found: Sum) -> Interval:
    """USD of a request with a known cost, on average, with a 95% interval; NaN where there are too few."""
    return mean_of(found.priced, found.cost_usd, found.usd2)


def repriced(found: Sum, price_in: float, price_out: float) -> Interval:
    """What a request that one model answered alone would cost at other prices; see `mean_cost`.

    Args:
        found: Sums of such requests.
        price_in: USD per million tokens of the prompt.
        price_out: USD per million tokens of the answer.
    """
    a, b = price_in / 1e6, price_out / 1e6
    squares = a * a * found.prompt2 + 2 * a * b * found.crossed + b * b * found.completion2
    return mean_of(found.counted, a * found.prompt + b * found.completion, squares)


def mean_of(n: int, total: float, squares: float) -> Interval:
    """A mean of values that are not below 0, with a 95% interval, from their number, sum and sum of squares."""
    if n < 2:
        return UNDEFINED
    mean = total / n
    half = Z95 * math.sqrt(max(0.0, squares - n * mean * mean) / (n - 1) / n)
    return Interval(mean=mean, low=max(0.0, mean - half), high=mean + half)


def _sum(row: Row, keys: int) -> Sum:
    requests, answered, priced, nano, usd2, counted, prompt, completion, prompt2, crossed, completion2, decision_s = (
        row[keys:]
    )
    return Sum(
        key=tuple(map(str, row[:keys])),
        requests=int(requests),
        answered=int(answered),
        priced=int(priced),
        cost_usd=usd(int(nano)),
        usd2=float(usd2),
        counted=int(counted),
        prompt=int(prompt),
        completion=int(completion),
        prompt2=float(prompt2),
        crossed=float(crossed),
        completion2=float(completion2),
        decision_s=float(decision_s),
    )
