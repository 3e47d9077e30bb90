"""The response cache's file: an SQLite table of replies that several processes may write at once."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import TypeAdapter

from mar.cachefile import FAILURES, open_private, write_ahead
from mar.environment import CACHE_VARIABLE, DAYS_KEPT
from mar.errors import ConfigError
from mar.pool.cards import ModelCard
from mar.reading import refusal
from mar.types import ChatReply, ChatRequest, Message

RESPONSES = "responses.sqlite"  # in the cache folder
SCHEMA_VERSION = 1
DAY_S = 86_400.0

_REPLY: TypeAdapter[ChatReply] = TypeAdapter(ChatReply)
_BY_AGE = "CREATE INDEX IF NOT EXISTS replies_by_age ON replies (created)"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    key BLOB PRIMARY KEY,
    model TEXT NOT NULL,
    created REAL NOT NULL,
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    reply TEXT NOT NULL
) WITHOUT ROWID
"""


# What a card says that has no bearing on an answer, or is in the request.
_NO_BEARING = frozenset(
    {"name", "description", "price_in", "price_out", "price_gpu_second", "context_tokens", "key_env"}
    | {
        "concurrency",
        "requests_per_minute",
        "timeout_s",
        "hedge_s",
        "tags",
        "base_url",
        "served_name",
        "max_output_tokens",
    }
)


def who_answers(card: ModelCard) -> dict[str, Any]:
    """What of a card determines an answer: endpoint, the server's name for the model, and how it is asked.

    A checkpoint that is exchanged behind the same address and name cannot be told from its predecessor (what servers
    state about themselves changes without it, or does not change with it): `revision` of the card tells them apart.
    """
    shape = card.model_dump(mode="json", exclude=set(_NO_BEARING), exclude_defaults=True)
    return shape | {"endpoint": _endpoint(card.base_url), "served": card.served_name or card.name}


