"""Counters in a relational database, SQLite or PostgreSQL.

A batch of changes takes two round trips: lock and read the counters that it names, write back what it made of them.
Locks are taken in one order, the worker, then counters by name, so that no two batches wait for each other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from mar.serving.limits.base import Change, Count, Short
from mar.serving.limits.rules import Book, lapse, names_of
from mar.serving.store.database import Ask, Part, Steps, Tell, among, insert

TABLES = (
    """
CREATE TABLE mar_counters (
    name TEXT PRIMARY KEY,
    spent BIGINT NOT NULL,
    held BIGINT NOT NULL,
    uncertain BIGINT NOT NULL,
    expires DOUBLE PRECISION NOT NULL
)""",
    """
CREATE TABLE mar_workers (
    id TEXT PRIMARY KEY,
    expires DOUBLE PRECISION NOT NULL,
    number BIGINT NOT NULL,
    answer TEXT NOT NULL
)""",
    """
CREATE TABLE mar_holdings (
    worker TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (worker, name, kind)
)""",
    """
CREATE TABLE mar_shelf (
    key BYTEA PRIMARY KEY,
    value BYTEA NOT NULL,
    expires DOUBLE PRECISION NOT NULL
)""",
)
NEVER = 1e300  # when what is kept for ever is forgotten


class SqlCounters(Part):
    """See `mar.serving.limits.base.Counters`."""

    PART, VERSION, SCHEMA = "limits", 1, TABLES

    async def change(self, worker: str, number: int, changes: Sequence[Change]) -> list[Short | None] | None:
        """See `Counters`."""
        return await self.db.do(lambda: self._change(worker, number, changes))

    async def beat(self, worker: str, lease_s: float, *, enters: bool = False) -> float | None:
        """See `Counters`."""
        return await self.db.do(lambda: self._beat(worker, lease_s, enters))

    async def leave(self, worker: str) -> None:
        """See `Counters`."""
        await self.db.do(lambda: self._lapse([worker]))

    async def counts(self, names: Sequence[str]) -> Mapping[str, Count]:
        """See `Counters`."""
        return await self.db.look(lambda: self._read(sorted(names), locks="")) if names else {}

    def _change(self, worker: str, number: int, changes: Sequence[Change]) -> Steps[list[Short | None] | None]:
        names = names_of(changes)
        last, counts = yield from self._locked(worker, names)
        if len(counts) < len(names):
            fresh = [(name, 0, 0, 0, NEVER) for name in names if name not in counts]
            yield from insert("mar_counters", fresh, "ON CONFLICT DO NOTHING")
            last, counts = yield from self._locked(worker, names)
        if last is None:
            return None
        if last >= number:
            return _verdicts((yield Ask("SELECT answer FROM mar_workers WHERE id = ?", (worker,)))[0][0])
        book = Book(counts=counts)
        verdicts = book.apply(changes)
        yield from _write_counts({name: book.counts[name] for name in book.changed})
        if book.lives_s:
            lives = [(lives_s, name, NEVER) for name, lives_s in book.lives_s.items()]
            yield Tell(f"UPDATE mar_counters SET expires = {self.db.now} + ? WHERE name = ? AND expires = ?", lives)
        held = [(worker, name, kind, amount) for (name, kind), amount in book.holdings.items() if amount]
        if held:
            sql = "ON CONFLICT (worker, name, kind) DO UPDATE SET amount = mar_holdings.amount + excluded.amount"
            yield from insert("mar_holdings", held, sql)
        answer = json.dumps([None if short is None else asdict(short) for short in verdicts])
        yield Tell("UPDATE mar_workers SET number = ?, answer = ? WHERE id = ?", [(number, answer, worker)])
        return verdicts

    def _locked(self, worker: str, names: Sequence[str]) -> Steps[tuple[int | None, dict[str, Count]]]:
        """The number of a worker's last batch, and counters that there are; both locked. None: no such worker, or no
        such counters."""
        some, values = among(names)
        sql = (
            "SELECT w.number, c.name, c.spent, c.held, c.uncertain FROM mar_workers w, mar_counters c "
            f"WHERE w.id = ? AND c.name IN {some} ORDER BY c.name{self.db.locks}"
        )
        rows = yield Ask(sql, (worker, *values))
        return (rows[0][0] if rows else None), {row[1]: _count(row[2:]) for row in rows}

    def _beat(self, worker: str, lease_s: float, enters: bool) -> Steps[float | None]:
        now = float((yield Ask(f"SELECT {self.db.now}"))[0][0])
        if enters:
            yield Tell("INSERT INTO mar_workers VALUES (?, ?, 0, '[]')", [(worker, now + lease_s)])
        sql = "UPDATE mar_workers SET expires = ? WHERE id = ? AND expires > ? RETURNING id"
        lives = yield Ask(sql, (now + lease_s, worker, now))
        skip = f"{self.db.locks} SKIP LOCKED" if self.db.locks else ""
        dead = yield Ask(f"SELECT id FROM mar_workers WHERE expires <= ?{skip}", (now,))
        yield from self._lapse([str(row[0]) for row in dead])
        yield Tell("DELETE FROM mar_holdings WHERE worker = ? AND amount = 0", [(worker,)])
        yield Tell("DELETE FROM mar_counters WHERE expires <= ? AND held = 0", [(now,)])
        yield Tell("DELETE FROM mar_shelf WHERE expires <= ?", [(now,)])
        return now if lives else None

    def _lapse(self, workers: Sequence[str]) -> Steps[None]:
        """What workers that are no more held."""
        if not workers:
            return
        whose, ids = among(workers)
        yield Ask(f"SELECT id FROM mar_workers WHERE id IN {whose}{self.db.locks}", ids)
        held = yield Ask(f"SELECT name, kind, amount FROM mar_holdings WHERE worker IN {whose}", ids)
        if held:
            counts = yield from self._read(sorted({row[0] for row in held}), locks=self.db.locks)
            for name, kind, amount in held:
                lapse(counts[name], kind, amount)
            yield from _write_counts(counts)
        yield Tell("DELETE FROM mar_holdings WHERE worker = ?", [(worker,) for worker in workers])
        yield Tell("DELETE FROM mar_workers WHERE id = ?", [(worker,) for worker in workers])

    def _read(self, names: Sequence[str], *, locks: str) -> Steps[dict[str, Count]]:
        if not names:
            return {}
        sql = "SELECT name, spent, held, uncertain FROM mar_counters WHERE name IN"
        some, values = among(names)
        rows = yield Ask(f"{sql} {some} ORDER BY name{locks}", values)
        return {name: Count() for name in names} | {row[0]: _count(row[1:]) for row in rows}


def _write_counts(counts: Mapping[str, Count]) -> Steps[None]:
    """Write counters that there are."""
    if counts:
        rows = [(name, c.spent, c.held, c.uncertain, NEVER) for name, c in sorted(counts.items())]
        sql = "spent = excluded.spent, held = excluded.held, uncertain = excluded.uncertain"
        yield from insert("mar_counters", rows, f"ON CONFLICT (name) DO UPDATE SET {sql}")


def _count(figures: Sequence[int]) -> Count:
    spent, held, uncertain = figures
    return Count(spent=spent, held=held, uncertain=uncertain)


def _verdicts(answer: str) -> list[Short | None]:
    return [None if short is None else Short(**short) for short in json.loads(answer)]
