# pyright: basic
"""Safetensors files: tensors by name, and text beside them, looked at before anything is allocated."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from safetensors import safe_open

from mar.errors import CheckpointError, UserError
from mar.reading.arrays import Array
from mar.reading.attempt import attempt
from mar.reading.limits import DATA, HEADER, LARGEST

_LENGTH = 8  # bytes that state the header's


def read_tensors(
    path: Path, *, where: str = "", error: type[UserError] = CheckpointError
) -> tuple[dict[str, str], dict[str, Array]]:
    """What a file says about itself, and its tensors by name; every number is finite.

    Args:
        path: The file.
        where: What is read, in words; "": the path.
        error: What is raised.

    Raises:
        UserError: It is missing, damaged, too large, or holds NaN or an infinity; of the type `error`.
    """

    def read() -> tuple[dict[str, str], dict[str, Array]]:
        with _opened(path) as file:
            names = cast("list[str]", list(file.keys()))
            arrays = {name: _finite(name, file.get_tensor(name)) for name in names}
            return file.metadata() or {}, arrays

    return attempt(read, where or str(path), error=error)


def read_metadata(path: Path, *, error: type[UserError] = CheckpointError) -> dict[str, str]:
    """What a file says about itself, without its tensors.

    Raises:
        UserError: It is missing or damaged; of the type `error`.
    """

    def read() -> dict[str, str]:
        with _opened(path) as file:
            return file.metadata() or {}

    return attempt(read, str(path), error=error)


@contextmanager
def _opened(path: Path) -> Generator[Any]:
    if path.exists() and not path.is_file():
        raise ValueError("no regular file")
    with path.open("rb") as file:
        stated = int.from_bytes(file.read(_LENGTH), "little")
    size = path.stat().st_size
    if not 0 < stated <= min(HEADER, size - _LENGTH):
        raise ValueError(f"it states a header of {stated:,} bytes")
    if size > DATA:
        raise ValueError(f"longer than the {DATA:,} bytes allowed")
    with safe_open(path, framework="np") as opened:
        yield opened


def _finite(name: str, array: Array) -> Array:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"tensor {name} holds NaN or an infinity")
    if array.dtype.kind == "f" and (np.abs(array) > LARGEST).any():
        raise ValueError(f"tensor {name} holds a number beyond {LARGEST:g}")
    return array
