"""Counters in Redis, changed by scripts that run as one instant (extra `redis`).

Redis must keep what it is told through a restart (`appendonly yes`) and evict nothing, or budgets begin anew.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from typing import Any

import anyio

from mar.errors import ConfigError, StoreUnavailable
from mar.reading import brief
from mar.serving.limits.base import Change, Count, Short, Take
from mar.serving.store.database import shown

try:
    from redis.asyncio import Redis
    from redis.exceptions import RedisError, ResponseError
except ImportError as missing:  # pragma: no cover
    raise ConfigError(f"Redis needs the extra: pip install 'mar[redis]' ({missing})") from None

log = logging.getLogger(__name__)
VERSION = 1
PREFIX = "{mar}:"
ANSWER_S = 2.0  # for an answer
_WORKERS, _WORKER, _HOLDINGS = f"{PREFIX}workers", f"{PREFIX}worker:", f"{PREFIX}holdings:"
_COUNTER, _SHELF, _SCHEMA = f"{PREFIX}counter:", f"{PREFIX}shelf:", f"{PREFIX}schema"
_FAILURES = (RedisError, OSError)


class RedisCounters:
    """See `mar.serving.limits.base.Counters`; also a shelf, see `mar.serving.store.shelf`."""

    def __init__(self, redis: Redis, where: str) -> None:
        self._redis, self._where = redis, where
        self._change = redis.register_script(_script("change.lua"))
        self._beat = redis.register_script(_script("beat.lua"))

    @classmethod
    async def open(cls, url: str) -> RedisCounters:
        """The counters of a Redis server.

        Raises:
            ConfigError: The address is none of a server, or it holds what another version of mar wrote.
            StoreUnavailable: It gives no answer.
        """
        where = shown(url)
        try:
            redis = Redis.from_url(url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S)  # pyright: ignore[reportUnknownMemberType]
        except ValueError:
            raise ConfigError(f"{where}: expected redis://user:password@host:port/number") from None
        found = cls(redis, where)
        try:
            await found._prepare()
        except BaseException:
            await found.close()
            raise
        return found

    async def close(self) -> None:
        """Close all connections."""
        with anyio.CancelScope(shield=True):
            await self._redis.aclose()

    async def change(self, worker: str, number: int, changes: Sequence[Change]) -> list[Short | None] | None:
        """See `Counters`."""
        keys = [_WORKER + worker, _HOLDINGS + worker, _COUNTER]
        args = [number, json.dumps([_plain(change) for change in changes])]
        answer = await self._asked(lambda: self._change(keys=keys, args=args))
        return None if answer is None else [_short(v) for v in json.loads(answer)]

    async def beat(self, worker: str, lease_s: float, *, enters: bool = False) -> float | None:
        """See `Counters`."""
        now = await self._beaten(worker, str(lease_s), "1" if enters else "0")
        return None if now is None else float(now)

    async def leave(self, worker: str) -> None:
        """See `Counters`."""
        await self._beaten(worker, "", "0")

    async def counts(self, names: Sequence[str]) -> Mapping[str, Count]:
        """See `Counters`."""

        async def read() -> list[list[bytes | None]]:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for name in names:
                    pipeline.hmget(_COUNTER + name, ["spent", "held", "uncertain"])  # pyright: ignore[reportUnknownMemberType, reportUnusedCoroutine]
                return await pipeline.execute()

        rows = await self._asked(read)
        figures = [[int(value or 0) for value in row] for row in rows]
        return {n: Count(spent=s, held=h, uncertain=u) for n, (s, h, u) in zip(names, figures, strict=True)}

    async def get(self, key: bytes) -> bytes | None:
        """See `mar.serving.store.shelf.Shelf`."""
        return await self._asked(lambda: self._redis.get(_SHELF.encode() + key))

    async def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """See `mar.serving.store.shelf.Shelf`."""
        await self._asked(lambda: self._redis.set(_SHELF.encode() + key, value, px=max(1, round(ttl_s * 1000))))

    async def clear(self, beginning: bytes) -> None:
        """See `mar.serving.store.shelf.Shelf`."""

        async def remove() -> None:
            async for key in self._redis.scan_iter(match=_SHELF.encode() + beginning + b"*", count=1000):  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
                await self._redis.unlink(key)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]

        await self._asked(remove)

    async def _beaten(self, *args: str) -> Any:
        return await self._asked(lambda: self._beat(keys=[_WORKERS, _WORKER, _HOLDINGS, _COUNTER], args=list(args)))

    async def _prepare(self) -> None:
        await self._asked(lambda: self._redis.set(_SCHEMA, VERSION, nx=True))
        found = int(await self._asked(lambda: self._redis.get(_SCHEMA)) or 0)
        if found != VERSION:
            raise ConfigError(
                f"{self._where}: limits of schema version {found}, expected {VERSION}; use another database"
            )
        with suppress(ResponseError, StoreUnavailable):  # hosted servers do not say
            kept = await self._asked(lambda: self._redis.config_get("appendonly", "maxmemory-policy"))  # pyright: ignore[reportUnknownMemberType]
            if kept.get("appendonly") == "no":
                log.warning("%s: appendonly is off: a restart of Redis forgets what keys have spent", self._where)
            if not str(kept.get("maxmemory-policy", "")).startswith(("noeviction", "volatile")):
                log.warning("%s: maxmemory-policy may evict what keys have spent; set noeviction", self._where)

    async def _asked(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await ask()
        except _FAILURES as error:
            raise StoreUnavailable(f"{self._where}: {brief(error)}") from None


def _script(name: str) -> str:
    return files("mar.serving.limits").joinpath(name).read_text(encoding="utf-8")


def _plain(change: Change) -> list[Any]:
    if isinstance(change, Take):
        wants = [[w.name, w.kind, w.amount, -1 if w.limit is None else w.limit, w.lives_s] for w in change.wants]
        return ["take", wants]
    return ["settle", [[p.name, p.kind, p.held, p.spent, p.uncertain] for p in change.paid]]


def _short(verdict: Any) -> Short | None:
    if verdict is None:
        return None
    name, spent, held, busy = verdict
    return Short(name=name, spent=int(spent), held=int(held), busy=busy)
