"""What is known of answers' worth, in a database: what was said of them, and what clients did next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mar.serving.record import Entry
from mar.serving.store.database import Ask, Database, Steps, Tell, among
from mar.serving.store.rows import storable
from mar.traffic.records import Outcome

RECENT_S = 3600.0  # after which the same question is a new one, and what was changed of an answer tells nothing


def told(db: Database, said: Iterable[tuple[str, Outcome]]) -> Steps[None]:
    """Keep outcomes by their episode's id, each in place of what the same source said before."""
    rows = [(storable(episode), o.kind, storable(o.by), o.value, storable(o.note)) for episode, o in said]
    sql = (
        f"INSERT INTO mar_outcomes VALUES (?, ?, ?, ?, ?, {db.now}) ON CONFLICT (episode, kind, source) "
        "DO UPDATE SET value = excluded.value, note = excluded.note, at = excluded.at"
    )
    yield Tell(sql, rows)


def followed(db: Database, entries: Sequence[Entry]) -> Steps[None]:
    """Keep what entries, which are written already, say of the answers before them.

    Whoever asks the same again in the same place was not content with the answer; whoever goes on with another text in
    the answer's place has changed it. Both are read from keyed hashes.
    """
    news = [entry for entry in entries if entry.marks is not None and entry.conversation is not None]
    if not news:
        return
    places, values = among(sorted({entry.conversation or "" for entry in news}))
    sql = (
        "SELECT id, guest, conversation, turn, question, answer, at FROM mar_requests "
        f"WHERE conversation IN {places} AND status = 200 AND question IS NOT NULL AND at > ? ORDER BY at"
    )
    rows = yield Ask(sql, (*values, min(entry.at for entry in news) - RECENT_S))
    turns = [_Turn(*row) for row in rows]
    found = [verdict for entry in news for verdict in _verdicts(entry, turns)]
    if found:
        yield from told(db, found)


@dataclass(frozen=True, slots=True)
class _Turn:
    id: str
    guest: str
    conversation: str
    turn: int
    question: str
    answer: str
    at: float


def _verdicts(entry: Entry, turns: Sequence[_Turn]) -> Iterator[tuple[str, Outcome]]:
    assert entry.marks is not None
    where = (entry.guest, entry.conversation)
    here = [t for t in turns if (t.guest, t.conversation) == where and entry.at - RECENT_S < t.at < entry.at]
    for turn in here:
        if turn.turn == entry.turn and turn.question == entry.marks.question and turn.id != entry.id:
            yield turn.id, Outcome(kind="retry", value=0.0)
    before = [t for t in here if t.turn == entry.turn - 1 and t.question == entry.marks.before]
    if before and all(t.answer != entry.marks.taken for t in before):
        yield before[-1].id, Outcome(kind="edit", value=0.0)
