"""What came of requests, in a database: written in batches off the path of requests, read by any worker.

`add` never waits and never fails. What waits to be written is bounded; beyond that an entry is dropped and counted,
for a store that is away for minutes must hold up neither answers nor the worker's memory. A worker that is killed loses
what waits, `EVERY_S` and the time of one batch at the most; what its requests have cost is booked by the limits all the
same. At the end everything is written.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import islice
from secrets import token_bytes
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread

from mar.concurrency import beside
from mar.errors import StoreUnavailable
from mar.serving.keeping import Encodes, Keeper, hash_of
from mar.serving.lines import Line
from mar.serving.record import Entry, Feedback, known_by, rated
from mar.serving.store.database import MOST_ROWS, Ask, Database, Steps, Tell, among, insert
from mar.serving.store.deleting import What, deleted, deleted_again, removed
from mar.serving.store.outcomes import followed, told
from mar.serving.store.rows import ENTRY, OUTCOMES, detail_of, entry_of, prepare_requests, row_of, storable
from mar.serving.store.summary import forgotten, prepare_summary, summed
from mar.traffic.records import Keep, Other, Outcome
from mar.traffic.redaction import Redaction

log = logging.getLogger(__name__)
EVERY_S = 0.2  # between batches: each one takes threads and a disk's time from the requests under way
BATCH = 512  # entries of one, at most; more would keep the event loop and others who write waiting
WAITING = 20_000  # entries that may wait
PAUSE_S = 0.5  # before a store that gave no answer is tried again
CLOSING_S = 10.0  # for what waits at the end
TIDY_S = 600.0  # between removals of what is too old


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What is kept for how long. None: for ever."""

    days: float | None = 90.0
    rows: int | None = 1_000_000  # the latest
    text_days: float | None = None  # then a request that keeps texts keeps features
    feature_days: float | None = None  # then one that keeps features keeps nothing


