"""What users asked, what they were answered and how they rated it: in a database that outlives crashes.

By default that is a SQLite file (`InteractionStore`); a gateway over several machines keeps them in PostgreSQL
(`mar.serving.store.interactions`). Several processes may write at once. Every change of a user's data raises their
revision, so a reader fetches only what is new; a user whose data were deleted and who comes back is a new incarnation.
"""

from __future__ import annotations

import math
import secrets
import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import TypeAdapter

from mar.cachefile import FAILURES, MEMORY, open_private, write_ahead
from mar.environment import CACHE_VARIABLE, cache_folder
from mar.errors import ConfigError, DataError
from mar.reading import brief, refusal, validated

SCHEMA_VERSION = 2
BUSY_S = 30.0  # how long a writer waits for another one
DEFAULT_MARGIN = 0.1

_SCHEMA = (
    """
CREATE TABLE users (
    name TEXT PRIMARY KEY,
    incarnation TEXT NOT NULL,
    revision INTEGER NOT NULL,
    margin REAL NOT NULL
) WITHOUT ROWID""",
    """
CREATE TABLE interactions (
    id INTEGER PRIMARY KEY,
    "user" TEXT NOT NULL REFERENCES users (name),
    conversation TEXT NOT NULL,
    turn INTEGER NOT NULL,
    model TEXT NOT NULL,
    opening TEXT NOT NULL,
    query TEXT NOT NULL,
    response TEXT,
    created REAL NOT NULL,
    rating REAL CHECK (rating BETWEEN 0 AND 1),
    revision INTEGER NOT NULL,
    episode TEXT,
    UNIQUE ("user", conversation, turn, model)
)""",
    'CREATE INDEX by_revision ON interactions ("user", revision)',
    "CREATE INDEX by_episode ON interactions (episode)",
)


def default_store_path(*, simulated: bool = False) -> Path:
    """Where interactions lie unless a path is given; what nobody really answered lies apart."""
    return cache_folder() / ("interactions-simulated.sqlite" if simulated else "interactions.sqlite")


def thumb(up: bool) -> float:
    """Thumbs up or down as a rating."""
    return 1.0 if up else 0.0


def stars(number: int) -> float:
    """1 to 5 as a rating from 0 to 1.

    Raises:
        DataError: It is none of them.
    """
    if number not in range(1, 6):
        raise DataError(f"a rating of {number}; expected 1 to 5")
    return (number - 1) / 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a user's data stand."""

    incarnation: str
    revision: int
    margin: float  # how much likelier another LLM must be preferred before a conversation changes to it


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """One answered query."""

    id: int
    conversation: str
    turn: int  # from 0
    model: str
    opening: str  # the conversation's first query
    query: str
    response: str | None  # None: the call failed
    created: float  # when it was asked, seconds since 1970
    rating: float | None  # 0 to 1; None: not rated


T = TypeVar("T")
NOBODY = Standing(incarnation="", revision=0, margin=DEFAULT_MARGIN)
_FIELDS = "id, conversation, turn, model, opening, query, response, created, rating"


_INTERACTION, _STANDING, _NAMES_KEPT = TypeAdapter(Interaction), TypeAdapter(Standing), TypeAdapter(list[str])
_NAMES = ("id", "conversation", "turn", "model", "opening", "query", "response", "created", "rating")


class Rows(Protocol):
    """What a statement gives."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed."""
        ...

    def fetchone(self) -> Any:
        """The next row; None: there is no more."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows."""
        ...


class Connected(Protocol):
    """A database within a transaction."""

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Rows:
        """Run one statement, with `?` for values."""
        ...


