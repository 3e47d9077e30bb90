"""A static encoder distilled from MiniLM: the sum of a row of a table for each of a text's word pieces, normalised.

There are no layers and there is no attention, so words mean the same wherever they stand; a text takes a fraction of a
millisecond instead of tens. The table (`static.safetensors`: a row of 128 eight-bit numbers and a scale for each piece)
was fitted to MiniLM's vectors of texts, turned to the directions in which they differ most; how, and what routing loses
by it: `benchmarks/static_encoder.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from typing import Any

import numpy as np
import numpy.typing as npt

from mar.controllers.minilm import EPSILON, WordPieces
from mar.reading.weights import read_tensors

FILE = "static.safetensors"  # in mar.controllers
STEPS = 127  # of a row's numbers to either side of zero
MOST = 4_000  # characters of a text; the word pieces that are read, 254 at most, are hardly ever among what follows
SHORT = 1_000  # characters that take less than a millisecond
Floats = npt.NDArray[np.float32]


class StaticEncoder:
    """The encoder whose table ships with mar. Vectors are made anew each time: that takes less than fetching them."""

    name = "static"  # another table takes another name

    def __init__(self) -> None:
        with as_file(files("mar.controllers").joinpath(FILE)) as path:
            table = read_tensors(path)[1]
        self._rows, self._scales = table["rows"], table["scales"]
        self.width = int(self._rows.shape[1])
        self._pieces = WordPieces()

    def knows(self, text: str) -> bool:
        """Whether the vector of a text is made so quickly that nobody need wait elsewhere for it."""
        return len(text) <= SHORT

    def encode(self, texts: Sequence[str]) -> Floats:
        """See `Encoder`. A text without words has the vector of the marks at a text's ends."""
        found = np.zeros((len(texts), self.width), np.float32)
        for row, pieces in zip(found, self._pieces.read([text[:MOST] for text in texts]), strict=True):
            words = pieces[1:-1] or pieces
            row[:] = self._scales[words] @ self._rows[words]
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), EPSILON)


def quantised(table: Floats) -> Mapping[str, npt.NDArray[Any]]:
    """The tensors of the file for a table of floats, a row for each piece."""
    scales: Floats = np.maximum(np.abs(table).max(axis=1), EPSILON) / np.float32(STEPS)
    rows: Floats = np.round(table / scales[:, None])
    return {"rows": rows.astype(np.int8), "scales": scales}
