"""Small things that workers share for a while: the model a conversation stays with, answers given before."""

from __future__ import annotations

from typing import Protocol

from mar.serving.store.database import Ask, Database, Steps, Tell


class Shelf(Protocol):
    """Values by key, each for its time. Its methods raise `StoreUnavailable` where the store gives no answer."""

    async def get(self, key: bytes) -> bytes | None:
        """What lies there; None: nothing, or no more."""
        ...

    async def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """Put something there for so many seconds, in place of what lies there."""
        ...

    async def clear(self, beginning: bytes) -> None:
        """Remove everything whose key begins so."""
        ...


class SqlShelf:
    """A shelf in the database of limits, which removes what is no more; see `mar.serving.limits.sql`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def get(self, key: bytes) -> bytes | None:
        """See `Shelf`."""

        def work() -> Steps[bytes | None]:
            sql = f"SELECT value FROM mar_shelf WHERE key = ? AND expires > {self._db.now}"
            rows = yield Ask(sql, (key,))
            return bytes(rows[0][0]) if rows else None

        return await self._db.look(work)

    async def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """See `Shelf`."""

        def work() -> Steps[None]:
            sql = (
                f"INSERT INTO mar_shelf VALUES (?, ?, {self._db.now} + ?) "
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = excluded.expires"
            )
            yield Tell(sql, [(key, value, ttl_s)])

        await self._db.do(work)

    async def clear(self, beginning: bytes) -> None:
        """See `Shelf`."""

        def work() -> Steps[None]:
            yield Tell(f"DELETE FROM mar_shelf WHERE substr(key, 1, {len(beginning)}) = ?", [(beginning,)])

        await self._db.do(work)
