# pyright: basic
"""The process that opens a pickle: `python -I -S unpickler.py MEMORY SECONDS < FILE > PARTS`.

It imports nothing but the standard library, so no state of a file ever reaches NumPy's own code: the names that arrays
are written with stand for the records below, which keep what the file says and check its form. What comes out is a
line of JSON, with containers as [kind, items] and arrays and scalars as numbers of records, and the bytes of the arrays
after it. mar takes them for a stranger's as well (`mar.reading.pickles`).
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

DEPTH = 28  # containers within each other; each becomes two levels of JSON
VALUES = 300_000  # and one more for every byte of the file: shared containers count as often as they are used
PLAIN_FLAGS = (0, 8)  # 8: items need to be zeroed, as NumPy says of text


class Refused(Exception):
    """The file asks for something that is not admitted, which is named."""


class Name:
    """A name that a file may ask for. It can be called and nothing else."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *args: Any) -> Any:
        """What calling it makes, or a refusal."""
        try:
            return self._call(*args)
        except TypeError:
            raise Refused("an array with other arguments than NumPy writes") from None

    def __setstate__(self, state: object) -> None:
        """Nothing that is shared takes a state."""
        raise Refused("a change to what is no array")


class Dtype:
    """A dtype as a type string."""

    __slots__ = ("text",)

    def __init__(self, text: object, align: object = False, copy: object = False) -> None:
        if not isinstance(text, str):
            raise Refused("a dtype that is no type string")
        self.text = text

    def __setstate__(self, state: object) -> None:
        """Take the byte order; everything beyond plain numbers and text is refused."""
        match state:
            case (3, ("<" | ">" | "=" | "|") as order, None, None, None, int(), int(), flags) if flags in PLAIN_FLAGS:
                self.text = order + self.text.lstrip("<>=|")
            case (_, _, None, None, None, *_):
                raise Refused(f"an array of {self.text!r} with flags or metadata")
            case _:
                raise Refused(f"an array of {self.text!r} with fields or sub-arrays")


class Array:
    """An array as its parts."""

    __slots__ = ("data", "dtype", "fortran", "shape")

    def __init__(self) -> None:
        self.dtype, self.shape, self.fortran, self.data = "", [], False, b""

    def __setstate__(self, state: object) -> None:
        """Take what `ndarray.__reduce__` writes."""
        match state:
            case (int(), shape, Dtype() as dtype, bool() | int() as fortran, bytes() as data):
                self.fill(data, dtype, shape, bool(fortran))
            case (int(), _, Dtype() as dtype, _, _):
                raise Refused(f"an array of {dtype.text!r} that is not given as bytes")
            case _:
                raise Refused("an array with another state than NumPy writes")

    def fill(self, data: bytes, dtype: Dtype, shape: object, fortran: bool) -> Array:
        """Take the parts; what they are worth is checked where the array is made."""
        if not isinstance(shape, tuple) or not all(type(n) is int for n in shape):
            raise Refused("an array of no shape")
        self.dtype, self.shape, self.fortran, self.data = dtype.text, list(shape), fortran, data
        return self


class Scalar(Array):
    """A number or a text of NumPy's."""

    __slots__ = ()


def reconstruct(kind: object, shape: object, code: object) -> Array:
    """What arrays begin as."""
    if kind is not ADMITTED["numpy", "ndarray"]:
        raise Refused("an array of a class of its own")
    return Array()


def scalar(dtype: object, data: object = None) -> Scalar:
    """A single item."""
    if not isinstance(dtype, Dtype) or not isinstance(data, bytes):
        raise Refused("a scalar that is not given as a dtype and bytes")
    found = Scalar()
    found.fill(data, dtype, (), fortran=False)
    return found


def from_buffer(data: object, dtype: object, shape: object, order: object) -> Array:
    """What arrays of protocol 5 are."""
    if not isinstance(data, bytes | bytearray) or not isinstance(dtype, Dtype) or order not in ("C", "F"):
        raise Refused("an array that is not given as a dtype and bytes")
    return Array().fill(bytes(data), dtype, shape, order == "F")


