# pyright: basic
"""Checkpoints: one safetensors file with a JSON header that says what is in it. Nothing is unpickled."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from safetensors.numpy import save

from mar.controllers.embeddings import Encoder
from mar.errors import CheckpointError, ConfigError, DataError
from mar.files import write_atomically
from mar.reading import attempt, parse_json, table, validated
from mar.reading.weights import read_metadata, read_tensors

Arrays = dict[str, npt.NDArray[Any]]
_KEY = "mar"


class CheckpointHeader(BaseModel):
    """What every checkpoint says about itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str


H = TypeVar("H", bound=CheckpointHeader)
T = TypeVar("T")


def header_of(path: Path) -> str:
    """A checkpoint's header as JSON text, of any version; "" where the file is no checkpoint or is not there."""
    try:
        return read_metadata(path).get(_KEY, "")
    except CheckpointError:
        return ""


def kind_of(path: Path) -> str:
    """Which controller a checkpoint is of, as its format says (mar/KIND/version); "" where it says nothing."""
    found = re.search(r'"format"\s*:\s*"mar[/-]([a-z_]+)[/-]', header_of(path))
    return "" if found is None else found.group(1)


def write_checkpoint(path: Path, header: CheckpointHeader, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write a checkpoint, all or nothing."""
    tensors = {name: np.asarray(value, order="C") for name, value in arrays.items()}
    write_atomically(path, save(tensors, metadata={_KEY: header.model_dump_json()}))


def read_checkpoint(path: Path, kind: type[H], expected: str, what: str) -> tuple[H, Arrays]:
    """Header and tensors of a checkpoint.

    Args:
        path: The file.
        kind: Of header.
        expected: The format that the header has to state.
        what: The checkpoint is of, for messages.

    Raises:
        CheckpointError: No such file, damaged, of another kind or of another version.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint {path}; expected a file of {what}")
    where = f"{path} is no checkpoint of {what}"
    metadata, arrays = read_tensors(path, where=where)
    if _KEY not in metadata:
        raise CheckpointError(f"{where}: it says nothing about itself")
    content = table(parse_json(metadata[_KEY], where, error=CheckpointError), where, error=CheckpointError)
    if (found := content.get("format")) != expected:
        raise CheckpointError(f"{path} has format {found!r}; expected {expected!r}, {what}")
    return validated(kind, content, where, error=CheckpointError), arrays


def promised(path: Path, make: Callable[[], T]) -> T:
    """What is made of a checkpoint's header and tensors.

    Raises:
        CheckpointError: They do not fit each other.
    """
    where = f"{path} does not hold what its header promises"
    problem = ""
    try:
        return attempt(make, where, error=CheckpointError)
    except (ConfigError, DataError) as error:  # of a record that refuses its fields
        problem = str(error)
    raise CheckpointError(f"{where}: {problem}")


def tried(path: Path, answer: Callable[[], npt.NDArray[Any]], shape: tuple[int, ...]) -> None:
    """Refuse a checkpoint that does not answer one question: tensors that do not fit each other show only then.

    Args:
        path: The file.
        answer: Answers it.
        shape: What the answer must have; and it must be finite.

    Raises:
        CheckpointError: It fails.
    """
    with np.errstate(all="ignore"):  # numbers that are too large are said below
        found = promised(path, lambda: np.asarray(answer(), dtype=np.float64))
    if found.shape != shape or not np.isfinite(found).all():
        raise CheckpointError(
            f"{path} does not hold what its header promises: it answers with shape {found.shape} or numbers that are "
            f"not finite; expected shape {shape}"
        )


def _holds(encoder: str) -> str:
    """What an encoder's name says it holds: one from a folder may be in another folder by now (name@digest)."""
    return encoder.rpartition("@")[2]


def check_encoder(path: Path, encoder: Encoder, trained: str, width: int | None = None) -> None:
    """Refuse a checkpoint that was made with other embeddings.

    Raises:
        CheckpointError: Name or width differ.
    """
    if _holds(trained) != _holds(encoder.name):
        raise CheckpointError(f"{path} was trained on embeddings of {trained}; this encoder is {encoder.name}")
    if width not in (None, encoder.width):
        raise CheckpointError(f"{path} expects embeddings of width {width}; {encoder.name} makes {encoder.width}")
