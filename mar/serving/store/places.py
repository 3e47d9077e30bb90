"""Where state is kept, by its address: a SQLite file's path, `postgresql://…`, for limits also `redis://…`.

Drivers are imported when an address asks for them: each is an extra that others do without.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mar.errors import ConfigError
from mar.serving.limits.base import Counters
from mar.serving.limits.sql import SqlCounters
from mar.serving.store.database import Database
from mar.serving.store.shelf import Shelf, SqlShelf
from mar.serving.store.sqlite import Sqlite

if TYPE_CHECKING:
    from mar.controllers.gmt import Interactions

POSTGRES = ("postgresql://", "postgres://")
REDIS = ("redis://", "rediss://")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitStore:
    """What workers share and change all the time."""

    counters: Counters
    shelf: Shelf


@asynccontextmanager
async def database(place: str, *, durable: bool) -> AsyncGenerator[Database]:
    """The database of an address, open meanwhile.

    Args:
        place: The address.
        durable: Whether what was written outlives a power cut, at the cost of a disk's time for each transaction.

    Raises:
        ConfigError: There is no such kind of database, or the place cannot be one.
        StoreUnavailable: It gives no answer.
    """
    if place.startswith(POSTGRES):
        from mar.serving.store.postgres import Postgres

        db: Database = await Postgres.open(place, durable=durable)
    elif "://" in place:
        raise ConfigError(f"{place.partition('://')[0]}://…: expected a file's path or postgresql://…")
    else:
        db = await Sqlite.open(place, durable=durable)
    try:
        yield db
    finally:
        await db.close()


def interactions(place: str, *, simulated: bool) -> Interactions | None:
    """What users of personal controllers said, where an address keeps that; None: it lies in the cache folder.

    Raises:
        ConfigError: The address is none of a database.
        StoreUnavailable: It gives no answer.
    """
    if not place.startswith(POSTGRES):
        return None
    from mar.serving.store.interactions import PostgresInteractions

    return PostgresInteractions(place, simulated=simulated)


@asynccontextmanager
async def limits(place: str) -> AsyncGenerator[LimitStore]:
    """The limits of an address, open meanwhile.

    Raises:
        ConfigError: There is no such kind of store, or the place cannot be one.
        StoreUnavailable: It gives no answer.
    """
    if place.startswith(REDIS):
        from mar.serving.limits.redis import RedisCounters

        store = await RedisCounters.open(place)
        try:
            yield LimitStore(counters=store, shelf=store)
        finally:
            await store.close()
        return
    async with database(place, durable=False) as db:
        yield LimitStore(counters=await SqlCounters.open(db), shelf=SqlShelf(db))
