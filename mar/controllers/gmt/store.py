"""What users asked, what they were answered and how they rated it: a SQLite file that outlives crashes.

Several processes may write at once. Every change of a user's data raises that user's revision, so a reader fetches only
what is new; a user whose data were deleted and who comes back is a new incarnation.
"""

from __future__ import annotations

import math
import secrets
import sqlite3
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from mar.cachefile import FAILURES
from mar.environment import CACHE_VARIABLE, cache_folder
from mar.errors import ConfigError, DataError
from mar.reading import brief, refusal, validated

SCHEMA_VERSION = 1
BUSY_S = 30.0  # how long a writer waits for another one
DEFAULT_MARGIN = 0.1
MEMORY = ":memory:"  # a path that is no file: a store that nothing outlives

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
    user TEXT NOT NULL REFERENCES users (name),
    conversation TEXT NOT NULL,
    turn INTEGER NOT NULL,
    model TEXT NOT NULL,
    opening TEXT NOT NULL,
    query TEXT NOT NULL,
    response TEXT,
    created REAL NOT NULL,
    rating REAL CHECK (rating BETWEEN 0 AND 1),
    revision INTEGER NOT NULL,
    UNIQUE (user, conversation, turn, model)
)""",
    "CREATE INDEX by_revision ON interactions (user, revision)",
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
    created: float  # seconds since 1970
    rating: float | None  # 0 to 1; None: not rated


T = TypeVar("T")
NOBODY = Standing(incarnation="", revision=0, margin=DEFAULT_MARGIN)
_FIELDS = "id, conversation, turn, model, opening, query, response, created, rating"


_INTERACTION, _STANDING, _USERS = TypeAdapter(Interaction), TypeAdapter(Standing), TypeAdapter(list[str])
_NAMES = ("id", "conversation", "turn", "model", "opening", "query", "response", "created", "rating")


class InteractionStore:
    """Interactions and ratings on disk. Its methods block for well under a millisecond; threads may share it.

    Raises:
        ConfigError: The file cannot be opened as a store of interactions.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path = path or default_store_path()
        self._lock = threading.Lock()
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            if str(path) != MEMORY:
                path.touch(mode=0o600)  # what people said is for nobody else to read
            self._db = sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False, isolation_level=None)
            try:
                # FULL: what a person said is on disk before they are told so, also through a power cut
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
                self._db.execute("PRAGMA secure_delete=ON")
                if self._version() != SCHEMA_VERSION:
                    self._create()
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
            if version:
                raise ConfigError(f"{self.path}: schema version {version}, expected {SCHEMA_VERSION}; move it away")
            if other is not None:
                raise ConfigError(f"{self.path} is a database of something else (it has a table {other[0]})")
            for statement in _SCHEMA:
                db.execute(statement)
            db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except FAILURES as error:
            expected = f"a writable SQLite file (set {CACHE_VARIABLE})"
            raise refusal(f"interactions {self.path}", brief(error), expected=expected, error=ConfigError) from error

    def _checked(self, kind: TypeAdapter[T], value: object) -> T:
        """What the file holds, which another program may have written."""
        return validated(kind, value, f"interactions {self.path}", expected="what mar keeps there", error=ConfigError)

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        """One change, whole or not at all, while other writers wait."""
        with self._lock, self._errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk has ended it already
                    self._db.execute("ROLLBACK")
                raise

    # Writing --------------------------------------------------------------------------------------------------

    def record(
        self, user: str, *, conversation: str, turn: int, model: str, opening: str, query: str, response: str | None
    ) -> int:
        """Keep an answered query; gives its id. The same user, conversation, turn and LLM again replaces the answer."""
        if not user:
            raise DataError("the user's name is empty; expected a name")
        with self._writing() as db:
            revision = self._raise(db, user)
            texts = [_storable(t) for t in (conversation, model, opening, query)]
            answer = None if response is None else _storable(response)
            row = (_storable(user), texts[0], turn, *texts[1:], answer, time.time(), revision)
            found = db.execute(
                "INSERT INTO interactions "
                "(user, conversation, turn, model, opening, query, response, created, revision) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (user, conversation, turn, model) DO UPDATE SET "
                "opening = excluded.opening, query = excluded.query, response = excluded.response, "
                "created = excluded.created, revision = excluded.revision, rating = NULL RETURNING id",
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
            row = db.execute("SELECT user FROM interactions WHERE id = ?", (interaction,)).fetchone()
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

    def forget(self, user: str) -> int:
        """Delete everything about a user; gives how many interactions. The bytes are overwritten on disk.

        Raises:
            ConfigError: They are deleted, but another process reads the file and the old bytes are still in its log.
        """
        with self._writing() as db:
            count = db.execute("DELETE FROM interactions WHERE user = ?", (_storable(user),)).rowcount
            db.execute("DELETE FROM users WHERE name = ?", (_storable(user),))
        with self._lock, self._errors():
            busy = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]  # the log held the old pages
        if busy:
            raise ConfigError(
                f"{count} interactions deleted, but another process reads {self.path}, so that their bytes are still "
                "there; delete again once it is done"
            )
        return count

    def _raise(self, db: sqlite3.Connection, user: str) -> int:
        row = db.execute(
            "INSERT INTO users (name, incarnation, revision, margin) VALUES (?, ?, 1, ?) "
            "ON CONFLICT (name) DO UPDATE SET revision = revision + 1 RETURNING revision",
            (_storable(user), secrets.token_hex(8), DEFAULT_MARGIN),
        ).fetchone()
        return int(row[0])

    # Reading --------------------------------------------------------------------------------------------------

    def standing(self, user: str) -> Standing:
        """Where a user's data stand; somebody unknown is nobody, which is no error."""
        query = "SELECT incarnation, revision, margin FROM users WHERE name = ?"
        with self._lock, self._errors():
            row = self._db.execute(query, (_storable(user),)).fetchone()
        names = ("incarnation", "revision", "margin")
        return NOBODY if row is None else self._checked(_STANDING, dict(zip(names, row, strict=True)))

    def since(self, user: str, revision: int) -> list[Interaction]:
        """A user's interactions that are new or changed after a revision, oldest first."""
        query = f"SELECT {_FIELDS} FROM interactions WHERE user = ? AND revision > ? ORDER BY id"
        with self._lock, self._errors():
            rows = self._db.execute(query, (_storable(user), revision)).fetchall()
        return [self._checked(_INTERACTION, dict(zip(_NAMES, row, strict=True))) for row in rows]

    def rated(self, user: str) -> int:
        """How many ratings of a user are kept."""
        query = "SELECT count(rating) FROM interactions WHERE user = ?"
        with self._lock, self._errors():
            return int(self._db.execute(query, (_storable(user),)).fetchone()[0])

    def last_of(self, user: str, conversation: str) -> Interaction | None:
        """The latest answered turn of a conversation."""
        query = (
            f"SELECT {_FIELDS} FROM interactions WHERE user = ? AND conversation = ? AND response IS NOT NULL "
            "ORDER BY turn DESC, id DESC LIMIT 1"
        )
        with self._lock, self._errors():
            row = self._db.execute(query, (_storable(user), _storable(conversation))).fetchone()
        return None if row is None else self._checked(_INTERACTION, dict(zip(_NAMES, row, strict=True)))

    def users(self) -> list[str]:
        """Everybody with data here."""
        with self._lock, self._errors():
            names = [row[0] for row in self._db.execute("SELECT name FROM users ORDER BY name")]
        return self._checked(_USERS, names)


def _storable(text: str) -> str:
    """Text that SQLite can hold: a lone half of a surrogate pair becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")
