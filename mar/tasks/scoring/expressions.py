r"""Whether two LaTeX expressions are the same answer.

Both are written in one way (`latex`), taken apart (`shapes`), and compared part by part: numbers exactly, words as
words, and what is left as SymPy values (`math_helper`), within limits. Kept apart are what math-verify alone takes for
one: upper and lower case letters (R, r), a letter after a number and a unit (2s, 2), pairs and sets, closed and open
ends, order, bases (52_8, 52_9), and numbers that differ by little (2^{99}, 2^{98}). A unit may be left out, but not be
another one. 50\% is 50 as well as 0.5. Decimals are exact up to five digits and may be rounded from six on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from mar.tasks.scoring.latex import exact, spelled, squeezed, tidy, words
from mar.tasks.scoring.math_helper import MAX_COMPARED, Comparison, compare_symbolically
from mar.tasks.scoring.numbers import same_value
from mar.tasks.scoring.residues import congruent, residue
from mar.tasks.scoring.shapes import Shape, shape, split

MAX_PARTS = 64  # of a set, list or matrix
MAX_TEXT = 4_000  # characters of an expression that is looked at

_UNIT = re.compile(
    r"(?P<value>.*[\d})a-zA-Z])\s*"
    r"(?:\\text\s?\{\s*(?P<text>[^{}]*[a-zA-Z][^{}]*)\}|(?<=\d)\s?(?P<plain>[a-zA-Z]{2,}\.?(?: [a-zA-Z]{2,})*))"
    r"(?:\^\{?(?P<power>\d)\}?)?"
)
_RELATIONS = re.compile(r"[<>]|\\leq|\\geq|\\neq")
_MIXED = re.compile(r"(?<![\d.])(\d+)\s?\\frac\{(\d+)\}\{(\d+)\}")
_NAME = re.compile(r"(?:[a-zA-Z](?:_\{?\w{1,3}\}?)?|[a-zA-Z]\(\w{1,3}\)|\\[a-zA-Z]+|\\text\{[^{}]*\})")
_BASE = re.compile(r"(?P<digits>[0-9A-Za-z]+)_(?:\{(?:\\text\{)?(?P<long>\w+)\}?\}|(?P<short>\d))")
_PERCENT = re.compile(r"(.*[^\s\\])\s?\\?%")
_WORDS_OF_UNITS = {
    "feet": "foot",
    "inches": "inch",
    "ft": "foot",
    "in": "inch",
    "yd": "yard",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "km": "kilometer",
    "g": "gram",
    "kg": "kilogram",
    "hr": "hour",
    "hrs": "hour",
    "min": "minute",
    "mins": "minute",
    "sec": "second",
    "s": "second",
    "lb": "pound",
    "lbs": "pound",
}


def compare(gold: str, answer: str) -> Comparison:
    """Whether an answer is the same as the right one."""
    if gold.strip() == answer.strip():
        return "equal"
    if max(len(gold), len(answer)) > MAX_TEXT:
        return "different"
    return _same_residue(tidy(gold), tidy(answer))


def _same_residue(gold: str, answer: str) -> Comparison:
    """As `_same`, where one side or both may state a modulus."""
    one, other = residue(gold), residue(answer)
    if one and other:
        if (outcome := _same(one.modulus, other.modulus)) != "equal":
            return outcome
        if one.of and other.of and squeezed(one.of) != squeezed(other.of):
            return "different"
        return "equal" if congruent(one, other) else _same(one.value, other.value)
    return _same(one.value if one else gold, other.value if other else answer)


def _same(gold: str, answer: str) -> Comparison:
    if squeezed(gold) == squeezed(answer):
        return "equal"
    one, other = shape(gold), shape(answer)
    if one.kind == other.kind == "value":
        return _same_value(one.parts[0], other.parts[0])
    return _same_parts(one, other)


def _same_parts(one: Shape, other: Shape) -> Comparison:
    kinds = {one.kind, other.kind}
    if len(one.parts) != len(other.parts) or len(one.parts) > MAX_PARTS:
        return "different"
    if one.name and other.name and one.name != other.name:
        return "different"
    if kinds <= {"set", "list"} or kinds == {"union"} or kinds == {"set", "value"}:
        return _in_any_order(one.parts, other.parts)
    both_lists = kinds == {"tuple", "list"} and "()" in (one.brackets, other.brackets)
    vectors = kinds == {"tuple", "matrix"} and {one.brackets, other.brackets} == {"()", "1"}
    if (len(kinds) == 1 and one.brackets == other.brackets) or both_lists or vectors:
        return _all([_same(a, b) for a, b in zip(one.parts, other.parts, strict=True)])
    return "different"


def _in_any_order(gold: Sequence[str], answer: Sequence[str]) -> Comparison:
    left, undecided = list(answer), False
    for part in gold:
        outcomes = [(_same(part, other), other) for other in left]
        match = next((other for outcome, other in outcomes if outcome == "equal"), None)
        if match is None:
            undecided = undecided or any(outcome == "undecided" for outcome, _ in outcomes)
            return "undecided" if undecided else "different"
        left.remove(match)
    return "equal"


def _all(outcomes: Sequence[Comparison]) -> Comparison:
    if "different" in outcomes:
        return "different"
    return "undecided" if "undecided" in outcomes else "equal"


# One value --------------------------------------------------------------------------------------------------------


def _same_value(gold: str, answer: str) -> Comparison:
    if len(split(gold, "=")) > 1 or len(split(answer, "=")) > 1:
        return _same_equation(gold, answer)
    one, other = _number(gold), _number(answer)
    if one is not None and other is not None:
        return _verdict(same_value(one, other))
    if (outcome := _same_percent(gold, answer)) is not None:
        return outcome
    if (outcome := _same_words(gold, answer)) is not None:
        return outcome
    if (outcome := _same_base(gold, answer)) is not None:
        return outcome
    gold_value, gold_unit = _unit(gold)
    value, unit = _unit(answer)
    if gold_unit or unit:
        return "different" if gold_unit and unit and gold_unit != unit else _same(gold_value, value)
    if max(len(gold), len(answer)) > MAX_COMPARED or _RELATIONS.search(gold) or _RELATIONS.search(answer):
        return "different"
    return compare_symbolically(_with_mixed(gold), _with_mixed(answer))


def _verdict(same: bool) -> Comparison:
    return "equal" if same else "different"


def _number(text: str) -> Fraction | None:
    value = exact(text)
    return spelled(text) if value is None else value


def _same_equation(gold: str, answer: str) -> Comparison:
    *before, right = split(gold, "=")
    *other_before, other_right = split(answer, "=")
    left, other_left = "=".join(before), "=".join(other_before)
    if before and other_before:
        if squeezed(left) == squeezed(other_left):
            return _same(right, other_right)
        if "=" in left or "=" in other_left or _RELATIONS.search(gold + answer):
            return "different"
        return compare_symbolically(f"{left}-({right})", f"{other_left}-({other_right})", equations=True)
    named = left if before else other_left
    if not _NAME.fullmatch(squeezed(named).rpartition("=")[2]):
        return "different"
    return _same(right, answer) if before else _same(gold, other_right)


def _same_percent(gold: str, answer: str) -> Comparison | None:
    one, other = _PERCENT.fullmatch(gold), _PERCENT.fullmatch(answer)
    if not one and not other:
        return None
    if one and other:
        return _same(one[1], other[1])
    percent, plain = (one[1], answer) if one else (other[1] if other else "", gold)
    a, b = _number(percent), _number(_unit(plain)[0])
    return _verdict(a is not None and b is not None and (same_value(a, b) or same_value(a / 100, b)))


def _same_words(gold: str, answer: str) -> Comparison | None:
    one, other = words(gold), words(answer)
    if one is None and other is None:
        return None
    if one is None or other is None:
        single = one or other or ""
        return None if len(single) == 1 and squeezed(gold if one is None else answer).isalpha() else "different"
    return _verdict(one == other)


def _same_base(gold: str, answer: str) -> Comparison | None:
    one, other = _BASE.fullmatch(squeezed(gold)), _BASE.fullmatch(squeezed(answer))
    if not (one or other) or not all(m is None or m["digits"][0].isdigit() for m in (one, other)):
        return None
    if not (one and other):
        return "different"
    same = one["digits"].upper() == other["digits"].upper()
    return _verdict(same and _base(one) == _base(other))


def _base(number: re.Match[str]) -> Fraction | str:
    said = number["long"] or number["short"]
    return _number(said) or said


def _unit(text: str) -> tuple[str, str]:
    """A value and its unit, in the singular; the unit is empty where there is none."""
    match = _UNIT.fullmatch(text)
    if match is None:
        return text, ""
    name = re.sub(r"\bsq\.?\s", "square ", (match["text"] or match["plain"]).lower().strip(" ."))
    power = match["power"] or ("2" if "square" in name else "3" if "cubic" in name else "")
    names = [w for w in re.split(r"\s+", name.replace("square", "").replace("cubic", "")) if w]
    singular = [_WORDS_OF_UNITS.get(w, w if len(w) < 4 else w.removesuffix("s")) for w in names]
    singular = [_WORDS_OF_UNITS.get(w, w) for w in singular]
    return match["value"].strip(), " ".join(singular) + power


def _with_mixed(text: str) -> str:
    """Mixed numbers as sums."""
    return _MIXED.sub(lambda m: rf"({m[1]}+\frac{{{m[2]}}}{{{m[3]}}})" if int(m[2]) < int(m[3]) else m[0], text)
