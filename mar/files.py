"""Files that are either whole or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

UNFINISHED = ".part"  # how the names of files end that are being written


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader, a kill at any moment or a power cut never sees half of it.

    A kill may leave a hidden file beside it that ends in `.part`; `clear_unfinished` removes it.
    """
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=UNFINISHED)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())  # mkstemp makes files that only their owner may read
        os.replace(name, path)
    except BaseException:
        _unfinished(name)
        raise


@contextmanager
def whole_or_none(path: Path) -> Generator[Path]:
    """A hidden file beside `path`, which is written meanwhile and takes its place at the end; an error removes it.

    Only its owner may read it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=UNFINISHED)
    os.close(handle)
    try:
        yield Path(name)
        os.replace(name, path)
    except BaseException:
        _unfinished(name)
        raise


def _unfinished(name: str) -> None:
    """Remove it, unless it has taken its place already and an interrupt came just then."""
    with suppress(FileNotFoundError):
        os.unlink(name)


def clear_unfinished(folder: Path) -> None:
    """Remove what killed processes left of files they were writing in a folder; nobody else may be writing there."""
    for left in folder.rglob(f".*{UNFINISHED}"):
        left.unlink(missing_ok=True)


def _umask() -> int:
    """The process's mask for new files, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
