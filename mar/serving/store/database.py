"""A relational database as mar's gateway uses it: transactions, written once for SQLite and PostgreSQL.

A transaction is a generator: it yields statements and is sent their rows. SQLite's driver runs it in a thread,
PostgreSQL's on the event loop, and neither knows what it does. Statements are in the SQL that both have, with `?` for
values; types are PostgreSQL's, which SQLite takes by their affinity.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, TypeVar
from urllib.parse import urlsplit

from mar.errors import ConfigError

T = TypeVar("T")
MOST_ROWS = 64  # of a statement that inserts; a power of two
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """A statement whose rows are sent back."""

    sql: str
    values: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Tell:
    """A statement for each row of values; nothing comes back."""

    sql: str
    rows: Sequence[Sequence[Any]]


Steps = Generator[Ask | Tell, list[Row], T]


class Database(Protocol):
    """A database that is open."""

    @property
    def where(self) -> str:
        """Which one it is, for messages: without user and password."""
        ...

    @property
    def locks(self) -> str:
        """What ends a SELECT whose rows nobody else may change until the end of the transaction."""
        ...

    @property
    def now(self) -> str:
        """The expression of its time, in seconds since 1970."""
        ...

    @property
    def tables(self) -> str:
        """The statement that lists the tables there are."""
        ...

    @property
    def shared(self) -> bool:
        """Whether other programs may have tables beside mar's."""
        ...

    async def do(self, work: Callable[[], Steps[T]], *, alone: bool = False) -> T:
        """One transaction, whole or not at all; it may be begun anew, so `work` is called for each attempt.

        Args:
            work: Makes the transaction.
            alone: No other transaction that is to be alone runs meanwhile.

        Raises:
            StoreUnavailable: The database gives no answer.
        """
        ...

    async def look(self, work: Callable[[], Steps[T]]) -> T:
        """One transaction that only reads, as of one moment; it holds up nobody who writes.

        Raises:
            StoreUnavailable: The database gives no answer.
        """
        ...

    async def close(self) -> None:
        """Close it."""
        ...


def marks(count: int) -> str:
    """So many places for values, as `IN` takes them."""
    return "(" + ", ".join("?" * count) + ")"


def among(values: Sequence[Any]) -> tuple[str, list[Any]]:
    """Places for values, at least one, as `IN` takes them, and what is put there.

    The last value is repeated up to a power of two: drivers keep statements by their text, and one of each length
    there is would fill what they keep with long ones.
    """
    size = 1 << (len(values) - 1).bit_length()
    return marks(size), [*values, *[values[-1]] * (size - len(values))]


def insert(table: str, rows: Sequence[Sequence[Any]], ending: str = "") -> Steps[None]:
    """Insert rows, each of as many values as there are columns.

    As few statements as there can be of the sizes 64, 32, ... 1, since each is waited for; of any other size there are
    none, since drivers keep statements by their text, with what was last bound to them.
    """
    size, begun = MOST_ROWS, 0
    while begun < len(rows):
        count = (len(rows) - begun) // size
        if count:
            values = ", ".join([marks(len(rows[0]))] * size)
            chunks = [rows[n : n + size] for n in range(begun, begun + count * size, size)]
            flat = [[value for row in chunk for value in row] for chunk in chunks]
            yield Tell(f"INSERT INTO {table} VALUES {values} {ending}", flat)
            begun += count * size
        size //= 2


async def prepare(db: Database, part: str, version: int, schema: Sequence[str]) -> None:
    """Make the tables of a part where there are none, whoever else is about to do so.

    Raises:
        ConfigError: The database holds something else, or the part as another version of mar makes it.
        StoreUnavailable: The database gives no answer.
    """

    def work() -> Steps[None]:
        names = {str(row[0]) for row in (yield Ask(db.tables))}
        others = sorted(name for name in names if not name.startswith("mar_"))
        if others and not db.shared:
            raise ConfigError(f"{db.where} is a database of something else (it has a table {others[0]})")
        yield Tell("CREATE TABLE IF NOT EXISTS mar_schema (part TEXT PRIMARY KEY, version BIGINT NOT NULL)", [()])
        found = yield Ask("SELECT version FROM mar_schema WHERE part = ?", (part,))
        if found and found[0][0] == version:
            return
        if found:
            raise ConfigError(f"{db.where}: {part} of schema version {found[0][0]}, expected {version}; move it away")
        for statement in schema:
            yield Tell(statement, [()])
        yield Tell("INSERT INTO mar_schema VALUES (?, ?)", [(part, version)])

    await db.do(work, alone=True)


class Part:
    """A part of a database that has tables of its own. Methods raise `StoreUnavailable` where there is no answer."""

    PART: ClassVar[str]
    VERSION: ClassVar[int]
    SCHEMA: ClassVar[Sequence[str]]

    def __init__(self, db: Database) -> None:
        self.db = db

    @classmethod
    async def open(cls, db: Database) -> Self:
        """That of a database; its tables are made when absent.

        Raises:
            ConfigError: The database holds something else.
            StoreUnavailable: It gives no answer.
        """
        await prepare(db, cls.PART, cls.VERSION, cls.SCHEMA)
        return cls(db)


def shown(url: str) -> str:
    """The address of a store for messages: without user, password and parameters."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the store"
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"
