"""Outcome tables from files: a saved table, npz, Parquet, CSV, RouterEval's pickles, or a recorded table's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mar.errors import ConfigError, DataError
from mar.evaluation.routereval.construct import RoutingSet
from mar.evaluation.routereval.published import EMBEDDINGS, read_leaderboard, read_router_dataset
from mar.evaluation.routereval.recorded import RECORDED, data_root
from mar.evaluation.routereval.table import ABOUT, OutcomeTable
from mar.reading.arrays import read_npz as read_arrays
from mar.reading.pickles import read_pickle
from mar.reading.tables import read_named_cells, read_parquet

TEXT_COLUMNS = {"id": "ids", "prompt": "prompts", "group": "groups", "split": "splits"}
"""Columns of CSV and Parquet that are no LLM's scores, and what they are in a table."""
COST = "|total_cost"
"""What the column of an LLM's costs (USD) is called after its name; RouterBench's files call it so."""


def load(
    source: str, *, data: Path | None = None, embedding: str = EMBEDDINGS[0]
) -> list[OutcomeTable] | list[RoutingSet]:
    """Tables, or from a router_dataset ready-made problems.

    Args:
        source: A recorded table's name, a folder that OutcomeTable.save wrote, or a file.
        data: The data folder for recorded tables; None: MAR_DATA, else ./Datasets.
        embedding: Which embeddings, where a published file has several.

    Raises:
        ConfigError: There is no such source.
        DataError: The file cannot be used.
    """
    if source in RECORDED:
        return [RECORDED[source](data_root(data))]
    path = Path(source)
    if path.is_dir() and (path / ABOUT).is_file():
        return [OutcomeTable.open(path)]
    if not path.is_file():
        raise ConfigError(
            f"no table {source!r}; expected {', '.join(RECORDED)}, a saved table, npz, parquet, csv or pkl"
        )
    if path.suffix == ".npz":
        return [read_npz(path)]
    if path.suffix == ".parquet":
        return [_from_rows(path, read_parquet(path))]
    if path.suffix == ".csv":
        return [read_csv_table(path)]
    if path.suffix == ".pkl":
        leaderboard = isinstance(whole := read_pickle(path), dict) and "model" in whole
        return (
            read_leaderboard(path, embedding=embedding)
            if leaderboard
            else read_router_dataset(path, embedding=embedding)
        )
    raise ConfigError(f"{path} ends in {path.suffix!r}; expected .npz, .parquet, .csv or .pkl")


def read_npz(path: Path) -> OutcomeTable:
    """A table from arrays: scores and models, and where known vectors, costs, prompts, ids, groups, splits.

    Raises:
        DataError: An array is missing, of another shape or kind, or of objects.
    """
    arrays: dict[str, Any] = {**read_arrays(path)}
    known = {"scores", "models", "vectors", "costs", *TEXT_COLUMNS.values()}
    if unknown := sorted(arrays.keys() - known):
        raise DataError(f"{path} holds {unknown[0]!r}; expected {', '.join(sorted(known))}")
    if missing := sorted({"scores", "models"} - arrays.keys()):
        raise DataError(f"{path} has no array {missing[0]!r}")
    texts: dict[str, Any] = {
        name: tuple(map(str, arrays[name].tolist())) for name in TEXT_COLUMNS.values() if name in arrays
    }
    numbers: dict[str, Any] = {
        name: _floats(arrays[name], f"{path}, {name}") for name in ("scores", "vectors", "costs") if name in arrays
    }
    scores = numbers["scores"]
    if (wrong := np.argwhere((scores < 0) | (scores > 1))).size:
        at = tuple(wrong[0].tolist())
        raise DataError(f"{path}, scores{list(at)}: {scores[at]:g} is no score; expected a number from 0 to 1")
    models = tuple(map(str, arrays["models"].ravel().tolist()))
    return OutcomeTable(name=path.stem, models=models, **texts, **numbers, notes=_note(path))


def read_csv_table(path: Path) -> OutcomeTable:
    """A table from CSV: one row per prompt, one column per LLM, and columns named id, prompt, group or split;
    where they are known, one column of costs per LLM, named NAME|total_cost.

    Raises:
        DataError: A cell is no number, or the file cannot be read.
    """
    return _from_rows(path, read_named_cells(path))


def _from_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> OutcomeTable:
    if not rows:
        raise DataError(f"{path} holds no rows")
    models = tuple(name for name in rows[0] if name not in TEXT_COLUMNS and not name.endswith(COST))
    texts: dict[str, Any] = {
        field: tuple(str(row[column]) for row in rows) for column, field in TEXT_COLUMNS.items() if column in rows[0]
    }
    scores = np.empty((len(rows), len(models)), dtype=np.float32)
    for i, row in enumerate(rows):
        for j, model in enumerate(models):
            scores[i, j] = _number(row.get(model), f"{path}, row {i + 1}, {model}")
    costs = _costs(path, rows, models)
    return OutcomeTable(name=path.stem, models=models, scores=scores, costs=costs, **texts, notes=_note(path))


def _costs(path: Path, rows: Sequence[Mapping[str, Any]], models: Sequence[str]) -> Any:
    """USD of every answer; None where the file has no column of costs."""
    priced = [name.removesuffix(COST) for name in rows[0] if name.endswith(COST)]
    if not priced:
        return None
    if odd := [name for name in (*models, *priced) if (name in models) != (name in priced)]:
        raise DataError(f"{path}: scores and costs of {odd[0]!r} do not go together; expected both of every LLM")
    return np.array(
        [[_usd(row.get(m + COST), f"{path}, row {i + 1}, {m}{COST}") for m in models] for i, row in enumerate(rows)],
        dtype=np.float32,
    )


def _usd(value: Any, where: str) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = np.nan
    if not 0 <= found < np.inf:
        raise DataError(f"{where}: {value!r} is no cost; expected USD, 0 or more")
    return found


def _number(value: Any, where: str) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = np.nan
    if not 0 <= found <= 1:
        raise DataError(
            f"{where}: {value!r} is no score; expected a number from 0 to 1 "
            f"(columns of text are {', '.join(TEXT_COLUMNS)})"
        )
    return found


def _floats(values: Any, where: str) -> Any:
    if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
        raise DataError(f"{where}: an array of {values.dtype}; expected finite numbers")
    return values.astype(np.float32)


def _note(path: Path) -> dict[str, str]:
    return {"source": f"file {path.name}"}