class Interactions(ABC):
    """Interactions and ratings in a database, in the SQL that SQLite and PostgreSQL have; threads may share it."""

    where: str  # which database, for messages
    name: str  # the same in short

    @abstractmethod
    def _writing(self) -> AbstractContextManager[Connected]:
        """One change, whole or not at all, while other writers wait; within `together` a part of it, likewise."""

    @abstractmethod
    def _read(self) -> AbstractContextManager[Connected]:
        """A look, which waits for no writer."""

    @abstractmethod
    def close(self) -> None:
        """Close it."""

    def _checked(self, kind: TypeAdapter[T], value: object) -> T:
        """What the file holds, which another program may have written."""
        return validated(kind, value, self.where, expected="what mar keeps there", error=ConfigError)

    # Writing --------------------------------------------------------------------------------------------------

    @contextmanager
    def together(self) -> Generator[None]:
        """What this thread writes meanwhile reaches the disk at once, at its end: a hundred changes cost hardly more
        than one. A change that fails leaves the others; an error that leaves the block undoes them all.
        """
        with self._writing():
            yield

    def record(
        self,
        user: str,
        *,
        conversation: str,
        turn: int,
        model: str,
        opening: str,
        query: str,
        response: str | None,
        episode: str | None = None,
        created: float | None = None,
    ) -> int:
        """Keep an answered query; gives its id. The same user, conversation, turn and LLM again replaces the answer.

        Args:
            user: Who asked; likewise what follows, as `Interaction` has it.
            created: When it was asked, seconds since 1970; None: now.
        """
        if not user:
            raise DataError("the user's name is empty; expected a name")
        with self._writing() as db:
            revision = self._raise(db, user)
            texts = [_storable(t) for t in (conversation, model, opening, query)]
            answer = None if response is None else _storable(response)
            asked = time.time() if created is None else created
            row = (_storable(user), texts[0], turn, *texts[1:], answer, asked, revision, episode)
            found = db.execute(
                "INSERT INTO interactions "
                '("user", conversation, turn, model, opening, query, response, created, revision, episode) '
                'VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT ("user", conversation, turn, model) DO UPDATE SET '
                "opening = excluded.opening, query = excluded.query, response = excluded.response, "
                "created = excluded.created, revision = excluded.revision, episode = excluded.episode, "
                "rating = NULL RETURNING id",
                row,
            ).fetchone()
            return int(found[0])

    def rate(self, interaction: int, rating: float) -> None:
        """Rate an answer from 0 to 1; rating it again replaces the rating.

        Raises:
            DataError: The rating is out of range, or there is no such interaction.
        """
        if not (math.isfinite(rating) and 0 <= rating <= 1):
            raise DataError(f"a rating of {rating}; expected 0 to 1")
        with self._writing() as db:
            row = db.execute('SELECT "user" FROM interactions WHERE id = ?', (interaction,)).fetchone()
            if row is None:
                raise DataError(f"no interaction {interaction}; it was never recorded, or its user's data were deleted")
            revision = self._raise(db, row[0])
            db.execute("UPDATE interactions SET rating = ?, revision = ? WHERE id = ?", (rating, revision, interaction))

    def set_margin(self, user: str, margin: float) -> None:
        """Set how much likelier (in probability) another LLM must be preferred before a conversation changes to it.

        Raises:
            DataError: It is not between 0 and 0.5.
        """
        if not 0 <= margin <= 0.5:
            raise DataError(f"a margin of {margin}; expected 0 (always the best) to 0.5 (never change)")
        with self._writing() as db:
            self._raise(db, user)
            db.execute("UPDATE users SET margin = ? WHERE name = ?", (margin, _storable(user)))

    def forget(self, user: str, *, before: float = math.inf) -> int:
        """Delete everything about a user; gives how many interactions. In a file the bytes are overwritten on disk.

        Args:
            user: Who.
            before: Only what was asked until then, seconds since 1970.

        Raises:
            ConfigError: They are deleted, but another process reads the file and the old bytes are still in its log.
        """
        with self._writing() as db:
            name = _storable(user)
            sql = 'DELETE FROM interactions WHERE "user" = ? AND created <= ?'
            count = db.execute(sql, (name, before)).rowcount
            left = db.execute('SELECT 1 FROM interactions WHERE "user" = ? LIMIT 1', (name,)).fetchone()
            if left is None:
                db.execute("DELETE FROM users WHERE name = ?", (name,))
            elif count:
                self._renew(db, name)
                db.execute("UPDATE users SET margin = ? WHERE name = ?", (DEFAULT_MARGIN, name))
        self._scrub(count)
        return count

    def forget_conversation(self, conversation: str, *, before: float = math.inf) -> int:
        """Delete a conversation, whoever's it is; gives how many interactions. As `forget`."""
        name = _storable(conversation)
        with self._writing() as db:
            which = "FROM interactions WHERE conversation = ? AND created <= ?"
            rows = db.execute(f'SELECT DISTINCT "user" {which}', (name, before)).fetchall()
            count = db.execute(f"DELETE {which}", (name, before)).rowcount
            for (user,) in rows:
                self._renew(db, user)
        self._scrub(count)
        return count

    def _renew(self, db: Connected, user: str) -> None:
        """Make a user somebody new: who follows revisions would not see that something is gone."""
        again = "UPDATE users SET incarnation = ?, revision = revision + 1 WHERE name = ?"
        db.execute(again, (secrets.token_hex(8), user))

    @abstractmethod
    def _scrub(self, count: int) -> None:
        """See to it that the bytes of so many interactions that were deleted are gone, as far as that is ours."""

    def _raise(self, db: Connected, user: str) -> int:
        row = db.execute(
            "INSERT INTO users (name, incarnation, revision, margin) VALUES (?, ?, 1, ?) "
            "ON CONFLICT (name) DO UPDATE SET revision = users.revision + 1 RETURNING revision",
            (_storable(user), secrets.token_hex(8), DEFAULT_MARGIN),
        ).fetchone()
        return int(row[0])

    # Reading --------------------------------------------------------------------------------------------------

    def standing(self, user: str) -> Standing:
        """Where a user's data stand; somebody unknown is nobody, which is no error."""
        query = "SELECT incarnation, revision, margin FROM users WHERE name = ?"
        with self._read() as db:
            row = db.execute(query, (_storable(user),)).fetchone()
        names = ("incarnation", "revision", "margin")
        return NOBODY if row is None else self._checked(_STANDING, dict(zip(names, row, strict=True)))

    def since(self, user: str, revision: int) -> list[Interaction]:
        """A user's interactions that are new or changed after a revision, oldest first."""
        query = f'SELECT {_FIELDS} FROM interactions WHERE "user" = ? AND revision > ? ORDER BY id'
        with self._read() as db:
            rows = db.execute(query, (_storable(user), revision)).fetchall()
        return [self._checked(_INTERACTION, dict(zip(_NAMES, row, strict=True))) for row in rows]

    def said(self, episode: str) -> int | None:
        """The id of what an episode answered; None: it is not kept."""
        with self._read() as db:
            row = db.execute("SELECT id FROM interactions WHERE episode = ?", (episode,)).fetchone()
        return None if row is None else int(row[0])

    def rated(self, user: str) -> int:
        """How many ratings of a user are kept."""
        query = 'SELECT count(rating) FROM interactions WHERE "user" = ?'
        with self._read() as db:
            return int(db.execute(query, (_storable(user),)).fetchone()[0])

    def last_of(self, user: str, conversation: str) -> Interaction | None:
        """The latest answered turn of a conversation."""
        query = (
            f'SELECT {_FIELDS} FROM interactions WHERE "user" = ? AND conversation = ? AND response IS NOT NULL '
            "ORDER BY turn DESC, id DESC LIMIT 1"
        )
        with self._read() as db:
            row = db.execute(query, (_storable(user), _storable(conversation))).fetchone()
        return None if row is None else self._checked(_INTERACTION, dict(zip(_NAMES, row, strict=True)))

    def users(self) -> list[str]:
        """Everybody with data here."""
        with self._read() as db:
            names = [row[0] for row in db.execute("SELECT name FROM users ORDER BY name").fetchall()]
        return self._checked(_NAMES_KEPT, names)

    def conversations(self) -> list[str]:
        """All conversations that have a name."""
        query = "SELECT DISTINCT conversation FROM interactions WHERE conversation <> '' ORDER BY conversation"
        with self._read() as db:
            names = [row[0] for row in db.execute(query).fetchall()]
        return self._checked(_NAMES_KEPT, names)


