"""Values from text (JSON, JSON lines, TOML), bounded in depth, digits and number; and records from values."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter

from mar.errors import DataError, UserError
from mar.reading.attempt import attempt
from mar.reading.limits import DEPTH, DIGITS, ENTRIES, RECORD, SETTINGS
from mar.reading.text import read_lines, read_text

T = TypeVar("T")
_HUGE = 10**DIGITS
# tomllib's time grows with the square of a dotted key's parts, so such a key is refused before it is parsed.
_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+"""
_DEEP_KEY = re.compile(rf"(?<![\w.-])(?:{_PART}){{{DEPTH + 1}}}")


def parse_json(
    text: str, where: str, *, expected: str = "", error: type[UserError] = DataError, finite: bool = True
) -> Any:
    """The value of a JSON text.

    Args:
        text: The text.
        where: It comes from, in words.
        expected: What the text should be.
        error: What is raised.
        finite: Refuse what Python writes and JSON does not have: NaN, infinities and halves of surrogate pairs.

    Raises:
        UserError: It is no JSON, names a field twice, or exceeds a limit; of the type `error`.
    """

    def parse() -> Any:
        return bounded(json.loads(text, object_pairs_hook=_each_once), finite=finite)

    return attempt(parse, where, expected=expected, error=error)


def parse_toml(text: str, where: str, *, expected: str = "", error: type[UserError] = DataError) -> dict[str, Any]:
    """The table of a TOML text.

    Raises:
        UserError: It is no TOML, or exceeds a limit; of the type `error`.
    """

    def parse() -> dict[str, Any]:
        if _DEEP_KEY.search(text):
            raise RecursionError
        return bounded(tomllib.loads(text))

    return attempt(parse, where, expected=expected, error=error)


def read_json(
    path: Path | Traversable,
    *,
    expected: str = "",
    error: type[UserError] = DataError,
    finite: bool = True,
    most: int = RECORD,
) -> Any:
    """The value of a JSON file.

    Raises:
        UserError: See `read_text` and `parse_json`.
    """
    text = read_text(path, expected=expected, error=error, most=most)
    return parse_json(text, str(path), expected=expected, error=error, finite=finite)


def read_json_lines(
    path: Path,
    *,
    expected: str = "",
    error: type[UserError] = DataError,
    finite: bool = True,
    complete: bool = False,
) -> Iterator[tuple[str, Any]]:
    """The value of each line of a file, one at a time, with where it stands; see `read_lines`.

    Raises:
        UserError: See `read_lines` and `parse_json`; names the line.
    """
    for where, line in read_lines(path, expected=expected, error=error, complete=complete):
        yield where, parse_json(line, where, expected=expected, error=error, finite=finite)


def read_toml(path: Path | Traversable, *, expected: str = "", error: type[UserError] = DataError) -> dict[str, Any]:
    """The table of a TOML file.

    Raises:
        UserError: See `read_text` and `parse_toml`.
    """
    text = read_text(path, expected=expected, error=error, most=SETTINGS)
    return parse_toml(text, str(path), expected=expected, error=error)


def validated(
    kind: type[T] | TypeAdapter[T], value: object, where: str, *, expected: str = "", error: type[UserError] = DataError
) -> T:
    """A value as a record of some type, checked by pydantic.

    Raises:
        UserError: It is none; names the field; of the type `error`.
    """
    adapter = kind if isinstance(kind, TypeAdapter) else TypeAdapter(kind)
    return attempt(lambda: adapter.validate_python(value), where, expected=expected, error=error)


def table(value: object, where: str, *, expected: str = "", error: type[UserError] = DataError) -> dict[str, Any]:
    """A value that has to be an object (a table of names and values).

    Raises:
        UserError: It is something else; of the type `error`.
    """
    if not isinstance(value, dict):
        raise error(f"{where}: expected {expected or 'a JSON object'}, found {type(value).__name__}")
    return cast("dict[str, Any]", value)


# Limits -------------------------------------------------------------------------------------------------------


def bounded(value: T, *, finite: bool = True, entries: int = ENTRIES) -> T:
    """The value itself, looked at level by level.

    Raises:
        ValueError: It is nested too deeply or holds too much, a number out of bounds, or text that is none.
    """
    level: list[object] = [value]
    count = 0
    for _ in range(DEPTH + 1):
        count += len(level)
        if count > entries:
            raise ValueError(f"more than {entries:,} values")
        below: list[object] = []
        for one in level:
            if isinstance(one, str):
                if finite and not one.isascii():
                    one.encode()  # half of a surrogate pair is no text
            elif isinstance(one, dict):
                below += cast("dict[object, object]", one).keys()
                below += cast("dict[object, object]", one).values()
            elif isinstance(one, list):
                below += cast("list[object]", one)
            elif isinstance(one, int | float):
                _check_number(one, finite)
        if not below:
            return value
        level = below
    raise ValueError(f"nested more than {DEPTH} levels deep")


def _check_number(one: float, finite: bool) -> None:
    if isinstance(one, float):
        if finite and not math.isfinite(one):
            raise ValueError(f"{one} is no finite number")
    elif not -_HUGE < one < _HUGE:
        raise ValueError(f"an integer has more than {DIGITS} digits")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the field {next(n for n in names if names.count(n) > 1)!r} is given twice")
    return found
