"""The response cache's file: an SQLite table of replies that several processes may write at once."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from mar.errors import ConfigError
from mar.files import CACHE_VARIABLE, cache_folder
from mar.types import ChatReply, ChatRequest

SCHEMA_VERSION = 1
BUSY_S = 30.0  # how long a writer waits for another process's write

_REPLY: TypeAdapter[ChatReply] = TypeAdapter(ChatReply)
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


def default_cache_path() -> Path:
    """Where the cache lies unless a path is given."""
    return cache_folder() / "responses.sqlite"


def cache_key(request: ChatRequest) -> bytes:
    """blake2b over the canonical JSON of everything in a request that determines its answer.

    Left out are `priority` and `timeout_s`, which only say when an answer comes, and `context`, which models never
    see. `sample` is in: two draws with one prompt are two answers.
    """
    determining = {
        "model": request.model,
        "messages": [[m.speaker, m.text] for m in request.messages],
        "max_tokens": request.max_tokens,
        "temperature": float(request.temperature),
        "top_p": float(request.top_p),
        "stop": list(request.stop),
        "logprobs": request.logprobs,
        "sample": request.sample,
    }
    canonical = json.dumps(determining, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.blake2b(canonical.encode(), digest_size=32).digest()


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

    Raises:
        ConfigError: The file cannot be opened as a response cache.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with self._sqlite_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False, isolation_level=None)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    @contextmanager
    def _sqlite_errors(self) -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise ConfigError(
                f"response cache {self.path}: {error}; expected a writable SQLite file (set {CACHE_VARIABLE})"
            ) from error

    def _prepare(self) -> None:
        # WAL lets readers go on while one process writes; NORMAL loses nothing but the last writes on a power cut.
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if version not in (0, SCHEMA_VERSION):
            raise ConfigError(
                f"response cache {self.path}: schema version {version}, expected {SCHEMA_VERSION}; move it away"
            )
        self._db.execute(_SCHEMA)
        self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def get(self, key: bytes) -> ChatReply | None:
        """The reply kept under a key, as it was first given."""
        with self._lock:
            row = self._db.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        return None if row is None else _REPLY.validate_json(row[0])

    def put(self, key: bytes, reply: ChatReply) -> None:
        """Keep a reply. When another process was first, its reply stays: everyone sees one answer."""
        text = _REPLY.dump_json(reply).decode()
        row = (key, reply.model, time.time(), reply.prompt_tokens, reply.completion_tokens, text)
        with self._lock:
            self._db.execute("INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?, ?)", row)

    def stats(self) -> CacheStats:
        """What the cache holds."""
        query = (
            "SELECT model, COUNT(*), COALESCE(SUM(prompt_tokens), 0), COALESCE(SUM(completion_tokens), 0) "
            "FROM replies GROUP BY model ORDER BY model"
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