class Stored:
    """Keeps entries in a database; see `mar.serving.record.Record`. Use it as `async with stored:`."""

    def __init__(
        self,
        db: Database,
        retention: Retention | None = None,
        *,
        redaction: Redaction | None = None,
        encoder: Encodes | None = None,
    ) -> None:
        self.dropped = 0  # entries that were not kept, since too many waited
        self._keeper = Keeper(secret=b"", redaction=redaction or Redaction(), encoder=encoder)
        self._db, self._retention = db, Retention() if retention is None else retention
        self._waiting: OrderedDict[str, Entry] = OrderedDict()  # those being written, too
        self._more, self._empty = anyio.Event(), anyio.Event()
        self._tidied: float | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await prepare_requests(self._db)
        await prepare_summary(self._db)
        secret = await self._db.do(sealed, alone=True)
        self._keeper = replace(self._keeper, secret=secret)
        await self._stack.enter_async_context(beside(self._work))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.move_on_after(CLOSING_S, shield=True):
            while self._waiting:
                await self._empty.wait()
        lost = self.dropped + len(self._waiting)
        if lost:
            log.warning("%s: %d requests could not be written down", self._db.where, lost)
        await self._stack.__aexit__(None, None, None)

    def add(self, entry: Entry) -> None:
        """See `Record`."""
        if len(self._waiting) >= WAITING:
            if not self.dropped:
                log.warning("%s: %d requests wait to be written down; further ones are not", self._db.where, WAITING)
            self.dropped += 1
            return
        self._waiting[entry.id] = entry
        self._empty = anyio.Event() if self._empty.is_set() else self._empty
        self._more.set()

    async def find(self, id: str) -> Entry | None:
        """See `Record`."""
        waiting = self._waiting.get(id)
        if waiting is not None:
            return (await self._kept([waiting]))[0]
        found = await self._db.do(lambda: _find(storable(id)))
        if found is None:  # another worker may have it to write still
            await anyio.sleep(2 * EVERY_S)
            found = await self._db.do(lambda: _find(storable(id)))
        return found

    async def lines(self, entries: Sequence[Entry]) -> list[Line]:
        """See `Record`."""
        return await self._keeper.lines(entries)

    async def waiting(self, most: int) -> list[Line]:
        """The latest requests that wait to be written, as lists show them."""
        return await self.lines(list(islice(reversed(self._waiting.values()), most)))

    async def rate(self, feedback: Feedback) -> Entry | None:
        """See `Record`."""
        entry = await self.find(feedback.episode)
        if entry is None:
            return None
        outcome = rated(entry, feedback.rating, await self._keeper.note(entry, feedback.comment))
        await self._db.do(lambda: told(self._db, [(feedback.episode, outcome)]))
        return known_by(entry, outcome)

    async def tell(self, episode: str, outcome: Outcome) -> None:
        """See `Record`."""
        await self._db.do(lambda: told(self._db, [(episode, outcome)]))

    async def rated(self, ids: Sequence[str]) -> set[str]:
        """Which of these requests are written down and rated."""
        if not ids:
            return set()
        some, values = among(ids)
        sql = (
            "SELECT r.id FROM mar_outcomes o JOIN mar_requests r ON r.id = o.episode "
            f"WHERE o.kind = 'rating' AND o.episode IN {some}"
        )

        def work() -> Steps[set[str]]:
            return {str(row[0]) for row in (yield Ask(sql, values))}

        return await self._db.do(work)

    async def hear(self, episode: str, others: Sequence[Other]) -> None:
        """Keep what models say about a question, by hashes; nothing of a request that is no longer kept.

        Args:
            episode: Whose question it is.
            others: What they say, in the clear.
        """
        rows = [
            (episode, o.model, self._hash(episode, o.said), int(o.single), o.usd, o.seconds, storable(o.reason))
            for o in others
        ]

        def work() -> Steps[None]:
            if (yield Ask("SELECT 1 FROM mar_requests WHERE id = ? AND keep <> 'nothing'", (episode,))):
                yield from insert("mar_others", rows, "ON CONFLICT DO NOTHING")

        await self._db.do(work)

    def _hash(self, episode: str, said: str) -> str:
        """Of what an answer says; that of another request differs, whatever it says."""
        return hash_of(self.secret, f"said {episode}", said) if said else ""

    async def forget(self, what: What, name: str) -> int:
        """See `Record`."""
        named = self.whose(what, name)
        for entry in list(self._waiting.values()):
            query = entry.query
            whose = None if query is None else query.user_id if what == "user" else query.conversation_id
            if whose is not None and named(whose):
                del self._waiting[entry.id]
        return await self._db.do(lambda: deleted(self._db, self.secret, what, name))

    def whose(self, what: What, name: str) -> Callable[[str], bool]:
        """See `Record`."""
        secret = self.secret
        return lambda other: name in (other, hash_of(secret, what, other))

    @property
    def secret(self) -> bytes:
        """Of the store's hashes."""
        return self._keeper.secret

    async def _work(self) -> None:
        while True:
            if not self._waiting:
                self._empty.set()
                self._more = anyio.Event()
                await self._more.wait()
            # All of them: what a batch waits for, not what it writes, bounds how fast it goes, so smaller ones would
            # only have more entries wait, in memory.
            batch = list(islice(self._waiting.values(), BATCH))
            try:
                kept = await self._kept(batch)
                await self._db.do(lambda entries=kept: _written(self._db, entries))
                for entry in batch:
                    self._waiting.pop(entry.id, None)
                await self._tidy()
                await anyio.sleep(0 if len(self._waiting) > BATCH // 2 else EVERY_S)
            except StoreUnavailable as down:
                log.warning("%s", down)
                await anyio.sleep(PAUSE_S)

    async def _kept(self, entries: Sequence[Entry]) -> list[Entry]:
        if self._keeper.slow(entries):
            return await anyio.to_thread.run_sync(self._keeper.kept, entries)
        return self._keeper.kept(entries)

    async def _tidy(self) -> None:
        now = anyio.current_time()
        if self._tidied is None or now - self._tidied > TIDY_S:
            self._tidied = now
            await self._db.do(lambda: _tidied(self._db, self._retention))


def _written(db: Database, entries: Sequence[Entry]) -> Steps[None]:
    """Write entries; one that is there already, by a batch whose end was not heard of, stays."""
    yield from summed(entries)
    for begin in range(0, len(entries), MOST_ROWS):  # rows are made as they are written, since texts are long
        some = entries[begin : begin + MOST_ROWS]
        yield from insert("mar_requests", [row_of(entry) for entry in some], "ON CONFLICT DO NOTHING")
        yield from insert("mar_details", [detail_of(entry) for entry in some], "ON CONFLICT DO NOTHING")
    yield from followed(db, entries)


def sealed() -> Steps[bytes]:
    """The secret of the hashes of a store; made when absent."""
    found = yield Ask("SELECT secret FROM mar_seal")
    if not found:
        yield Tell("INSERT INTO mar_seal SELECT ? WHERE NOT EXISTS (SELECT 1 FROM mar_seal)", [(token_bytes(32),)])
        found = yield Ask("SELECT secret FROM mar_seal")
    return bytes(found[0][0])


def _tidied(db: Database, retention: Retention) -> Steps[None]:
    if retention.days is not None:
        yield from removed(f"at < {db.now} - ?", retention.days * 86400)
    if retention.rows is not None:
        found = yield Ask("SELECT at FROM mar_requests ORDER BY at DESC LIMIT 1 OFFSET ?", (retention.rows,))
        if found:
            yield from removed("at <= ?", found[0][0])
    if retention.text_days is not None:
        yield from _lessened(f"keep = 'text' AND at < {db.now} - ?", retention.text_days * 86400, to="features")
    if retention.feature_days is not None:
        yield from _lessened(f"keep <> 'nothing' AND at < {db.now} - ?", retention.feature_days * 86400, to="nothing")
    yield from forgotten(db)
    yield from deleted_again(db)
    # Of requests that were dropped: the latest may be of one that waits elsewhere.
    orphans = "episode NOT IN (SELECT id FROM mar_requests)"
    yield Tell(f"DELETE FROM mar_outcomes WHERE at < {db.now} - 3600 AND {orphans}", [()])


def _lessened(which: str, value: object, *, to: Keep) -> Steps[None]:
    """Keep less of requests from now on."""
    ids = f"(SELECT id FROM mar_requests WHERE {which})"
    gone = "texts = NULL" if to == "features" else "texts = NULL, embedding = NULL"
    yield Tell(f"UPDATE mar_details SET {gone} WHERE id IN {ids}", [(value,)])
    if to == "nothing":
        yield Tell(f"DELETE FROM mar_others WHERE episode IN {ids}", [(value,)])
    hashes = ", person = NULL, conversation = NULL, question = NULL, answer = NULL" if to == "nothing" else ""
    yield Tell(f"UPDATE mar_requests SET keep = '{to}', opening = NULL{hashes} WHERE {which}", [(value,)])


def _find(id: str) -> Steps[Entry | None]:
    rows = yield Ask(f"{ENTRY} WHERE id = ?", (id,))
    said = yield Ask(OUTCOMES, (id,))
    return entry_of(rows[0], said) if rows else None
