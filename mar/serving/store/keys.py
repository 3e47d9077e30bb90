"""Virtual keys in a database: made, listed, revoked and given new secrets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mar.errors import ConfigError
from mar.reading import parse_json, validated
from mar.serving.keys.key import Key, Terms, hash_of, new_id, new_secret
from mar.serving.store.database import Ask, Part, Row, Steps, Tell

TABLES = (
    """
CREATE TABLE mar_keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    terms TEXT NOT NULL,
    created DOUBLE PRECISION NOT NULL,
    revoked DOUBLE PRECISION
)""",
    """
CREATE TABLE mar_secrets (
    hash BYTEA PRIMARY KEY,
    key TEXT NOT NULL REFERENCES mar_keys (id),
    ends DOUBLE PRECISION
)""",
    "CREATE TABLE mar_revision (number BIGINT NOT NULL)",
    "INSERT INTO mar_revision VALUES (0)",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All that there is to know about keys, as of one revision."""

    revision: int
    keys: Mapping[bytes, tuple[Key, float | None]]  # by a secret's hash; with when the secret ends, None: never
    now: float  # the database's time


class KeyStore(Part):
    """Keys of a database."""

    PART, VERSION, SCHEMA = "keys", 1, TABLES

    async def create(self, name: str, terms: Terms) -> tuple[Key, str]:
        """Make a key; gives it and its secret, which cannot be had again."""
        return await self.db.do(lambda: self._create(name, terms))

    async def all(self) -> list[Key]:
        """Every key that was ever made, the oldest first."""
        return await self.db.look(self._all)

    async def limit(self, key: str, terms: Terms) -> Key:
        """Give a key other terms; what it has spent stays.

        Raises:
            ConfigError: There is none of this id or name.
        """
        return await self.db.do(lambda: self._limit(key, terms))

    async def revoke(self, key: str) -> Key:
        """Revoke a key for good; it stays in the list.

        Raises:
            ConfigError: There is none of this id or name.
        """
        return await self.db.do(lambda: self._revoke(key))

    async def rotate(self, key: str, *, overlap_s: float = 0.0) -> tuple[Key, str]:
        """Give a key a new secret; what it has spent stays. Its old secrets end after so many seconds.

        Raises:
            ConfigError: There is none of this id or name, or it is revoked.
        """
        return await self.db.do(lambda: self._rotate(key, overlap_s))

    async def known(self, revision: int | None = None) -> Known | None:
        """What there is to know; None: nothing has changed since a revision."""
        return await self.db.look(lambda: self._known(revision))

    def _create(self, name: str, terms: Terms) -> Steps[tuple[Key, str]]:
        secret, now = new_secret(), (yield from self._now())
        key = Key(id=new_id(), name=name, terms=terms, created=now, revoked=None)
        row = (key.id, name, terms.model_dump_json(exclude_defaults=True), now, None)
        yield Tell("INSERT INTO mar_keys VALUES (?, ?, ?, ?, ?)", [row])
        yield Tell("INSERT INTO mar_secrets VALUES (?, ?, ?)", [(hash_of(secret), key.id, None)])
        yield from self._changed()
        return key, secret

    def _all(self) -> Steps[list[Key]]:
        rows = yield Ask("SELECT id, name, terms, created, revoked FROM mar_keys ORDER BY created, id")
        return [self._key(row) for row in rows]

    def _limit(self, name: str, terms: Terms) -> Steps[Key]:
        key = yield from self._one(name)
        yield Tell(
            "UPDATE mar_keys SET terms = ? WHERE id = ?", [(terms.model_dump_json(exclude_defaults=True), key.id)]
        )
        yield from self._changed()
        return (yield from self._one(key.id))

    def _revoke(self, name: str) -> Steps[Key]:
        key, now = (yield from self._one(name)), (yield from self._now())
        yield Tell("UPDATE mar_keys SET revoked = ? WHERE id = ? AND revoked IS NULL", [(now, key.id)])
        yield from self._changed()
        return (yield from self._one(key.id))

    def _rotate(self, name: str, overlap_s: float) -> Steps[tuple[Key, str]]:
        key, now, secret = (yield from self._one(name)), (yield from self._now()), new_secret()
        if key.revoked is not None:
            raise ConfigError(f"{key.id} ({key.name}) is revoked; make a new key")
        ends = (now + overlap_s, key.id, now + overlap_s)
        yield Tell("UPDATE mar_secrets SET ends = ? WHERE key = ? AND (ends IS NULL OR ends > ?)", [ends])
        yield Tell("INSERT INTO mar_secrets VALUES (?, ?, ?)", [(hash_of(secret), key.id, None)])
        yield from self._changed()
        return key, secret

    def _known(self, revision: int | None) -> Steps[Known | None]:
        found, now = (yield Ask("SELECT number FROM mar_revision")), (yield from self._now())
        number = int(found[0][0])
        if number == revision:
            return None
        keys = {key.id: key for key in (yield from self._all())}
        rows = yield Ask("SELECT hash, key, ends FROM mar_secrets")
        return Known(revision=number, keys={bytes(h): (keys[k], ends) for h, k, ends in rows}, now=now)

    def _one(self, name: str) -> Steps[Key]:
        """The key of an id, or the only one of a name."""
        sql = "SELECT id, name, terms, created, revoked FROM mar_keys WHERE id = ? OR name = ? ORDER BY id"
        rows = yield Ask(sql, (name, name))
        exact = [row for row in rows if row[0] == name] or [row for row in rows if row[4] is None] or rows
        if not exact:
            raise ConfigError(f"{self.db.where}: no key has this id or name; `mar keys list` shows those there are")
        if len(exact) > 1:
            ids = ", ".join(str(row[0]) for row in exact)
            raise ConfigError(f"{self.db.where}: several keys are called {name!r}; name one by its id: {ids}")
        return self._key(exact[0])

    def _now(self) -> Steps[float]:
        return float((yield Ask(f"SELECT {self.db.now}"))[0][0])

    def _changed(self) -> Steps[None]:
        yield Tell("UPDATE mar_revision SET number = number + 1", [()])

    def _key(self, row: Row) -> Key:
        where = f"{self.db.where}, key {row[0]}"
        terms = validated(Terms, parse_json(str(row[2]), where, error=ConfigError), where, error=ConfigError)
        return Key(id=row[0], name=row[1], terms=terms, created=row[3], revoked=row[4])


def shown(keys: Sequence[Key]) -> list[dict[str, object]]:
    """Keys as JSON shows them."""
    return [
        {"id": k.id, "name": k.name, "created": k.created, "revoked": k.revoked, **k.terms.model_dump(mode="json")}
        for k in keys
    ]
