"""Where a benchmark's rows come from, in the order they are looked for."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Self, cast

from mar.errors import DataError
from mar.tasks.readers import Row, read_located

PARTS = ("train", "validation", "val", "dev", "test")
"""What published parts of a benchmark are called, in files and on the hub."""

_SHARD = re.compile(r"-\d+-of-\d+$")
_OFF = {"", "0", "false", "no", "off"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """One raw row and where it stands."""

    row: Row
    where: str  # for error messages: "/data/gsm8k/test.jsonl, line 3"
    number: int  # position within its file, from 1
    part: str = ""  # which of PARTS its file belongs to; empty when the file holds everything
    stem: str = ""  # the file's name without its ending

    def value(self, *names: str) -> Any:
        """A field under the first of the names that published files give it; None where it has none.

        Raises:
            DataError: It stands under two names with two values.
        """
        given = {name: self.row[name] for name in names if self.row.get(name) is not None}
        first = next(iter(given.values()), None)
        if other := next((name for name, value in given.items() if value != first), None):
            raise DataError(
                f"{self.where}: fields {next(iter(given))} and {other} contradict each other: {first!r:.80}, "
                f"{given[other]!r:.80}"
            )
        return first

    def text(self, *names: str) -> str:
        """A field, by any of its names, that has to be a text with something in it.

        Raises:
            DataError: It is not, or has two values; names file, row and field.
        """
        value = self.value(*names)
        if not isinstance(value, str) or not value.strip():
            named = next((name for name in names if name in self.row), names[0])
            raise DataError(f"{self.where}: field {named} is {value!r}; expected a text")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Raw rows and where they were found."""

    source: str  # for people: "file /data/mbpp.jsonl", "hub google-research-datasets/mbpp", "bundled sample"
    located: tuple[Located, ...]

    @classmethod
    def of(cls, rows: Iterable[Row], *, source: str, place: str, part: str = "") -> Self:
        """Rows of one place, which error messages name."""
        return cls(source=source, located=tuple(_locate(rows, place=place, part=part)))

    @classmethod
    def read(cls, path: Path) -> Self:
        """The rows of one file.

        Raises:
            DataError: It is missing or malformed; names the file and the line.
        """
        return cls(source=f"file {path}", located=tuple(_in_file(path, _part_of(path))))


def _locate(rows: Iterable[Row], *, place: str, part: str = "", stem: str = "") -> Iterable[Located]:
    for number, row in enumerate(rows, start=1):
        yield Located(row=row, where=f"{place}, row {number}", number=number, part=part, stem=stem)


def _in_file(path: Path, part: str) -> Iterable[Located]:
    stem = path.name.partition(".")[0]
    for number, (where, row) in enumerate(read_located(path), start=1):
        yield Located(row=row, where=where, number=number, part=part, stem=stem)


def once_each(ids: Sequence[str], located: Sequence[Located], what: str) -> None:
    """Refuse rows that share an id.

    Raises:
        DataError: Names the second row.
    """
    seen = set[str]()
    for one, at in zip(ids, located, strict=True):
        if one in seen:
            raise DataError(f"{at.where}: {what} {one} is given twice; expected one row per task")
        seen.add(one)


# Files --------------------------------------------------------------------------------------------------------


def layouts(*patterns: str) -> tuple[str, ...]:
    """Where files may be below a data folder: each pattern below benchmarks/, as it is, and without its own folder.

    A pattern for {part}.jsonl stands for the hub's Parquet files of that part, too.
    """
    patterns = tuple(q for p in patterns for q in (p, *_hub_files(p)))
    own = [p.partition("/")[2] for p in patterns if "/" in p]
    return tuple(dict.fromkeys([*(f"benchmarks/{p}" for p in patterns), *patterns, *own]))


def _hub_files(pattern: str) -> tuple[str, ...]:
    """What the hub calls the files of a part, in the folder itself, in data/ or in a configuration's folder."""
    folder, jsonl, _ = pattern.partition("/{part}.jsonl")
    return tuple(f"{folder}/{within}{{part}}-*.parquet" for within in ("", "data/", "main/")) if jsonl else ()


