"""Readers of data files: JSON, JSONL, CSV and Parquet, gzipped or plain. A bad line is named with its file."""

from __future__ import annotations

import csv
import gzip
import importlib
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from mar.errors import DataError

Row = Mapping[str, Any]
T = TypeVar("T")


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
    if not path.is_file():
        raise DataError(f"no data file {path}; expected a JSONL file")
    return _some(path, tuple(_parse(_text(path), path)))


def read_csv(path: Path) -> tuple[Row, ...]:
    """Read the cells of a CSV file, one row a record; no line is taken for a header.

    Raises:
        DataError: The file cannot be read as CSV; names the file and the line.
    """
    lines = csv.reader(io.StringIO(_text(path)), strict=True)
    rows: list[Row] = []
    try:
        rows.extend({"cells": cells} for cells in lines if cells)
    except csv.Error as error:
        raise DataError(f"{path}, line {lines.line_num}: {error}; expected comma-separated values") from None
    return tuple(rows)


def read_parquet(path: Path) -> tuple[Row, ...]:
    """Read a Parquet file.

    Raises:
        DataError: The file cannot be read.
    """
    parquet: Any = importlib.import_module("pyarrow.parquet")  # slow to import, seldom needed, and without types
    try:
        return tuple(cast("list[Row]", parquet.read_table(path).to_pylist()))
    except (OSError, ValueError) as error:  # Arrow's errors about malformed files are ValueErrors
        raise DataError(f"{path} cannot be read: {error}") from None


def _some(path: Path, rows: tuple[T, ...]) -> tuple[T, ...]:
    if not rows:
        raise DataError(f"{path} holds no rows; expected one JSON object per line")
    return rows


def _text(path: Path) -> str:
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            return file.read()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None


def _parse(text: str, path: Path) -> Iterator[tuple[str, Row]]:
    whole = _whole(text, path)
    if whole is None:
        lines = [(f"{path}, line {n}", line) for n, line in enumerate(text.split("\n"), start=1) if line.strip()]
    else:
        lines = [(f"{path}, row {n}", row) for n, row in enumerate(whole, start=1)]
    for where, line in lines:
        try:
            row = json.loads(line) if isinstance(line, str) and whole is None else line
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: {error}; expected a JSON object") from None
        if not isinstance(row, dict):
            raise DataError(f"{where}: expected a JSON object, found {type(row).__name__}")
        yield where, cast(Row, row)


def _whole(text: str, path: Path) -> list[Any] | None:
    """The rows of a text that is one JSON list or, over several lines, one object; None: one row a line."""
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: {error}; expected a list of JSON objects") from None
    if path.suffix == ".json":
        try:
            one = json.loads(text)
        except (ValueError, RecursionError):
            return None  # rows under the wrong ending; each line is tried
        return [one] if isinstance(one, dict) else None
    return None
