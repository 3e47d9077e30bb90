"""Bytes and text of files: regular files of bounded size, UTF-8 with or without a mark, gzipped or plain."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import IO, cast

from mar.errors import DataError, UserError
from mar.reading.attempt import attempt, refusal
from mar.reading.limits import DATA, MIB, RECORD, SETTINGS

_MARK = b"\xef\xbb\xbf"


def read_bytes(
    path: Path | Traversable,
    *,
    where: str = "",
    expected: str = "",
    error: type[UserError] = DataError,
    most: int = SETTINGS,
) -> bytes:
    """The content of a file, unpacked where its name ends in .gz.

    Args:
        path: The file.
        where: What is read, in words; "": the path.
        expected: What should be there.
        error: What is raised.
        most: Bytes.

    Raises:
        UserError: It is missing, no regular file, longer than `most` bytes, or cannot be read; of the type `error`.
    """
    where = where or str(path)

    def read() -> bytes:
        with _open(path, expected, error) as file:
            return _up_to(file, most + 1)

    data = attempt(read, where, expected=expected, error=error)
    if len(data) > most:
        raise refusal(where, f"longer than the {most:,} bytes allowed", expected=expected, error=error)
    return data


def read_text(
    path: Path | Traversable,
    *,
    where: str = "",
    expected: str = "",
    error: type[UserError] = DataError,
    most: int = SETTINGS,
) -> str:
    """The text of a file; see `read_bytes`.

    Raises:
        UserError: As `read_bytes`, or it is no UTF-8 text; says at which byte.
    """
    data = read_bytes(path, where=where, expected=expected, error=error, most=most)
    return decoded(data, where or str(path), expected=expected, error=error)


def decoded(data: bytes, where: str, *, expected: str = "", error: type[UserError] = DataError) -> str:
    """Bytes as text.

    Raises:
        UserError: They are no UTF-8; of the type `error`.
    """
    return attempt(lambda: data.decode("utf-8-sig"), where, expected=expected or "UTF-8 text", error=error)


def read_lines(
    path: Path, *, expected: str = "", error: type[UserError] = DataError, complete: bool = False
) -> Iterator[tuple[str, str]]:
    """The lines of a text that are not blank, one at a time, each with where it stands ("FILE, line 3").

    Args:
        path: The file.
        expected: What each line should be.
        error: What is raised.
        complete: Leave out a last line without its newline, which is what a kill leaves of a line being written.

    Raises:
        UserError: As `read_text`.
    """
    with attempt(lambda: _open(path, expected, error), str(path), expected=expected, error=error) as file:
        number = total = 0
        while line := attempt(lambda: file.readline(RECORD + 1), str(path), expected=expected, error=error):
            number, total, where = number + 1, total + len(line), f"{path}, line {number + 1}"
            if len(line) > RECORD:
                raise refusal(where, f"longer than the {RECORD:,} bytes allowed", expected=expected, error=error)
            if total > DATA:
                raise refusal(where, f"more than the {DATA:,} bytes allowed", expected=expected, error=error)
            if complete and not line.endswith(b"\n"):
                return
            line = line.removeprefix(_MARK) if number == 1 else line
            if text := decoded(line, where, expected=expected, error=error).strip():
                yield where, text


def _up_to(file: IO[bytes], most: int) -> bytes:
    """At most so many bytes, in pieces: asked for in one, all of them would be set aside first."""
    pieces: list[bytes] = []
    while most > 0 and (piece := file.read(min(most, MIB))):
        pieces.append(piece)
        most -= len(piece)
    return b"".join(pieces)


def _open(path: Path | Traversable, expected: str, error: type[UserError]) -> IO[bytes]:
    if not isinstance(path, Path):
        return path.open("rb")
    if path.exists() and not path.is_file():  # a pipe would be waited for without end
        raise refusal(str(path), "no regular file", expected=expected, error=error)
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.name.endswith(".gz") else path.open("rb")
