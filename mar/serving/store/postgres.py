"""PostgreSQL as a gateway's database, for workers on several machines (extra `postgres`).

Statements of a transaction are sent together as far as none waits for another's rows (libpq's pipeline). With
`durable` a transaction is on disk when it ends (keys); without, a crash of the server may lose those of its last
half second (`synchronous_commit=off`), and no transaction waits for a disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import anyio

from mar.errors import ConfigError, StoreUnavailable
from mar.reading import brief
from mar.serving.store.database import Ask, Row, Steps, T, Tell, shown

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict
    from psycopg_pool import AsyncConnectionPool, PoolTimeout
except ImportError as missing:  # pragma: no cover
    raise ConfigError(f"PostgreSQL needs the extra: pip install 'mar[postgres]' ({missing})") from None

CONNECTIONS = 4  # of a worker
CONNECT_S = 5.0  # for a connection, and for each of the attempts at a transaction
STATEMENT_MS = 10_000  # that a statement may take
ATTEMPTS = 3  # at a transaction that the server broke off for the sake of others
_ALONE = 7_203_114_001  # the lock of transactions that are to be alone; any number that nobody else uses
_FAILURES = (psycopg.Error, PoolTimeout, OSError)
Pool = AsyncConnectionPool[psycopg.AsyncConnection[Row]]


class Postgres:
    """See `mar.serving.store.database.Database`."""

    locks = " FOR UPDATE"
    now = "extract(epoch FROM clock_timestamp())::float8"
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
    shared = True

    def __init__(self, pool: Pool, where: str) -> None:
        self._pool, self.where = pool, where

    @classmethod
    async def open(cls, url: str, *, durable: bool = False) -> Postgres:
        """Open a database.

        Raises:
            ConfigError: The address is none of a database.
            StoreUnavailable: It gives no answer.
        """
        where = shown(url)
        options = f"-c synchronous_commit={'on' if durable else 'off'} -c statement_timeout={STATEMENT_MS}"
        try:
            conninfo_to_dict(url)
        except psycopg.Error:
            raise ConfigError(f"{where}: expected postgresql://user:password@host:port/database") from None
        pool: Pool = AsyncConnectionPool(
            url,
            kwargs={"options": options, "autocommit": True, "connect_timeout": int(CONNECT_S)},
            min_size=1,
            max_size=CONNECTIONS,
            timeout=CONNECT_S,
            open=False,
        )
        try:
            # The pool would go on trying, and not say why it cannot.
            await (await psycopg.AsyncConnection.connect(url, connect_timeout=int(CONNECT_S))).close()
            await pool.open(wait=True, timeout=CONNECT_S)
        except _FAILURES as error:
            await pool.close()
            raise StoreUnavailable(f"{where}: {brief(error)}") from None
        return cls(pool, where)

    async def do(self, work: Callable[[], Steps[T]], *, alone: bool = False) -> T:
        """See `Database`."""
        for attempt in range(ATTEMPTS):
            try:
                return await self._once(work, alone)
            except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure) as error:
                if attempt == ATTEMPTS - 1:
                    raise StoreUnavailable(f"{self.where}: {brief(error)}") from None
            except _FAILURES as error:
                raise StoreUnavailable(f"{self.where}: {brief(error)}") from None
        raise AssertionError("unreachable")  # pragma: no cover

    async def look(self, work: Callable[[], Steps[T]]) -> T:
        """See `Database`."""
        return await self.do(work)

    async def close(self) -> None:
        """Close all connections."""
        with anyio.CancelScope(shield=True):
            await self._pool.close()

    async def _once(self, work: Callable[[], Steps[T]], alone: bool) -> T:
        async with self._pool.connection() as connection, connection.pipeline(), connection.transaction():
            if alone:
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_ALONE,))
            steps = work()
            try:
                step = next(steps)
                while True:
                    step = steps.send(await _rows(connection, step))
            except StopIteration as end:
                return cast("T", end.value)


async def _rows(connection: psycopg.AsyncConnection[Row], step: Ask | Tell) -> list[Row]:
    sql: Any = step.sql.replace("%", "%%").replace("?", "%s")
    if isinstance(step, Ask):
        return await (await connection.execute(sql, step.values)).fetchall()
    async with connection.cursor() as cursor:
        for row in step.rows:
            await cursor.execute(sql, row)
    return []
