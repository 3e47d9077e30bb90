"""Text embeddings, each computed once: an encoder, and a cache of vectors in memory and on disk by content hash."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from mar.cachefile import CacheFile
from mar.controllers.minilm import MiniLM
from mar.controllers.static import StaticEncoder
from mar.environment import cache_folder
from mar.errors import ConfigError
from mar.extensions import Registry, is_place
from mar.reading import attempt
from mar.remembered import remembers

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

SETUP = (
    "PRAGMA synchronous=NORMAL",  # a power cut may lose the last vectors, which can be computed again
    "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)",
)
MOST_KNOWN = 65_536  # vectors in memory: 100 MB of MiniLM's
Vectors = npt.NDArray[np.float32]


class Encoder(Protocol):
    """Turns texts into vectors."""

    @property
    def name(self) -> str:
        """Identity of the encoder; vectors of different encoders do not mix."""
        ...

    @property
    def width(self) -> int:
        """Length of a vector."""
        ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One L2-normalised vector per text, shape (len(texts), width)."""
        ...


def _loaded(name: str) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging  # pyright: ignore[reportUnknownVariableType]

    logging.disable_progress_bar()  # its bars would stand among ours
    return SentenceTransformer(name, device="cpu")


def _encoded(model: object, texts: Sequence[str]) -> Vectors:
    found = model.encode(  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType, reportUnknownMemberType]
        list(texts), batch_size=64, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
    )
    return np.asarray(found, dtype=np.float32)


