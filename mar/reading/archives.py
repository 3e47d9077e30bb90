"""Archives of strangers, unpacked safely: nothing outside the folder, no links, no more bytes than allowed.

Every member is looked at before the first byte is written. The sizes that an archive states are not believed: bytes
are counted as they come, and what a tar states of itself (long names, attributes) is refused beyond a megabyte before
it is read.
"""

from __future__ import annotations

import fnmatch
import gzip
import io
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from mar.errors import DataError
from mar.reading.attempt import attempt
from mar.reading.limits import MEMBERS, TAR_HEADER, TAR_PER_BYTE

CHUNK = 1 << 20  # bytes
_OWN_TEXT = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    name: str
    size: int  # bytes, as the archive states it
    kind: str  # "file", "folder" or what it is instead
    open: Callable[[], IO[bytes] | None]


def unpack(archive: Path, into: Path, *, keep: str = "*", strip: int = 0, cap_bytes: int) -> None:
    """Unpack a .zip or .tar.gz into a folder, which appears only when all went well or was there before.

    Args:
        archive: The archive; its ending says what it is.
        into: The folder.
        keep: Pattern over the whole names of members to keep; every other member is still checked.
        strip: Leading folders left out of the members' names.
        cap_bytes: The most bytes that all members together may have.

    Raises:
        DataError: The archive is damaged, holds something hostile, or nothing that is kept.
    """
    fresh = into.with_name(f".{into.name}.unpacking")
    where = f"{archive.name} cannot be unpacked"
    attempt(lambda: _unpack(archive, into, fresh, keep, strip, cap_bytes), where)


def _unpack(archive: Path, into: Path, fresh: Path, keep: str, strip: int, cap_bytes: int) -> None:
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        with ExitStack() as stack:
            members = list(_members(archive, stack, cap_bytes))
            kept = _checked(members, archive, keep, strip, cap_bytes)
            _write(kept, fresh, archive, cap_bytes)
        shutil.copytree(fresh, into, dirs_exist_ok=True, copy_function=shutil.move)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _members(archive: Path, stack: ExitStack, cap_bytes: int) -> Iterator[_Member]:
    if archive.suffix == ".zip":
        opened = stack.enter_context(zipfile.ZipFile(archive))
        for info in opened.infolist():
            yield _Member(name=info.filename, size=info.file_size, kind=_zip_kind(info), open=_opener(opened, info))
    elif archive.name.endswith((".tar.gz", ".tgz")):
        unpacked = cast("IO[bytes]", stack.enter_context(gzip.open(archive, "rb")))  # noqa: SIM115
        stream = _Counted(unpacked, cap_bytes + TAR_PER_BYTE * archive.stat().st_size)
        packed = stack.enter_context(tarfile.open(fileobj=stream, mode="r:", tarinfo=_TarInfo))  # noqa: SIM115
        for count, info in enumerate(packed):
            if count > MEMBERS:
                break  # refused by the check that follows
            yield _Member(name=info.name, size=info.size, kind=_tar_kind(info), open=_tar_opener(packed, info))
    else:
        raise DataError(f"{archive.name} is no .zip or .tar.gz archive")


class _Counted(io.RawIOBase):
    """A stream that ends in an error after so many bytes, those of members that are not kept included."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        super().__init__()
        self._stream, self._most = stream, most

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes: tar goes back to a member's bytes."""
        return True

    def tell(self) -> int:
        """Where the stream stands."""
        return self._stream.tell()

    def seek(self, to: int, whence: int = io.SEEK_SET, /) -> int:
        """Go somewhere; never further than allowed."""
        if whence == io.SEEK_SET and to > self._most:
            raise ValueError(f"it unpacks to more than the {self._most:,} bytes allowed")
        return self._stream.seek(to, whence)

    def readinto(self, buffer: Any, /) -> int:
        """Read as many bytes as fit."""
        data = self._stream.read(len(buffer))
        if self._stream.tell() > self._most:
            raise ValueError(f"it unpacks to more than the {self._most:,} bytes allowed")
        buffer[: len(data)] = data
        return len(data)


class _TarInfo(tarfile.TarInfo):
    """A header whose own text (a long name, attributes) is no longer than allowed."""

    def _proc_member(self, tarfile: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _OWN_TEXT and self.size > TAR_HEADER:
            raise ValueError(f"a header that states {self.size:,} bytes of text")
        return super()._proc_member(tarfile)  # type: ignore[misc]


def _opener(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], IO[bytes] | None]:
    return lambda: opened.open(info)


def _tar_opener(packed: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[], IO[bytes] | None]:
    return lambda: packed.extractfile(info)


def _zip_kind(info: zipfile.ZipInfo) -> str:
    if stat.S_ISLNK(info.external_attr >> 16):
        return "link"
    return "folder" if info.filename.endswith("/") else "file"


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.isdir():
        return "folder"
    return "file" if info.isreg() and not info.issparse() else "link or device"


def _checked(
    members: list[_Member], archive: Path, keep: str, strip: int, cap_bytes: int
) -> dict[PurePosixPath, _Member]:
    """The members to keep, by where they go."""
    if len(members) > MEMBERS:
        raise DataError(f"{archive.name} holds more than {MEMBERS:,} members; refused")
    kept: dict[PurePosixPath, _Member] = {}
    for member in members:
        _refuse_hostile(member, archive)
        path = PurePosixPath(*PurePosixPath(member.name).parts[strip:])
        if member.kind == "file" and path.name and fnmatch.fnmatchcase(member.name, keep):
            if path in kept:
                raise DataError(f"{archive.name} holds {path} twice; refused")
            kept[path] = member
    if (size := sum(m.size for m in kept.values())) > cap_bytes:
        raise DataError(f"{archive.name} unpacks to {size:,} bytes, more than the {cap_bytes:,} allowed; refused")
    if not kept:
        raise DataError(f"{archive.name} holds nothing named {keep}")
    return kept


def _refuse_hostile(member: _Member, archive: Path) -> None:
    name = member.name
    if not name:
        raise DataError(f"{archive.name} holds a member without a name; refused")
    if member.kind not in ("file", "folder"):
        raise DataError(f"{archive.name} holds a {member.kind}, {name!r}; refused")
    if name.startswith("/") or "\\" in name or "\0" in name or name[1:2] == ":":
        raise DataError(f"{archive.name} holds an absolute or foreign path, {name!r}; refused")
    if ".." in PurePosixPath(name).parts:
        raise DataError(f"{archive.name} holds a path that leaves its folder, {name!r}; refused")


def _write(kept: dict[PurePosixPath, _Member], into: Path, archive: Path, cap_bytes: int) -> None:
    left = cap_bytes
    for path, member in kept.items():
        target = into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        source = member.open()
        if source is None:
            raise DataError(f"{archive.name}: {member.name!r} cannot be read")
        with source, target.open("xb") as file:
            while chunk := source.read(CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise DataError(f"{archive.name} unpacks to more than the {cap_bytes:,} bytes allowed; refused")
                file.write(chunk)
