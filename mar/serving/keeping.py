"""What of a request is written down: as much as its key's rules say, and no more.

Users and conversations are kept as keyed hashes, whose secret lies in the store: the same user has the same hash, and
from the hash alone, or a guess at it, nobody finds the user. Of a request that keeps features its question is kept as
an embedding; one that keeps texts loses what the rules of redaction name. Whether an answer was taken on or asked for
again is seen from keyed hashes of question and answer, too, so that no text is needed for it.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import anyio.to_thread

from mar.runtime import episode_from_json, episode_to_json
from mar.serving.lines import Line
from mar.serving.record import Entry, Marks
from mar.traffic.redaction import LONGEST_S, Redaction
from mar.types import Episode, Query, Turn

if TYPE_CHECKING:  # 14 MB with NumPy, of a worker that may keep no features
    from mar.controllers.embeddings import Vectors

log = logging.getLogger(__name__)
HASH_BYTES = 12


class Encodes(Protocol):
    """Turns texts into vectors (`mar.controllers.embeddings.Encoder`)."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One vector per text."""
        ...


class LateEncoder:
    """An encoder that is loaded when a question is first to be kept as features.

    Args:
        name: As `named_encoder` takes it.
    """

    def __init__(self, name: str | None) -> None:
        self._name = name
        self._encoder: Encodes | None = None

    def encode(self, texts: Sequence[str]) -> Vectors:
        """See `Encodes`. Vectors are remembered nowhere: they are kept with their request, and go with it."""
        if self._encoder is None:
            from mar.controllers.embeddings import bare, named_encoder

            self._encoder = bare(named_encoder(self._name, on_disk=False))
        return self._encoder.encode(texts)


def hash_of(secret: bytes, what: str, text: str) -> str:
    """The keyed hash by which a user, a conversation or a text is known.

    Args:
        secret: The store's.
        what: Of which kind it is.
        text: What is hashed.
    """
    data = f"{what}\0{text}".encode(errors="surrogatepass")
    return hmac.digest(secret, data, "sha256")[:HASH_BYTES].hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """Knows what may be kept of entries."""

    secret: bytes  # of hashes
    redaction: Redaction
    encoder: Encodes | None = None  # of questions whose text is not kept; None: they have no embedding

    def slow(self, entries: Sequence[Entry]) -> bool:
        """Whether `kept` takes so long that no event loop should wait for it."""
        return any(
            entry.query is not None and (bool(self.redaction) if entry.keep == "text" else self.encoder is not None)
            for entry in entries
        )

    def kept(self, entries: Sequence[Entry]) -> list[Entry]:
        """What is kept of entries."""
        found = [self._kept(entry) for entry in entries]
        wanted = [n for n, e in enumerate(entries) if e.keep == "features" and e.query is not None]
        if self.encoder is not None and wanted:
            texts = [query.text for n in wanted if (query := entries[n].query) is not None]
            for n, vector in zip(wanted, self.encoder.encode(texts), strict=True):
                found[n] = replace(found[n], embedding=vector.astype("float16").tobytes())
        return found

    async def lines(self, entries: Sequence[Entry]) -> list[Line]:
        """What lists show of entries."""

        def work() -> list[Line]:
            return [self._kept(entry).line for entry in entries]

        slow = bool(self.redaction) and any(entry.keep == "text" and entry.query is not None for entry in entries)
        return await anyio.to_thread.run_sync(work) if slow else work()

    async def note(self, entry: Entry, text: str) -> str:
        """What is kept of what somebody said of an answer."""
        if entry.keep != "text":
            return ""
        try:
            return str(await anyio.to_thread.run_sync(self.redaction.of, text) if self.redaction else text)
        except TimeoutError:
            return ""

    def user(self, user: str) -> str:
        """The hash of a user."""
        return hash_of(self.secret, "user", user)

    def conversation(self, conversation: str) -> str:
        """The hash of a conversation."""
        return hash_of(self.secret, "conversation", conversation)

    def _kept(self, entry: Entry) -> Entry:
        query = entry.query
        if query is None or entry.keep == "nothing":  # most entries of such keys hold nothing that would have to go
            return entry if query is None and entry.episode is None else replace(entry, query=None, episode=None)
        who = None if query.user_id is None else self.user(query.user_id)
        where = None if query.conversation_id is None else self.conversation(query.conversation_id)
        text, reason, why, episode = self._texts(entry, query)
        return replace(
            entry,
            person=who,
            conversation=where,
            turn=len(query.history),
            marks=self._marks(entry, query),
            query=None if text is None else Query(text=text, id=query.id, user_id=who, conversation_id=where),
            reason=reason,
            why=why,
            episode=episode,
        )

    def _texts(self, entry: Entry, query: Query) -> tuple[str | None, str, Mapping[str, str], Episode | None]:
        """Question, reason, notes and trace, as far as they are kept."""
        if entry.keep == "features":
            return None, entry.reason, entry.why, None
        if not self.redaction:
            return query.text, entry.reason, entry.why, entry.episode
        trace = None if entry.episode is None else episode_to_json(entry.episode)
        try:
            text, reason, trace, why = self.redaction.of([query.text, entry.reason, trace, dict(entry.why)])
        except TimeoutError:
            log.warning("%s: its texts are not kept, since redaction takes more than %g s", entry.id, LONGEST_S)
            return None, "", {}, None
        return text, reason, why, None if trace is None else episode_from_json(trace)

    def _marks(self, entry: Entry, query: Query) -> Marks | None:
        if not entry.followed:
            return None
        last = query.history[-1] if query.history else Turn(query="", answer="")
        answer = None if entry.episode is None else entry.episode.text
        of = (query.text, answer or "", last.query, last.answer)
        question, said, before, taken = (hash_of(self.secret, "text", " ".join(text.split())) for text in of)
        return Marks(question=question, answer=said, before=before, taken=taken)
