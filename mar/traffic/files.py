"""The log as a file: JSON lines, or Parquet with lists of arms and outcomes in columns of their own."""

from __future__ import annotations

import importlib
import json
from collections.abc import AsyncIterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from pydantic import TypeAdapter

from mar.files import whole_or_none
from mar.reading import read_json_lines, validated
from mar.traffic.records import Logged

EXPECTED = "a request as `mar log export` writes it"
BATCH = 1_000  # rows that are written at once
_LOGGED = TypeAdapter(Logged)


def logged_of(data: object, where: str) -> Logged:
    """A logged request from a plain dictionary.

    Raises:
        DataError: It is none; names the field.
    """
    return validated(_LOGGED, data, where, expected=EXPECTED)


def read_log(path: Path) -> Iterator[Logged]:
    """The requests of a file of JSON lines, in its order, one at a time.

    Raises:
        DataError: It cannot be read, or a line is no request.
    """
    for where, data in read_json_lines(path, expected=EXPECTED):
        yield logged_of(data, where)


async def write_log(path: Path, log: AsyncIterable[Logged]) -> int:
    """Write requests: as Parquet where the file's name ends so, else as JSON lines; gives how many.

    The file is there once it is whole.
    """
    with whole_or_none(path) as part:
        sink: _Sink = _Parquet(part) if path.suffix == ".parquet" else _Lines(part)
        count, rows = 0, list[dict[str, Any]]()
        try:
            async for logged in log:
                rows.append(asdict(logged))
                count += 1
                if len(rows) == BATCH:
                    sink.write(rows)
                    rows = []
            sink.write(rows)
        finally:
            sink.close()
    return count


class _Sink(Protocol):
    def write(self, rows: list[dict[str, Any]]) -> None: ...
    def close(self) -> None: ...


class _Lines:
    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def write(self, rows: list[dict[str, Any]]) -> None:
        self._file.writelines(json.dumps(row) + "\n" for row in rows)

    def close(self) -> None:
        self._file.close()


class _Parquet:
    def __init__(self, path: Path) -> None:
        self._arrow: Any = importlib.import_module("pyarrow")  # slow to import, seldom needed, and without types
        parquet: Any = importlib.import_module("pyarrow.parquet")
        self._schema = _schema(self._arrow)
        self._writer = parquet.ParquetWriter(path, self._schema)

    def write(self, rows: list[dict[str, Any]]) -> None:
        self._writer.write_table(self._arrow.Table.from_pylist(rows, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def _schema(arrow: Any) -> Any:
    text, real, whole = arrow.string(), arrow.float64(), arrow.int64()
    arm = arrow.struct({"name": text, "probability": real, "right": real, "usd": real, "seconds": real})
    outcome = arrow.struct({"kind": text, "value": real, "by": text, "at": real, "note": text})
    other = arrow.struct(
        {"model": text, "said": text, "single": arrow.bool_(), "usd": real, "seconds": real, "reason": text}
    )
    kinds = {
        "at": real,
        "embedding": arrow.list_(arrow.float32()),
        "arms": arrow.list_(arm),
        "explored": arrow.bool_(),
        "prompt_tokens": whole,
        "completion_tokens": whole,
        "cost_usd": real,
        "seconds": real,
        "status": whole,
        "outcomes": arrow.list_(outcome),
        "others": arrow.list_(other),
    }
    return arrow.schema({name: kinds.get(name, text) for name in Logged.__dataclass_fields__})
