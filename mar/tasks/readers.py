"""Readers of data files: JSON, JSONL, CSV and Parquet, gzipped or plain. A bad line is named with its file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from mar.errors import DataError
from mar.reading import attempt, parse_json, read_json_lines, read_lines, read_text, table, tables
from mar.reading.limits import DATA

Row = Mapping[str, Any]
T = TypeVar("T")
_EXPECTED = "a JSON object"


def read_file(path: Path) -> tuple[Row, ...]:
    """Read a file by its ending: .parquet, .csv (each row's cells under the key "cells"), else JSON or JSONL.

    Raises:
        DataError: The file is missing or malformed; names the file and the line.
    """
    return tuple(row for _, row in read_located(path))


def read_located(path: Path) -> tuple[tuple[str, Row], ...]:
    """Read a file as `read_file` does, every row with where it stands: "FILE, line 3" or "FILE, row 3".

    Raises:
        DataError: The file is missing or malformed; names the file and the line.
    """
    endings = path.suffixes[-2:] if path.suffix == ".gz" else path.suffixes[-1:]
    if ".parquet" in endings or ".csv" in endings:
        rows = _some(path, read_parquet(path) if ".parquet" in endings else read_csv(path))
        return tuple((f"{path}, row {n}", row) for n, row in enumerate(rows, start=1))
    return _json_rows(path)


def read_jsonl(path: Path) -> tuple[Row, ...]:
    """Read a JSONL file (optionally gzipped), or a JSON file that holds an object or a list of objects.

    Raises:
        DataError: The file is missing or a line is no JSON object; names the file and the line.
    """
    return tuple(row for _, row in _json_rows(path))


def _json_rows(path: Path) -> tuple[tuple[str, Row], ...]:
    if not attempt(path.is_file, str(path), expected="a JSONL file"):
        raise DataError(f"no data file {path}; expected a JSONL file")
    return _some(path, tuple(_parse(path)))


def read_csv(path: Path) -> tuple[Row, ...]:
    """Read the cells of a CSV file, one row a record; no line is taken for a header.

    Raises:
        DataError: The file cannot be read as CSV; names the file and the line.
    """
    return tuple({"cells": cells} for cells in tables.read_cells(path))


def read_parquet(path: Path) -> tuple[Row, ...]:
    """Read a Parquet file.

    Raises:
        DataError: The file cannot be read.
    """
    return tuple(cast("list[Row]", tables.read_parquet(path)))


def _some(path: Path, rows: tuple[T, ...]) -> tuple[T, ...]:
    if not rows:
        raise DataError(f"{path} holds no rows; expected one JSON object per line")
    return rows


def _parse(path: Path) -> Iterator[tuple[str, Row]]:
    whole = _whole(path)
    found = read_json_lines(path, expected=_EXPECTED) if whole is None else whole
    for where, row in found:
        yield where, table(row, where, expected=_EXPECTED)


def _whole(path: Path) -> list[tuple[str, Any]] | None:
    """The rows of a text that is one JSON list or, over several lines, one object; None: one row a line."""
    _, first = next(read_lines(path, expected=_EXPECTED), ("", ""))
    if not first.startswith("[") and path.suffix != ".json":
        return None
    text = read_text(path, expected=_EXPECTED, most=DATA)
    if first.startswith("["):
        rows = parse_json(text, str(path), expected="a list of JSON objects")
        return [(f"{path}, row {n}", row) for n, row in enumerate(rows, start=1)]
    try:
        one = parse_json(text, str(path))
    except DataError:
        return None  # rows under the wrong ending; each line is tried
    return [(f"{path}, row 1", one)] if isinstance(one, dict) else None
