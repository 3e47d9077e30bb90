"""SQLite as a gateway's database: one file that all workers of one machine share.

Statements run in a thread, one transaction at a time. With `durable` a transaction is on disk when it ends (keys);
without, a power cut may lose the last of them, and a killed process none.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from mar.cachefile import FAILURES, open_private, write_ahead
from mar.errors import ConfigError, StoreUnavailable
from mar.reading import brief, refusal
from mar.serving.store.database import Ask, Row, Steps, T, Tell


class Sqlite:
    """See `mar.serving.store.database.Database`."""

    locks = ""  # a transaction that may write is alone
    now = "(julianday('now') - 2440587.5) * 86400.0"
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    shared = False

    def __init__(self, db: sqlite3.Connection, where: str) -> None:
        self._db, self.where = db, where
        self._one = anyio.CapacityLimiter(1)

    @classmethod
    async def open(cls, path: Path | str, *, durable: bool = False) -> Sqlite:
        """Open a file, which is made when absent.

        Raises:
            ConfigError: It cannot be opened as a SQLite file.
        """
        db = await anyio.to_thread.run_sync(_open, path, durable)
        return cls(db, str(path))

    async def do(self, work: Callable[[], Steps[T]], *, alone: bool = False) -> T:
        """See `Database`. A transaction is always alone."""
        return await anyio.to_thread.run_sync(self._do, work, "BEGIN IMMEDIATE", limiter=self._one)

    async def look(self, work: Callable[[], Steps[T]]) -> T:
        """See `Database`."""
        return await anyio.to_thread.run_sync(self._do, work, "BEGIN", limiter=self._one)

    async def close(self) -> None:
        """Close the file."""
        await anyio.to_thread.run_sync(self._db.close, limiter=self._one)

    def _do(self, work: Callable[[], Steps[T]], begin: str) -> T:
        with self._transaction(begin):
            steps = work()
            try:
                step = next(steps)
                while True:
                    step = steps.send(self._step(step))
            except StopIteration as end:
                return end.value

    def _step(self, step: Ask | Tell) -> list[Row]:
        if isinstance(step, Ask):
            return self._db.execute(step.sql, step.values).fetchall()
        self._db.executemany(step.sql, step.rows)
        return []

    @contextmanager
    def _transaction(self, begin: str) -> Generator[None]:
        try:
            self._db.execute(begin)
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk has ended it already
                    self._db.execute("ROLLBACK")
                raise
        except FAILURES as error:
            raise StoreUnavailable(f"{self.where}: {brief(error)}") from None


def _open(path: Path | str, durable: bool) -> sqlite3.Connection:
    try:
        db = open_private(Path(path))
        try:
            write_ahead(db)
            db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        except BaseException:
            db.close()
            raise
    except FAILURES as error:
        raise refusal(str(path), brief(error), expected="a writable SQLite file", error=ConfigError) from error
    return db
