"""RouterEval's published pickles, opened without running anything: only arrays and plain containers are admitted.

A pickle is a program. This unpickler resolves no name but those that NumPy writes for arrays and scalars, so a file
that asks for anything else is refused with the name it asked for, before that is imported or called.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from mar.errors import DataError


class _Refused(pickle.UnpicklingError):
    """The file asks for a name that is not admitted."""


def _latin1(text: str, encoding: str) -> bytes:
    """Old pickles store an array's bytes as text in this encoding, and in no other."""
    if encoding != "latin1":
        raise _Refused(f"_codecs.encode with {encoding!r}")
    return text.encode("latin1")


def _admitted() -> Mapping[tuple[str, str], object]:
    """What NumPy's pickles ask for, by every module it has lived in."""
    multiarray, numeric = import_module("numpy._core.multiarray"), import_module("numpy._core.numeric")
    found: dict[tuple[str, str], object] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _latin1,
    }
    for core in ("core", "_core"):
        found[f"numpy.{core}.multiarray", "_reconstruct"] = multiarray._reconstruct
        found[f"numpy.{core}.multiarray", "scalar"] = multiarray.scalar
        found[f"numpy.{core}.numeric", "_frombuffer"] = numeric._frombuffer
    return found


class _ArraysOnly(pickle.Unpickler):
    admitted = _admitted()

    def find_class(self, module: str, name: str, /) -> Any:
        """An array's constructor, or a refusal."""
        if (module, name) in self.admitted:
            return self.admitted[module, name]
        raise _Refused(f"{module}.{name}")

    def persistent_load(self, pid: Any, /) -> Any:
        """Refuse references to objects outside the file."""
        raise _Refused(f"a persistent reference {pid!r}")


def read_pickle(path: Path) -> Any:
    """What a pickle of arrays and plain containers (dict, list, tuple, set, text, numbers) holds.

    Raises:
        DataError: No such file, damaged, or it asks for something else, which is named.
    """
    try:
        with path.open("rb") as file:
            return _ArraysOnly(file).load()
    except _Refused as error:
        raise DataError(f"{path} asks for {error}; only NumPy arrays and plain containers are read") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except Exception as error:  # a damaged pickle fails in many ways, all of them inside the unpickler
        raise DataError(f"{path} is no pickle that can be read ({type(error).__name__})") from None
