"""A SQLite file of what can be made again: where it cannot be used, mar says so once and goes on without it."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)
MEMORY = ":memory:"  # a path that is no file: what nothing outlives
BUSY_S = 5.0  # how long another process's write is waited for, until that was in vain once
AGAIN_S = 0.01  # between tries of what SQLite does not wait for
FAILURES = (  # what SQLite and Python raise for unusable files and values
    sqlite3.Error,
    OSError,
    OverflowError,
    ValueError,
    MemoryError,  # of a size that a damaged file states
)


def open_private(path: Path, *, busy_s: float = BUSY_S) -> sqlite3.Connection:
    """Open a SQLite file that only its owner may read; folders and file are made when absent, and none for `MEMORY`.

    Args:
        path: The file.
        busy_s: How long another's write is waited for.

    Raises:
        OSError, sqlite3.Error: It cannot be opened.
    """
    if str(path) == MEMORY:
        return sqlite3.connect(MEMORY, check_same_thread=False, isolation_level=None)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # One that is there is not opened here: closing it would take all locks on it from this process's connections
    # (POSIX), and other processes would remove the log under them.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    return sqlite3.connect(path, timeout=busy_s, check_same_thread=False, isolation_level=None)


def write_ahead(db: sqlite3.Connection) -> None:
    """Let readers go on while one process writes (journal_mode WAL).

    Turning that on takes the file alone for a moment. SQLite does not always wait for it, so where several processes
    open a new file at once, it is tried again.

    Raises:
        sqlite3.Error: It cannot be had.
    """
    until = time.monotonic() + BUSY_S
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(AGAIN_S)


class CacheFile:
    """Rows on disk that several threads and processes may share.

    Args:
        path: The file; None: nothing is kept.
        what: It holds, for the warning.
        setup: Statements that make its tables and set it up.
    """

    def __init__(self, path: Path | None, *, what: str, setup: Sequence[str]) -> None:
        self._path, self._what = path, what
        self._lock = threading.Lock()
        self._warned = False
        self._db: sqlite3.Connection | None = None
        if path is None:
            return
        try:
            self._db = open_private(path)
            write_ahead(self._db)
            for statement in setup:
                self._db.execute(statement)
        except FAILURES as error:
            self._warn(error)
            self.close()

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query; none where the file cannot be read."""
        with self._lock:
            try:
                return [] if self._db is None else self._db.execute(query, values).fetchall()
            except FAILURES as error:
                self._warn(error)
                return []

    def write(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Write rows; they are lost where the file cannot be written."""
        with self._lock:
            try:
                if self._db is not None:
                    self._db.execute("BEGIN")
                    self._db.executemany(statement, rows)
                    self._db.execute("COMMIT")
            except FAILURES as error:
                self._warn(error)
                if self._db is not None and self._db.in_transaction:
                    with suppress(sqlite3.Error):  # a damaged file may refuse this, too
                        self._db.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _warn(self, error: Exception) -> None:
        if self._db is not None:
            self._db.execute("PRAGMA busy_timeout=0")
        if not self._warned:
            self._warned = True
            log.warning("%s: %s cannot be used (%s); going on without", self._path, self._what, error)
