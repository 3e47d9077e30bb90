"""Outcome tables: what every LLM scored on every prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt

from mar.errors import DataError
from mar.files import write_atomically
from mar.reading import attempt, read_json, table
from mar.reading.arrays import map_npy

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

SCORES, VECTORS, ABOUT = "scores.npy", "vectors.npy", "table.json"
_FILES = {"scores": SCORES, "vectors": VECTORS, "costs": "costs.npy"}
BLOCK = 4096  # rows
_LISTS = ("ids", "prompts", "groups", "splits")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeTable:
    """Scores of LLMs on prompts. Large ones are memory-mapped: `open` reads nothing but what is used."""

    name: str
    models: tuple[str, ...]  # m names, in the order of the columns
    scores: Floats  # (n, m), 0 to 1; bytes will do where they are 0 or 1
    ids: tuple[str, ...] = ()  # n names of prompts; empty: they have none
    prompts: tuple[str, ...] = ()  # n texts, as the router sees them; empty: not known
    vectors: Floats | None = None  # (n, d) embeddings of the prompts; None: not embedded yet
    groups: tuple[str, ...] = ()  # n names of the sub-benchmark that a prompt belongs to; empty: one benchmark
    splits: tuple[str, ...] = ()  # n published parts ("train", "test"); empty: none is published
    costs: Floats | None = None  # (n, m) USD that each answer cost; None: not recorded
    notes: Mapping[str, str] = field(default_factory=dict[str, str])  # what every result made from it must say

    def __post_init__(self) -> None:
        n, m = self.scores.shape if self.scores.ndim == 2 else (-1, -1)
        if n < 1 or m != len(self.models):
            raise DataError(f"{self.name}: scores have shape {self.scores.shape}; expected (n, {len(self.models)})")
        if len(set(self.models)) < m:
            twice = next(name for name in self.models if self.models.count(name) > 1)
            raise DataError(f"{self.name}: the LLM {twice!r} is named twice; expected one column per LLM")
        for what, values in (
            ("ids", self.ids),
            ("prompts", self.prompts),
            ("groups", self.groups),
            ("splits", self.splits),
            ("vectors", self.vectors),
            ("costs", self.costs),
        ):
            if values is not None and len(values) not in ((0, n) if isinstance(values, tuple) else (n,)):
                raise DataError(f"{self.name}: {len(values)} {what} for {n} prompts; expected one each")

    def __len__(self) -> int:
        return len(self.scores)

    def columns(self, models: Sequence[str]) -> Self:
        """The same prompts with some of the LLMs, in this order.

        Raises:
            DataError: An LLM is not in the table.
        """
        where = {name: i for i, name in enumerate(self.models)}
        if unknown := [name for name in models if name not in where]:
            raise DataError(f"{self.name} has no LLM {unknown[0]!r}; it has {', '.join(self.models[:12])}")
        at = [where[name] for name in models]
        costs = None if self.costs is None else self.costs[:, at]
        return replace(self, models=tuple(models), scores=self.scores[:, at], costs=costs)

    def rows(self, at: Rows) -> Self:
        """Some of the prompts, in this order."""

        positions: list[int] = at.tolist()

        def some(values: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(values[i] for i in positions) if values else ()

        return replace(
            self,
            scores=self.scores[at],
            ids=some(self.ids),
            prompts=some(self.prompts),
            groups=some(self.groups),
            splits=some(self.splits),
            vectors=None if self.vectors is None else self.vectors[at],
            costs=None if self.costs is None else self.costs[at],
        )

    def with_vectors(self, vectors: Floats) -> Self:
        """The table with embeddings of its prompts."""
        return replace(self, vectors=vectors)

    def save(self, folder: Path) -> None:
        """Write the table as a folder that `open` maps into memory; its description is written last."""
        folder.mkdir(parents=True, exist_ok=True)
        for file, values in ((SCORES, self.scores), (VECTORS, self.vectors), ("costs.npy", self.costs)):
            if values is None:
                (folder / file).unlink(missing_ok=True)
            else:
                np.save(folder / file, values)
        about = {
            "name": self.name,
            "models": self.models,
            "ids": self.ids,
            "prompts": self.prompts,
            "groups": self.groups,
            "splits": self.splits,
            "notes": dict(self.notes),
        }
        write_atomically(folder / ABOUT, json.dumps(about))

    @classmethod
    def open(cls, folder: Path) -> Self:
        """A table that `save` wrote; scores and vectors stay on disk until they are used.

        Raises:
            DataError: The folder holds no whole table.
        """
        expected = "what OutcomeTable.save writes"
        about = table(read_json(folder / ABOUT, expected=expected), str(folder / ABOUT), expected=expected)

        def opened() -> Self:
            texts = {name: tuple(map(str, about.get(name, ()))) for name in ("models", *_LISTS)}
            arrays = {name: _mapped(folder / file) for name, file in _FILES.items() if (folder / file).is_file()}
            notes = {str(name): str(value) for name, value in about["notes"].items()}
            return cls(name=str(about["name"]), notes=notes, **cast("dict[str, Any]", {**texts, **arrays}))

        return attempt(opened, f"{folder} holds no outcome table", expected=expected)


def _mapped(path: Path) -> Floats:
    """An array that stays on disk; of numbers with fractions every one is looked at, a block of rows at a time."""
    found = cast(Floats, map_npy(path))
    if found.dtype.kind == "f" and not all(
        np.isfinite(found[at : at + BLOCK]).all() for at in range(0, len(found), BLOCK)
    ):
        raise DataError(f"{path} holds NaN or an infinity; expected finite numbers")
    return found