def _files(folder: Path, pattern: str) -> list[tuple[Path, str]]:
    """Files that a pattern names below a folder, each with the part that {part} stands for."""
    parts = PARTS if "{part}" in pattern else ("",)
    return [(p, part) for part in parts for p in sorted(folder.glob(pattern.format(part=part))) if p.is_file()]


def _read(files: Sequence[tuple[Path, str]], source: str) -> Rows:
    located = tuple(at for path, part in files for at in _in_file(path, part or _part_of(path)))
    return Rows(source=source, located=located)


def _below(folder: Path, within: Sequence[str]) -> Rows | None:
    for pattern in within:
        if files := _files(folder, pattern):
            named = files[0][0] if len(files) == 1 else folder / pattern.format(part="*")
            return _read(files, f"file {named}" if len(files) == 1 else f"files {named}")
    return None


def _part_of(path: Path) -> str:
    """The part that a file is named after: test.jsonl, train-00000-of-00001.parquet."""
    stem = _SHARD.sub("", path.name.partition(".")[0])
    return stem if stem in PARTS else ""


# The hub and the sample ---------------------------------------------------------------------------------------


def hub_reachable(timeout_s: float = 3.0) -> bool:
    """Whether the hub of data sets can be asked: not switched off, and a connection comes about quickly."""
    if any(os.environ.get(name, "").lower() not in _OFF for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")):
        return False
    try:
        with socket.create_connection(("huggingface.co", 443), timeout=timeout_s):
            return True
    except OSError:
        return False


def hub_rows(name: str, config: str | None = None, *, parts: Sequence[str]) -> Rows:
    """Parts of a data set on the hub."""
    from datasets import load_dataset  # pyright: ignore[reportUnknownVariableType, reportMissingTypeStubs]

    located: list[Located] = []
    for part in parts:
        rows = cast("Iterable[Row]", load_dataset(name, config, split=part))
        located += _locate(rows, place=f"hub {name}, {part}", part=part)
    return Rows(source=f"hub {name}", located=tuple(located))


def bundled_sample(name: str) -> tuple[Row, ...]:
    """The rows of a sample that ships with the package."""
    text = resources.files("mar.tasks").joinpath(f"samples/{name}.jsonl").read_text(encoding="utf-8")
    return tuple(cast("dict[str, Any]", json.loads(line)) for line in text.splitlines() if line)


def find_rows(
    *,
    explicit: Path | None,
    data_root: Path | None,
    within: Sequence[str],
    hub: Callable[[], Rows] | None,
    sample: str,
) -> Rows:
    """Find a benchmark's rows.

    Args:
        explicit: A file, or a folder that holds the benchmark, which the user named; nothing else is tried.
        data_root: The folder given by `--data`, else MAR_DATA; it must hold the benchmark. Neither: ./Datasets may.
        within: Where files may be below a data folder: patterns, in which {part} stands for any of PARTS.
        hub: Loads the rows from the hub; asked only where it can be reached.
        sample: Name of the bundled sample, used last.

    Raises:
        DataError: A file that was asked for is missing or malformed.
    """
    if explicit is not None and not explicit.is_dir():
        return Rows.read(explicit)
    root = explicit or data_root or (Path(os.environ["MAR_DATA"]) if os.environ.get("MAR_DATA") else None)
    if (found := _below(root or Path("Datasets"), within)) is not None:
        return found
    if root is not None:
        raise DataError(f"the data folder {root} holds none of: {', '.join(within)}")
    why = ""
    if hub is not None and hub_reachable():
        try:
            return hub()
        except Exception as error:  # its client raises errors of many libraries; the source says that it failed
            why = f", since the hub failed with {type(error).__name__}"
    source = f"bundled sample ({sample}{why})"
    return Rows.of(bundled_sample(sample), source=source, place=f"bundled sample {sample}")