def _endpoint(url: str | None) -> str:
    """An address in one spelling, without user and password."""
    if url is None:
        return ""
    parts = urlsplit(url)
    port = "" if parts.port in (None, {"http": 80, "https": 443}.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{(parts.hostname or '').lower()}{port}{parts.path.rstrip('/')}"


def cache_key(request: ChatRequest, card: ModelCard | None = None) -> bytes:
    """blake2b over the canonical JSON of who answers and of everything in a request that determines the answer.

    Left out are `priority` and `timeout_s`, which only say when an answer comes, and `context` and `meter`, which
    models never see. `sample` is in: two draws with one prompt are two answers.

    Args:
        request: What is asked.
        card: The model that is asked; None: whatever goes by the request's name for it.
    """
    determining = {
        "model": request.model if card is None else who_answers(card),
        "messages": [_message(m) for m in request.messages],
        "max_tokens": card.max_output_tokens if card and request.max_tokens is None else request.max_tokens,
        "temperature": None if request.temperature is None else float(request.temperature),
        "top_p": None if request.top_p is None else float(request.top_p),
        "stop": list(request.stop),
        "logprobs": request.logprobs,
        "sample": request.sample,
        **({"tools": [[t.name, t.description, t.parameters] for t in request.tools]} if request.tools else {}),
        **({} if request.verbatim is None else {"verbatim": _determining(request.verbatim)}),
    }
    canonical = json.dumps(determining, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.blake2b(canonical.encode(), digest_size=32).digest()


def _message(message: Message) -> list[Any]:
    calls = [[[c.id, c.name, c.arguments] for c in message.calls]] if message.calls else []
    return [message.speaker, message.text, *([message.call_id] if message.call_id else []), *calls]


def _determining(verbatim: Mapping[str, Any]) -> dict[str, Any]:
    """What of a client's own request determines the answer: not the name that the client has for the model."""
    return {name: value for name, value in verbatim.items() if name not in ("model", "stream", "stream_options")}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCacheStats:
    """What the cache holds of one model."""

    model: str
    entries: int
    prompt_tokens: int  # where the server stated them
    completion_tokens: int  # where the server stated them


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """What the cache holds."""

    path: Path
    size_bytes: int  # of the file and its journal
    models: tuple[ModelCacheStats, ...]

    @property
    def entries(self) -> int:
        """Replies of all models."""
        return sum(m.entries for m in self.models)


class ResponseStore:
    """Replies by key, on disk. Its methods block; threads of one process may share it.

    Args:
        path: The file. Replies that are too old are dropped from it when it is opened.
        days: For how long a reply is given; None: for ever.

    Raises:
        ConfigError: The file cannot be opened as a response cache.
    """

    def __init__(self, path: Path, *, days: float | None = DAYS_KEPT) -> None:
        self.path, self._days = path, days
        self._lock = threading.Lock()
        with self._sqlite_errors():
            self._db = open_private(path)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    @contextmanager
    def _sqlite_errors(self) -> Generator[None]:
        try:
            yield
        except FAILURES as error:
            expected = f"a writable SQLite file (set {CACHE_VARIABLE})"
            raise refusal(f"response cache {self.path}", str(error), expected=expected, error=ConfigError) from error

    def _prepare(self) -> None:
        # WAL lets readers go on while one process writes; NORMAL loses nothing but the last writes on a power cut.
        write_ahead(self._db)
        self._db.execute("PRAGMA synchronous=NORMAL")
        version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if version not in (0, SCHEMA_VERSION):
            raise ConfigError(
                f"response cache {self.path}: schema version {version}, expected {SCHEMA_VERSION}; move it away"
            )
        self._db.execute(_SCHEMA)
        self._db.execute(_BY_AGE)
        self._db.execute("DELETE FROM replies WHERE created < ?", (self._oldest,))
        self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    @property
    def _oldest(self) -> float:
        """When a reply may have been given at the earliest, in seconds since 1970."""
        return 0.0 if self._days is None else time.time() - DAY_S * self._days

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def get(self, key: bytes) -> ChatReply | None:
        """The reply kept under a key, as it was first given."""
        with self._lock:
            kept = "SELECT reply FROM replies WHERE key = ? AND created >= ?"
            row = self._db.execute(kept, (key, self._oldest)).fetchone()
        return None if row is None else _REPLY.validate_json(row[0])

    def put(self, key: bytes, reply: ChatReply) -> None:
        """Keep a reply. When another process was first, its reply stays: everyone sees one answer."""
        text = _REPLY.dump_json(reply).decode()
        row = (key, reply.model, time.time(), reply.prompt_tokens, reply.completion_tokens, text)
        with self._lock:
            self._db.execute("DELETE FROM replies WHERE key = ? AND created < ?", (key, self._oldest))
            self._db.execute("INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?, ?)", row)

    def stats(self) -> CacheStats:
        """What the cache holds."""
        # A damaged file may hold other types than its columns are declared with.
        query = (
            "SELECT COALESCE(CAST(model AS TEXT), '') AS who, COUNT(*), CAST(TOTAL(prompt_tokens) AS INTEGER), "
            "CAST(TOTAL(completion_tokens) AS INTEGER) FROM replies GROUP BY who ORDER BY who"
        )
        with self._lock, self._sqlite_errors():
            rows = self._db.execute(query).fetchall()
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        models = tuple(ModelCacheStats(model=m, entries=n, prompt_tokens=p, completion_tokens=c) for m, n, p, c in rows)
        return CacheStats(path=self.path, size_bytes=sum(f.stat().st_size for f in files if f.exists()), models=models)

    def clear(self, model: str | None = None) -> int:
        """Forget all replies, or one model's; gives how many."""
        with self._lock, self._sqlite_errors():
            if model is None:
                count = self._db.execute("DELETE FROM replies").rowcount
            else:
                count = self._db.execute("DELETE FROM replies WHERE model = ?", (model,)).rowcount
            self._db.execute("VACUUM")
            return count