class SentenceEncoder:
    """Any encoder that sentence-transformers can load: a name on the hub, or a folder.

    A folder is known by its name and what its files hold, so that an encoder that was trained on does not get the
    vectors remembered of the one before, and one that was moved does.
    """

    def __init__(self, name: str) -> None:
        expected = "a folder or a name on the hub that sentence-transformers loads"
        self._model = attempt(lambda: _loaded(name), f"no encoder {name!r}", expected=expected, error=ConfigError)
        self.name = _identity(Path(name)) if Path(name).is_dir() else name
        self.place = str(Path(name).resolve()) if Path(name).is_dir() else name
        self.width = self._model.get_embedding_dimension() or 0

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Encode on the CPU."""
        return _encoded(self._model, texts)


def _identity(folder: Path) -> str:
    whole = hashlib.blake2b(digest_size=8)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            whole.update(path.relative_to(folder).as_posix().encode() + hashlib.file_digest(file, "blake2b").digest())
    return f"{folder.resolve().name}@{whole.hexdigest()}"


class CachedEncoder:
    """Remembers vectors of an encoder: the latest in memory, all in a SQLite file that several processes may share.

    Args:
        encoder: Computes what is not remembered.
        path: The file; None: in the cache folder.
        most: Vectors in memory.
        on_disk: False: there is no file. Vectors tell what was said and not who said it, so in a file they would
            outlive whoever is deleted.
    """

    def __init__(
        self, encoder: Encoder, path: Path | None = None, *, most: int = MOST_KNOWN, on_disk: bool = True
    ) -> None:
        self.encoder = encoder
        self.name = encoder.name
        self.width = encoder.width
        self._known: dict[str, Vectors] = {}
        self._most, self._remembering = most, threading.Lock()
        place = (path or cache_folder() / "embeddings.sqlite") if on_disk else None
        self._file = CacheFile(place, what="the cache of embeddings", setup=SETUP)
        remembers(self)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of all texts; only those never seen before reach the encoder."""
        known = self._known
        found = {t: vector for t in dict.fromkeys(texts) if (vector := known.get(t)) is not None}
        missing = [t for t in dict.fromkeys(texts) if t not in found]
        if missing:
            fetched = self._fetch(missing)
            self._remember(fetched, known)
            found |= fetched
        return np.stack([found[t] for t in texts]) if texts else np.zeros((0, self.width), np.float32)

    def knows(self, text: str) -> bool:
        """Whether the vector of a text is in memory."""
        return text in self._known

    def forget(self) -> None:
        """Drop what is in memory. What is being fetched ends in what was dropped."""
        self._known = {}

    def _fetch(self, texts: list[str]) -> dict[str, Vectors]:
        keys, found = {t: self._key(t) for t in texts}, dict[str, Vectors]()
        for text, key in keys.items():
            rows = self._file.rows("SELECT vector FROM vectors WHERE key = ?", (key,))
            if rows and isinstance(rows[0][0], bytes) and len(rows[0][0]) == 4 * self.width:
                vector = np.frombuffer(rows[0][0], dtype=np.float32)
                if np.isfinite(vector).all():  # a damaged file may hold anything
                    found[text] = vector
        new = [t for t in texts if t not in found]
        if new:
            vectors = self.encoder.encode(new)
            found.update(zip(new, vectors, strict=True))
            rows = [(keys[t], v.tobytes()) for t, v in zip(new, vectors, strict=True)]
            self._file.write("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
        return found

    def _remember(self, found: Mapping[str, Vectors], known: dict[str, Vectors]) -> None:
        """Keep vectors among those that were in memory when they were asked for; of too many, the first go."""
        with self._remembering:
            known.update(found)
            for text in list(islice(known, max(0, len(known) - self._most))):
                del known[text]

    def _key(self, text: str) -> bytes:
        return hashlib.blake2b(f"{self.name}\x1f{text}".encode(errors="surrogatepass"), digest_size=20).digest()


ENCODERS = Registry[Callable[[], Encoder]](
    "encoder",
    group="mar.encoders",
    fits=callable,
    expected="a class or function that makes an encoder (name, width, encode)",
    own={MiniLM.name: MiniLM, StaticEncoder.name: StaticEncoder},
)


def encoder_of(name: str | None, *, on_disk: bool = True) -> Encoder:
    """An encoder by name or folder, remembered if it takes long; None: the MiniLM that ships with mar.

    Args:
        name: Or the folder.
        on_disk: Whether what is remembered outlives the process.

    Raises:
        ConfigError: There is no such encoder.
    """
    known = MiniLM.name if name is None else name
    return _remembered(_made(known) if ENCODERS.knows(known) else SentenceEncoder(known), on_disk=on_disk)


def named_encoder(name: str | None, *, on_disk: bool = True) -> Encoder:
    """The encoder that a person named: as `encoder_of`, or one of their own, as module:Class or file.py:Class.

    Raises:
        ConfigError: There is no such encoder.
    """
    if name is not None and is_place(name):
        return _remembered(_made(name), on_disk=on_disk)
    return encoder_of(name, on_disk=on_disk)


def bare(encoder: Encoder) -> Encoder:
    """An encoder without what is remembered of it."""
    return encoder.encoder if isinstance(encoder, CachedEncoder) else encoder


def at_hand(encoder: Encoder, text: str) -> bool:
    """Whether the vector of a text takes less than a millisecond."""
    return isinstance(encoder, CachedEncoder | StaticEncoder) and encoder.knows(text)


def _remembered(encoder: Encoder, *, on_disk: bool) -> Encoder:
    return encoder if isinstance(encoder, StaticEncoder) else CachedEncoder(encoder, on_disk=on_disk)


def _made(name: str) -> Encoder:
    made = ENCODERS.named(name)()
    if missing := [part for part in ("name", "width", "encode") if not hasattr(made, part)]:
        raise ConfigError(f"encoder {name} has no {missing[0]}; expected {ENCODERS.expected}")
    return made


def place_of(encoder: Encoder) -> str:
    """What `encoder_of` finds an encoder by: a name, or the folder it was loaded from."""
    inner = bare(encoder)
    return inner.place if isinstance(inner, SentenceEncoder) else inner.name


class HashEncoder:
    """Vectors drawn from a hash of the text: no meaning, no model, no wait. For tests of everything but quality."""

    name = "hash"

    def __init__(self, width: int = 384) -> None:
        self.width = width

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One random unit vector per text, the same for the same text."""
        rows = [
            np.random.default_rng(int.from_bytes(hashlib.blake2b(t.encode(errors="surrogatepass")).digest()[:8]))
            for t in texts
        ]
        vectors = np.stack([r.standard_normal(self.width) for r in rows]) if rows else np.zeros((0, self.width))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
