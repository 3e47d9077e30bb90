"""What users of a personal controller said, in PostgreSQL: for a gateway on several machines (extra `postgres`).

Controllers look at it while they plan, in a thread, so the connections are plain ones. Its tables lie in a schema of
their own, since they have plain names.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from mar.controllers.gmt.store import Connected, Interactions, Rows
from mar.errors import ConfigError, StoreUnavailable
from mar.reading import brief
from mar.serving.store.database import shown

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict
    from psycopg_pool import ConnectionPool, PoolTimeout
except ImportError as missing:  # pragma: no cover
    raise ConfigError(f"PostgreSQL needs the extra: pip install 'mar[postgres]' ({missing})") from None

CONNECTIONS = 2  # of a worker: one controller plans at a time, and one task writes
CONNECT_S = 5.0
STATEMENT_MS = 10_000  # that a statement may take
PARTS = {False: "mar_personal", True: "mar_personal_simulated"}  # schemas: what nobody really answered lies apart
_ALONE = 7_203_114_002  # the lock of whoever makes the tables; any number that nobody else uses
_FAILURES = (psycopg.Error, PoolTimeout, OSError)
_SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS users (
    name TEXT PRIMARY KEY,
    incarnation TEXT NOT NULL,
    revision BIGINT NOT NULL,
    margin DOUBLE PRECISION NOT NULL
)""",
    """
CREATE TABLE IF NOT EXISTS interactions (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    "user" TEXT NOT NULL REFERENCES users (name),
    conversation TEXT NOT NULL,
    turn BIGINT NOT NULL,
    model TEXT NOT NULL,
    opening TEXT NOT NULL,
    query TEXT NOT NULL,
    response TEXT,
    created DOUBLE PRECISION NOT NULL,
    rating DOUBLE PRECISION CHECK (rating BETWEEN 0 AND 1),
    revision BIGINT NOT NULL,
    episode TEXT,
    UNIQUE ("user", conversation, turn, model)
)""",
    'CREATE INDEX IF NOT EXISTS by_revision ON interactions ("user", revision)',
    "CREATE INDEX IF NOT EXISTS by_episode ON interactions (episode)",
)


class _Connected:
    """See `Connected`."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Rows:
        """See `Connected`."""
        asked: Any = sql.replace("%", "%%").replace("?", "%s")
        return self.connection.execute(asked, values)


class PostgresInteractions(Interactions):
    """See `Interactions`. A change is on disk when it ends.

    Args:
        url: The address.
        simulated: Whether nobody real answers.

    Raises:
        ConfigError: The address is none of a database.
        StoreUnavailable: It gives no answer.
    """

    def __init__(self, url: str, *, simulated: bool = False) -> None:
        part = PARTS[simulated]
        self.name = f"{shown(url)}, {part}"
        self.where = f"interactions in {self.name}"
        try:
            conninfo_to_dict(url)
        except psycopg.Error:
            raise ConfigError(f"{self.where}: expected postgresql://user:password@host:port/database") from None
        options = f"-c search_path={part} -c synchronous_commit=on -c statement_timeout={STATEMENT_MS}"
        connect = {"options": options, "connect_timeout": int(CONNECT_S)}
        self._one = threading.RLock()  # of whoever writes
        self._within: _Connected | None = None  # what `together` is under way in
        with self._errors(), psycopg.connect(url, **connect) as connection:  # pyright: ignore[reportArgumentType]
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_ALONE,))
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {part}")  # pyright: ignore[reportArgumentType, reportCallIssue]
            for statement in _SCHEMA:
                connection.execute(statement)  # pyright: ignore[reportArgumentType, reportCallIssue]
        self._pool: ConnectionPool[psycopg.Connection[Any]] = ConnectionPool(
            url, kwargs=connect, min_size=1, max_size=CONNECTIONS, timeout=CONNECT_S, open=True
        )

    def close(self) -> None:
        """See `Interactions`."""
        self._pool.close()

    @contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except _FAILURES as error:
            raise StoreUnavailable(f"{self.where}: {brief(error)}") from None

    @contextmanager
    def _writing(self) -> Generator[Connected]:
        with self._one, self._errors():
            if self._within is not None:
                with self._within.connection.transaction():
                    yield self._within
                return
            # A transaction of its own: within it those of `_within` are savepoints.
            with self._pool.connection() as connection, connection.transaction():
                self._within = _Connected(connection)
                try:
                    yield self._within
                finally:
                    self._within = None

    def _scrub(self, count: int) -> None:
        """Nothing: the server overwrites what is deleted as it goes."""

    @contextmanager
    def _read(self) -> Generator[Connected]:
        with self._errors(), self._pool.connection() as connection:
            yield _Connected(connection)
