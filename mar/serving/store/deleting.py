"""Deletion on request: what is kept of a user or a conversation goes, and a note stays that it went.

The note holds the hash and the time. Who trains on the log drops by it what was read before; and a worker that was
about to write a request down removes it when it next tidies up.
"""

from __future__ import annotations

import re
from typing import Literal

from mar.serving.keeping import HASH_BYTES, hash_of
from mar.serving.store.database import Ask, Database, Steps, Tell
from mar.traffic.records import Deletion

What = Literal["user", "conversation"]
COLUMNS = {"user": "person", "conversation": "conversation"}
_HASH = re.compile(rf"[0-9a-f]{{{2 * HASH_BYTES}}}")
LATELY_S = 86400.0  # for which deletions are made again: longer than any request is under way


def deleted(db: Database, secret: bytes, what: What, name: str) -> Steps[int]:
    """Delete all requests of a user or conversation and all that is known of them; gives how many there were.

    Args:
        db: The store.
        secret: Of its hashes.
        what: Which of both.
        name: As clients called it, or its hash as the log shows it.
    """
    hashes = [hash_of(secret, what, name), *([name] if _HASH.fullmatch(name) else [])]
    count = 0
    for hash in hashes:
        rows = yield Ask(f"SELECT count(*) FROM mar_requests WHERE {COLUMNS[what]} = ?", (hash,))
        count += int(rows[0][0])
        yield from removed(f"{COLUMNS[what]} = ?", hash)
        if what == "user":
            yield Tell("DELETE FROM mar_outcomes WHERE source = ?", [(hash,)])
        yield Tell(f"INSERT INTO mar_deletions VALUES (?, ?, {db.now})", [(what, hash)])
    return count


def deleted_again(db: Database) -> Steps[None]:
    """Delete what was under way while it was deleted, and written down later."""
    for one in (yield from lately_deleted(db)):
        yield from removed(f"{COLUMNS[one.what]} = ? AND at <= ?", one.hash, one.at)


def lately_deleted(db: Database) -> Steps[list[Deletion]]:
    """Who was deleted in the last day."""
    rows = yield Ask(f"SELECT what, hash, at FROM mar_deletions WHERE at > {db.now} - ?", (LATELY_S,))
    return [Deletion(what=what, hash=hash, at=at) for what, hash, at in rows]


def removed(which: str, *values: object) -> Steps[None]:
    """Remove requests, and all that is kept of them."""
    ids = f"(SELECT id FROM mar_requests WHERE {which})"
    yield Tell(f"DELETE FROM mar_details WHERE id IN {ids}", [values])
    yield Tell(f"DELETE FROM mar_outcomes WHERE episode IN {ids}", [values])
    yield Tell(f"DELETE FROM mar_others WHERE episode IN {ids}", [values])
    yield Tell(f"DELETE FROM mar_requests WHERE {which}", [values])
