"""Tables from files: CSV as cells, Parquet as rows."""

from __future__ import annotations

import csv
import importlib
import io
from pathlib import Path
from typing import Any, cast

from mar.errors import DataError, UserError
from mar.reading.attempt import attempt, refusal
from mar.reading.limits import CELLS, CELLS_PER_BYTE, DATA, FEWEST_CELLS, TEXT_CELL
from mar.reading.text import read_text

_EXPECTED = "comma-separated values"


def read_cells(path: Path, *, expected: str = _EXPECTED, error: type[UserError] = DataError) -> list[list[str]]:
    """The cells of a CSV file, one list a record that is not blank; no line is taken for a header.

    Raises:
        UserError: It cannot be read; names the line; of the type `error`.
    """
    text = read_text(path, expected=expected, error=error, most=DATA)
    csv.field_size_limit(TEXT_CELL)
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str]] = []
    try:
        rows.extend(cells for cells in lines if cells)
    except csv.Error as problem:
        raise refusal(f"{path}, line {lines.line_num}", str(problem), expected=expected, error=error) from None
    return rows


def read_named_cells(
    path: Path, *, expected: str = _EXPECTED, error: type[UserError] = DataError
) -> list[dict[str, str]]:
    """The rows of a CSV file by the names in its first record.

    Raises:
        UserError: As `read_cells`, two columns share a name, or a record has more or fewer cells than the first.
    """
    names, *rows = read_cells(path, expected=expected, error=error) or [[]]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise refusal(str(path), f"two columns are called {twice!r}", expected=expected, error=error)
    for number, cells in enumerate(rows, start=1):
        if len(cells) != len(names):
            where = f"{path}, row {number}"
            raise refusal(where, f"{len(cells)} cells", expected=f"{len(names)}, as in the first line", error=error)
    return [dict(zip(names, cells, strict=True)) for cells in rows]


def read_parquet(path: Path, *, expected: str = "a Parquet file", error: type[UserError] = DataError) -> list[Any]:
    """The rows of a Parquet file by the names of its columns.

    Raises:
        UserError: It cannot be read, or states more cells than its bytes can hold; of the type `error`.
    """

    def read() -> list[Any]:
        parquet: Any = importlib.import_module("pyarrow.parquet")  # slow to import, seldom needed, and without types
        if path.exists() and not path.is_file():
            raise ValueError("no regular file")
        size = path.stat().st_size
        with parquet.ParquetFile(path) as file:
            cells = file.metadata.num_rows * max(1, file.metadata.num_columns)
            unpacked = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
            if not 0 <= cells <= min(CELLS, FEWEST_CELLS + CELLS_PER_BYTE * size) or not 0 <= unpacked <= DATA:
                raise ValueError(f"{size:,} bytes that state {cells:,} cells")
            return cast("list[Any]", file.read().to_pylist())

    return attempt(read, f"{path} cannot be read", expected=expected, error=error)
