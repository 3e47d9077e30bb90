# pyright: basic
"""Pickles of arrays and plain containers, opened in a process of its own that may fail without harm.

A pickle is a program, and NumPy's own `__setstate__` takes what it says about memory for true. So a file is opened by
`unpickler.py`, in a process with limits, that keeps an array as its parts; here arrays are made of these: an allowed
dtype, a shape, and as many bytes as both say. Anything else is refused with its name, and a crash of that process is
one error line.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, cast

from mar.errors import DataError
from mar.reading.arrays import Array, plain_dtype, rebuild
from mar.reading.attempt import attempt, brief
from mar.reading.limits import BYTES_PER_SECOND, CHILD_MEMORY, CHILD_SECONDS, DATA, PER_BYTE
from mar.reading.values import parse_json

_CHILD = Path(__file__).with_name("unpickler.py")
_ONLY = "only NumPy arrays and plain containers are read"
_KEPT = ("LD_LIBRARY_PATH", "SYSTEMROOT")  # variables that an interpreter may need to start


def read_pickle(path: Path) -> Any:
    """What a pickle of arrays and plain containers (dict, list, tuple, set, text, numbers) holds.

    Raises:
        DataError: No such file, damaged, or it asks for something else, which is named.
    """
    with attempt(lambda: _opened(path), str(path), expected="a pickle") as file, tempfile.TemporaryFile() as parts:
        return attempt(lambda: _read(path, file, parts), str(path), expected="a pickle of arrays and plain containers")


def _opened(path: Path) -> IO[bytes]:
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is no regular file; expected a pickle")
    if path.stat().st_size > DATA:
        raise DataError(f"{path} is longer than the {DATA:,} bytes allowed")
    return path.open("rb")


def _read(path: Path, file: IO[bytes], parts: IO[bytes]) -> Any:
    size = path.stat().st_size
    memory = CHILD_MEMORY + PER_BYTE * size
    seconds = CHILD_SECONDS + size / BYTES_PER_SECOND
    words = [sys.executable, "-I", "-S", str(_CHILD), str(memory), str(int(seconds) + 1)]
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    try:
        child = subprocess.run(
            words, check=False, stdin=file, stdout=parts, stderr=subprocess.DEVNULL, timeout=seconds, env=kept
        )
    except subprocess.TimeoutExpired:
        raise DataError(f"{path} is no pickle that can be read (not done in {seconds:.0f} s)") from None
    if child.returncode != 0:
        raise DataError(f"{path} is no pickle that can be read (its process ended with status {child.returncode})")
    parts.seek(0)
    about = parse_json(parts.readline().decode(), str(path), finite=False)
    if "refused" in about:
        raise DataError(f"{path} asks for {about['refused']}; {_ONLY}")
    if "damaged" in about:
        raise DataError(f"{path} is no pickle that can be read ({about['damaged']})")
    return _value(about["tree"], [_array(one, parts) for one in about["arrays"]])


def _array(about: Sequence[Any], parts: IO[bytes]) -> Array:
    dtype, shape, fortran, size = about
    try:
        return rebuild(plain_dtype(dtype), shape, parts.read(size), fortran=fortran)
    except ValueError as error:
        raise ValueError(f"asks for {brief(error)}; {_ONLY}") from None


def _value(tree: Any, arrays: Sequence[Array]) -> Any:
    """A value from its tree; nested no deeper than JSON of a stranger may be."""
    if isinstance(tree, str):
        tree.encode()  # half of a surrogate pair is no text
    if not isinstance(tree, list):
        return tree
    kind, content = cast("list[Any]", tree)
    match kind:
        case "array":
            return arrays[content]
        case "scalar":
            return arrays[content].item()
        case "bytes":
            return base64.b64decode(content)
        case "dict":
            items = [_value(item, arrays) for item in content]
            return dict(zip(items[::2], items[1::2], strict=True))
        case _:
            make = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind]
            return make(_value(item, arrays) for item in content)
