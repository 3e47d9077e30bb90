"""A reply that is JSON: the field that holds the answer or the program.

The object is the whole reply, its last fenced block, or what it ends with. Models write their answers into it as they
are, so line breaks within a string and LaTeX's single backslashes are read as they are meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from mar.errors import DataError
from mar.reading import parse_json

ANSWER = ("finalanswer", "correctanswer", "answer", "choice", "correctoption", "option", "letter", "result", "value")
CODE = ("code", "pythoncode", "program", "solution", "function", "implementation", "python", "answer", "finalanswer")
MAX_STARTS = 8  # places looked at where an object may begin
MAX_WITHIN = 3  # objects and lists around an answer

_OBJECT = re.compile(r"\{\s*\"")
_LANGUAGE = re.compile(r"[ \t]*(?:json\w*)?[ \t]*\n", re.IGNORECASE)
_STRING = re.compile(r"\"(?:[^\"\\]|\\.)*+\"", re.DOTALL)
_RAW = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LATEX = re.compile(  # \frac begins like a form feed, \times like a tabulator
    r"(\\[\\\"/])|\\(?=[bf][a-z]|t(?:ext|imes|heta|riangle|au\b|an\b|o\b|frac)|r(?:ight|ho\b)|n(?:eq\b|abla)"
    r"|u(?![0-9a-fA-F]{4})|[^\"\\/bfnrtu])"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a reply, and where its object stands."""

    text: str
    start: int
    end: int


def field_in_json(text: str, names: tuple[str, ...]) -> Field | None:
    """The first of some fields that a reply's object has, as text; None where there is no such object or field.

    Args:
        text: A model's reply.
        names: Fields, the most telling first, in lower case without spaces and underscores.
    """
    for start, end in _places(text):
        try:
            value: object = parse_json(_repaired(text[start:end]), "the reply")
        except DataError:
            continue
        found = _field(value, names, MAX_WITHIN)
        return None if found is None else Field(text=found, start=start, end=end)
    return None


def _places(text: str) -> Iterator[tuple[int, int]]:
    """Where an object may stand: in the last fence, or at the end."""
    close = text.rfind("```")
    open_ = text.rfind("```", 0, close) if close > 0 else -1
    if open_ >= 0 and (language := _LANGUAGE.match(text, open_ + 3)) and _OBJECT.match(text[language.end() :].lstrip()):
        yield language.end(), close
    end = len(text.rstrip().rstrip("`").rstrip())
    if text[:end].endswith("}"):
        for match, _ in zip(_OBJECT.finditer(text, 0, end), range(MAX_STARTS), strict=False):
            yield match.start(), end


def _field(value: object, names: tuple[str, ...], depth: int) -> str | None:
    """What a field holds: a text or number, also one that is alone in a list or an object of its own."""
    match value:
        case bool() | None:
            return None
        case str() | int() | float():
            return str(value)
        case list() if depth and len(several := cast("list[object]", value)) == 1:
            return _field(several[0], names, depth - 1)
        case dict() if depth:
            fields = {re.sub(r"[\s_-]", "", k).lower(): v for k, v in cast("dict[str, Any]", value).items()}
            return next((_field(fields[n], names, depth - 1) for n in names if n in fields), None)
        case _:
            return None


def _repaired(text: str) -> str:
    return _STRING.sub(lambda m: _LATEX.sub(lambda b: b[1] or r"\\", "".join(_RAW.get(c, c) for c in m[0])), text)