def latin1(text: object, encoding: object) -> bytes:
    """Old pickles store an array's bytes as text in this encoding, and in no other."""
    if encoding != "latin1" or not isinstance(text, str):
        raise Refused(f"_codecs.encode with {encoding!r}")
    return text.encode("latin1")


def no_bytes() -> bytes:
    """How old pickles write them."""
    return b""


def not_called(*args: object) -> None:
    """A class that is named beside arrays and makes none."""
    raise Refused("an array made without its bytes")


ADMITTED = {
    ("numpy", "ndarray"): Name(not_called),
    ("numpy", "dtype"): Name(Dtype),
    ("_codecs", "encode"): Name(latin1),
}
for builtins in ("builtins", "__builtin__"):
    ADMITTED |= {
        (builtins, "bytes"): Name(no_bytes),
        (builtins, "set"): Name(set),
        (builtins, "frozenset"): Name(frozenset),
    }
for core in ("core", "_core"):
    ADMITTED[f"numpy.{core}.multiarray", "_reconstruct"] = Name(reconstruct)
    ADMITTED[f"numpy.{core}.multiarray", "scalar"] = Name(scalar)
    ADMITTED[f"numpy.{core}.numeric", "_frombuffer"] = Name(from_buffer)


class Unpickler(pickle.Unpickler):
    """Resolves the names above and no other."""

    def find_class(self, module: str, name: str, /) -> Any:
        """One of the names, or a refusal."""
        if (module, name) in ADMITTED:
            return ADMITTED[module, name]
        raise Refused(f"{module}.{name}")

    def persistent_load(self, pid: Any, /) -> Any:
        """Refuse references to objects outside the file."""
        raise Refused("a persistent reference")


class Parts:
    """A value taken apart: a tree for JSON, and arrays by number."""

    def __init__(self, values: int) -> None:
        self.arrays: list[Array] = []
        self._numbers: dict[int, int] = {}
        self._left = values

    def tree(self, value: object, depth: int = DEPTH) -> Any:
        """The tree of a value."""
        self._left -= 1
        if depth < 0 or self._left < 0:
            raise Refused("more values, or more of them within each other, than allowed")
        match value:
            case None | bool() | str() | int() | float():
                return value
            case list() | tuple() | set() | frozenset():
                return [type(value).__name__, [self.tree(item, depth - 1) for item in value]]
            case dict():
                return ["dict", [self.tree(item, depth - 1) for pair in value.items() for item in pair]]
            case bytes() | bytearray():
                return ["bytes", base64.b64encode(value).decode()]
            case Array():
                return ["scalar" if isinstance(value, Scalar) else "array", self._number(value)]
            case _:
                raise Refused("a name in place of a value")

    def _number(self, array: Array) -> int:
        if id(array) not in self._numbers:
            self._numbers[id(array)] = len(self.arrays)
            self.arrays.append(array)
        return self._numbers[id(array)]


def limit(memory: int, seconds: int) -> None:
    """Bound this process, where the system can."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (memory, memory))
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def main(memory: int, seconds: int) -> None:
    """Open the pickle and write its parts, or why not."""
    limit(memory, seconds)
    arrays: list[Array] = []
    try:
        parts = Parts(VALUES + os.fstat(0).st_size)
        tree = parts.tree(Unpickler(sys.stdin.buffer).load())
        arrays = parts.arrays
        about = [[a.dtype, a.shape, a.fortran, len(a.data)] for a in arrays]
        line = json.dumps({"tree": tree, "arrays": about})
    except Refused as error:
        line = json.dumps({"refused": str(error)})
    except BaseException as error:  # a damaged pickle fails in many ways, all of them in here
        line = json.dumps({"damaged": type(error).__name__})
    out = sys.stdout.buffer
    out.write(line.encode() + b"\n")
    for array in arrays:
        out.write(array.data)
    out.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
