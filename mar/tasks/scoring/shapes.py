r"""What an answer is made of: one value, or several in a set, a list, a pair, an interval, a union or a matrix.

Order counts in pairs and matrices and not in sets, lists and unions. An inequality in one variable is an interval:
"x < 3" is (-\infty, 3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["value", "set", "list", "tuple", "union", "matrix"]

_MATRIX = re.compile(
    r"\\begin\{([pbvBV]?)(?:matrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\{[pbvBV]?(?:matrix|array)\}", re.DOTALL
)
_NAME = r"[a-zA-Z](?:_\{?\w{1,3}\}?|\([a-zA-Z]\))?"
_IN = re.compile(rf"({_NAME})\s?\\in\s?(?=[(\[\\])")
_NAMED = re.compile(rf"({_NAME}|\({_NAME}(?:, ?{_NAME})+\))\s?=\s?(?=[(\[]|\\\{{)")
_BUILDER = re.compile(rf"\\\{{\s?{_NAME}\s?(?:\||\\mid|:)\s?(.*[<>q].*)\\\}}")
_RELATION = re.compile(r"\\leq|\\geq|\\neq|<|>")
_UP = ("<", r"\leq")
_DOWN = (">", r"\geq")
_TURNED = {"<": ">", ">": "<", r"\leq": r"\geq", r"\geq": r"\leq", r"\neq": r"\neq"}
_OR = re.compile(r"\s?,?\s?(?:\\text\s?\{\s*,?\s*or\s*\}|(?<![a-zA-Z\\])or(?![a-zA-Z])|\\lor(?![a-z]))\s?")
_AND = re.compile(r"\s?(?:\\text\s?\{\s*,?\s*(?:and|or)\s*\}|(?<![a-zA-Z\\])(?:and|or)(?![a-zA-Z]))\s?")


@dataclass(frozen=True, slots=True)
class Shape:
    """An answer's parts, each a tidy text."""

    kind: Kind
    parts: tuple[str, ...]
    brackets: str = ""  # of a tuple: "()", "[)"; of a matrix: how many parts are in a row
    name: str = ""  # of the variable that an interval is said of


def shape(text: str) -> Shape:
    """The shape of a tidy text."""
    if (named := _NAMED.match(text)) and (found := shape(text[named.end() :])).kind != "value":
        return replace(found, name=named[1].replace(" ", ""))
    if built := _BUILDER.fullmatch(text):
        return shape(built[1])
    if said_of := _IN.match(text):
        return replace(shape(text[said_of.end() :]), name=said_of[1])
    return _inequality(text) or _either(text) or _matrix(text) or _union(text) or _bracketed(text) or _list(text)


def split(text: str, at: str) -> list[str]:
    """The parts of a text between separators that stand outside all brackets."""
    parts, depth, begin = list[str](), 0, 0
    for i, c in enumerate(text):
        if c in "({[":
            depth += 1
        elif c in ")}]":
            depth -= 1
        elif depth == 0 and text.startswith(at, i):
            parts.append(text[begin:i])
            begin = i + len(at)
    return [p.strip() for p in (*parts, text[begin:])]


def _inequality(text: str) -> Shape | None:
    relations: list[str] = _RELATION.findall(text)
    sides = [s.strip() for s in _RELATION.split(text)]
    if "," in text or not all(sides):
        return None
    match relations, [re.fullmatch(_NAME, side) is not None for side in sides]:
        case [relation], [True, _]:
            found, name = _half_line(relation, sides[1]), sides[0]
        case [relation], [_, True]:
            found, name = _half_line(_TURNED[relation], sides[0]), sides[1]
        case [first, second], [_, True, _] if first in _UP and second in _UP:
            found, name = _between(sides[0], first, second, sides[2]), sides[1]
        case [first, second], [_, True, _] if first in _DOWN and second in _DOWN:
            found, name = _between(sides[2], second, first, sides[0]), sides[1]
        case _:
            return None
    return replace(found, name=name)


def _either(text: str) -> Shape | None:
    """Inequalities that are alternatives: "x < 2 or x > 3"."""
    found = [_inequality(part) for part in _OR.split(text)]
    halves = [f for f in found if f is not None and f.kind == "tuple"]
    if len(found) < 2 or len(halves) < len(found) or len({f.name for f in halves}) > 1:
        return None
    parts = tuple(f"{f.brackets[0]}{','.join(f.parts)}{f.brackets[1]}" for f in halves)
    return Shape("union", parts, name=halves[0].name)


def _between(low: str, first: str, second: str, high: str) -> Shape:
    return Shape("tuple", (low, high), ("[" if "eq" in first else "(") + ("]" if "eq" in second else ")"))


def _half_line(relation: str, end: str) -> Shape:
    """The values x with, for instance, x < end."""
    if relation == r"\neq":
        return Shape("union", (rf"(-\infty,{end})", rf"({end},\infty)"))
    if relation in _UP:
        return Shape("tuple", (r"-\infty", end), "(]" if "eq" in relation else "()")
    return Shape("tuple", (end, r"\infty"), "[)" if "eq" in relation else "()")


def _matrix(text: str) -> Shape | None:
    match = _MATRIX.fullmatch(text)
    if match is None:
        return None
    rows = [[c.strip() for c in row.split("&")] for row in match[2].split("\\\\") if row.strip()]
    return Shape("matrix", tuple(c for row in rows for c in row), str(len(rows[0]) if rows else 0))


def _union(text: str) -> Shape | None:
    parts = split(text, r"\cup")
    return Shape("union", tuple(parts)) if len(parts) > 1 else None


def _bracketed(text: str) -> Shape | None:
    if text.startswith(r"\{") and text.endswith(r"\}"):
        inner = text[2:-2]
        if "\\}" in inner or "\\{" in inner:
            return None
        return Shape("set", tuple(p for p in split(inner, ",") if p))
    if text[:1] in "([" and text[-1:] in ")]" and _closes_last(text):
        parts = split(text[1:-1], ",")
        if len(parts) > 1:
            return Shape("tuple", tuple(parts), text[0] + text[-1])
    return None


def _closes_last(text: str) -> bool:
    """Whether the bracket that a text begins with is closed by its last character."""
    depth = 0
    for i, c in enumerate(text):
        depth += (c in "([") - (c in ")]")
        if depth == 0:
            return i == len(text) - 1
    return False


def _list(text: str) -> Shape:
    text = _AND.sub(",", text)
    parts = [p for at in split(text, ";") for p in split(at, ",") if p]
    if len(parts) == 1 and parts[0].count(r"\pm") == 1:
        return Shape("list", tuple(parts[0].replace(r"\pm", sign).removeprefix("+").strip() for sign in "+-"))
    if len(parts) > 1:
        return Shape("list", tuple(parts))
    return Shape("value", (text,))
