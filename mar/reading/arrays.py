"""Arrays from bytes that a stranger wrote: nothing is allocated before kind, shape and number of bytes fit together.

Only numbers, truth values and text are read. NumPy's own readers take a file's word for its sizes; here the bytes that
are there decide.
"""

from __future__ import annotations

import ast
import io
import re
import zipfile
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from mar.errors import DataError, UserError
from mar.reading.attempt import attempt
from mar.reading.limits import DATA, MEMBERS

Array = npt.NDArray[Any]
PLAIN = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248]|[SU]\d{1,7})")
_MAGIC = b"\x93NUMPY"
_HEADER = 64 * 1024  # bytes; an array of plain values needs a hundred
_LAST_CHARACTER = 0x10FFFF


def plain_dtype(text: str) -> np.dtype[Any]:
    """The dtype of a type string such as "<f4" or "|S5".

    Raises:
        ValueError: It is none of plain numbers, truth values or text; names it.
    """
    if not PLAIN.fullmatch(text):
        raise ValueError(f"an array of {text[:60]!r}")
    return np.dtype(text)


def rebuild(dtype: np.dtype[Any], shape: Sequence[int], data: bytes | memoryview, *, fortran: bool = False) -> Array:
    """An array of its own memory from the bytes of its items.

    Raises:
        ValueError: The bytes are more or fewer than the shape says, or no text or truth value.
    """
    check_shape(dtype, shape, len(data))
    flat = np.frombuffer(data, dtype=_item(dtype)).astype(_item(dtype).newbyteorder("="))
    if dtype.kind == "b" and (flat > 1).any():
        raise ValueError("a truth value that is neither 0 nor 1")
    if dtype.kind == "U" and ((flat > _LAST_CHARACTER) | ((flat >= 0xD800) & (flat < 0xE000))).any():
        raise ValueError("code points that are no text")
    return flat.view(dtype.newbyteorder("=")).reshape(tuple(shape), order="F" if fortran else "C")


def check_shape(dtype: np.dtype[Any], shape: Sequence[int], size: int) -> None:
    """Refuse a shape that so many bytes do not fill.

    Raises:
        ValueError: They do not, or it is no shape.
    """
    if len(shape) > 32 or not all(type(n) is int and n >= 0 for n in shape) or not dtype.itemsize:
        raise ValueError(f"no shape of an array: {str(shape)[:60]}")
    if prod(shape) * dtype.itemsize != size:
        raise ValueError(f"{size:,} bytes for an array of shape {str(tuple(shape))[:60]} of {dtype}")


def read_npz(path: Path, *, expected: str = "", error: type[UserError] = DataError) -> dict[str, Array]:
    """The arrays of an .npz file by name.

    Raises:
        UserError: It is damaged, too large, or holds anything but plain arrays; of the type `error`.
    """

    def read() -> dict[str, Array]:
        with zipfile.ZipFile(path) as opened:
            members = opened.infolist()
            if len(members) > MEMBERS:
                raise ValueError(f"more than {MEMBERS:,} members")
            if sum(member.file_size for member in members) > DATA:
                raise ValueError(f"it unpacks to more than the {DATA:,} bytes allowed")
            return {m.filename.removesuffix(".npy"): _npy(_member(opened, m)) for m in members}

    where = f"{path} cannot be read"
    return attempt(read, where, expected=expected or "an .npz file of plain arrays", error=error)


def map_npy(path: Path, *, expected: str = "", error: type[UserError] = DataError) -> Array:
    """The array of an .npy file, left on disk until it is used.

    Raises:
        UserError: It is damaged or holds anything but a plain array; of the type `error`.
    """

    def read() -> Array:
        with path.open("rb") as file:
            dtype, shape, fortran = _npy_header(file)
            begin = file.tell()
        check_shape(dtype, shape, path.stat().st_size - begin)
        order = "F" if fortran else "C"
        return np.memmap(path, dtype=dtype, mode="r", offset=begin, shape=shape, order=order)

    return attempt(read, str(path), expected=expected or "an .npy file of a plain array", error=error)


def _item(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """What items are checked as: bytes of truth values, code points of text."""
    match dtype.kind:
        case "b":
            return np.dtype(np.uint8)
        case "U":
            return np.dtype(np.uint32).newbyteorder(cast("Any", dtype.byteorder))
        case "S":
            return np.dtype(np.uint8)
        case _:
            return dtype


def _member(opened: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    with opened.open(member) as file:
        data = file.read(member.file_size + 1)  # what a member states is checked beforehand, and not believed
    if len(data) != member.file_size:
        raise ValueError(f"{member.filename!r} is not as long as stated")
    return data


def _npy(data: bytes) -> Array:
    file = io.BytesIO(data)
    dtype, shape, fortran = _npy_header(file)
    return rebuild(dtype, shape, memoryview(data)[file.tell() :], fortran=fortran)


def _npy_header(file: Any) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    if file.read(6) != _MAGIC:
        raise ValueError("it does not begin as an .npy file does")
    version = file.read(2)
    if version not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        raise ValueError(f"version {version.hex()} of .npy")
    length = int.from_bytes(file.read(2 if version == b"\x01\x00" else 4), "little")
    if length > _HEADER:
        raise ValueError(f"a header of {length:,} bytes")
    header: Any = ast.literal_eval(file.read(length).decode("latin1").strip())
    if not isinstance(header, dict) or set(cast("dict[str, Any]", header)) != {"descr", "fortran_order", "shape"}:
        raise ValueError("its header does not state descr, fortran_order and shape")
    found = cast("dict[str, Any]", header)
    descr, fortran, shape = found["descr"], found["fortran_order"], found["shape"]
    if not isinstance(descr, str) or not isinstance(fortran, bool) or not isinstance(shape, tuple):
        raise ValueError(f"an array of {str(descr)[:60]!r}")
    return plain_dtype(descr), cast("tuple[int, ...]", shape), fortran