class InteractionStore(Interactions):
    """Interactions and ratings in a SQLite file.

    Reading takes well under a millisecond and waits for no writer. Writing waits for the disk, so that what a person
    said outlives a power cut: who has much to write does it in a thread, `together`.

    Raises:
        ConfigError: The file cannot be opened as a store of interactions.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path = path or default_store_path()
        self.where, self.name = f"interactions {path}", path.name
        self._lock = threading.RLock()  # of whoever writes
        self._reading = threading.Lock()
        with self._errors():
            self._db = open_private(path, busy_s=BUSY_S)  # what people said is for nobody else to read
            try:
                # FULL: what a person said is on disk before they are told so, also through a power cut
                write_ahead(self._db)
                self._db.execute("PRAGMA synchronous=FULL")
                self._db.execute("PRAGMA secure_delete=ON")
                if self._version() != SCHEMA_VERSION:
                    self._create()
                self._reader = self._db if str(path) == MEMORY else open_private(path, busy_s=BUSY_S)
            except BaseException:
                self._db.close()
                raise

    def _version(self) -> int:
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def _create(self) -> None:
        """Make the tables in an empty file, unless another process has just done so."""
        with self._writing() as db:
            version, other = self._version(), db.execute("SELECT name FROM sqlite_master LIMIT 1").fetchone()
            if version == SCHEMA_VERSION:
                return
            if version == 1:  # what people said is kept: it only lacks which episodes answered them
                db.execute("ALTER TABLE interactions ADD COLUMN episode TEXT")
                db.execute(_SCHEMA[-1])
                db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
                return
            if version:
                raise ConfigError(f"{self.path}: schema version {version}, expected {SCHEMA_VERSION}; move it away")
            if other is not None:
                raise ConfigError(f"{self.path} is a database of something else (it has a table {other[0]})")
            for statement in _SCHEMA:
                db.execute(statement)
            db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def close(self) -> None:
        """Close the file."""
        with self._lock, self._reading:
            self._reader.close()
            self._db.close()

    @contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except FAILURES as error:
            expected = f"a writable SQLite file (set {CACHE_VARIABLE})"
            raise refusal(self.where, brief(error), expected=expected, error=ConfigError) from error

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        """One change, whole or not at all, while other writers wait; within `together` a part of it, likewise."""
        with self._lock, self._errors():
            inner = self._db.in_transaction
            self._db.execute("SAVEPOINT one" if inner else "BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("RELEASE one" if inner else "COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk has ended it already
                    self._db.execute("ROLLBACK TO one" if inner else "ROLLBACK")
                raise

    @contextmanager
    def _read(self) -> Generator[Connected]:
        with self._lock if self._reader is self._db else self._reading, self._errors():
            yield self._reader

    def _scrub(self, count: int) -> None:
        with self._lock, self._reading, self._errors():
            busy = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]  # the log held the old pages
        if busy:
            raise ConfigError(
                f"{count} interactions deleted, but another process reads {self.path}, so that their bytes are still "
                "there; delete again once it is done"
            )


def _storable(text: str) -> str:
    """Text that databases can hold: a lone half of a surrogate pair becomes a question mark, and NUL its sign."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")
