r"""Answers that are one number, as in GSM8K: found in free text and compared by value.

The last statement that the text stands by counts (`mar.tasks.scoring.statements`): a line "#### N" (GSM8K's own form),
a \boxed{} number, or a phrase such as "the answer is". A phrase states the number in the first part of its clause, so
that "18, since 9 * 2 = 18" and "18. Check: 18 + 2 = 20" say 18; an equation there means its right side: "3 * 4 = 12"
says 12. Without a statement the last number of the text counts.

Units and the percent sign are dropped: the question states what is asked for, and GSM8K's gold for "what percentage" is
50, not 0.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from mar.tasks.scoring.boxed import braced
from mar.tasks.scoring.numerals import (
    decimal_places,
    first_number,
    last_number,
    plain,
    plain_signs,
    spelled_number,
    without_latex,
)
from mar.tasks.scoring.statements import Statement, last_places, lowered, run_on, stands_by, statements

MAX_TEXT = 100_000  # characters looked at, from the end: the answer stands there
MAX_CLAUSE = 400  # characters of a statement
MAX_TAIL = 20_000  # characters from the end in which a number that nothing points at may stand
MAX_RUN_ONS = 5  # places looked at where a text may go on with a question of its own
ROUNDED = 6  # significant digits from which on a decimal may be a rounded value
MACHINE = 15  # significant digits from which on its last ones may be a machine's rounding errors

_HASHES = re.compile(r"####[ \t]*(?=[*$€£¥\\+-]{0,4}\s?[\d.])([^\n]{0,400})")
_END = re.compile(r"\n\s*\S|[.!?](?:\s|$)|\.$")
_PARTS = re.compile(
    r",\s|;|\(|\b(?:because|since|as|when|if|after|which|due to)\b|\s[-–—]{1,2}\s(?![\d$(])|[—]", re.IGNORECASE
)
_NOT_BUT = re.compile(r"\bnot\b[^,.]{1,40}?\b(?:but|rather)\b", re.IGNORECASE)
_UNBRACED = re.compile(r"\s?-?\d[\d,.]*|.", re.DOTALL)
_OPERATION = re.compile(r"\d\s?(?:[+*×]|\s-\s|(?:times|plus|minus|divided by|multiplied by)\b)\s?[$\d]")
_NOT = re.compile(r"\s*not\b", re.IGNORECASE)
_IN_TOTAL = re.compile(
    r"\b(?:so|making|for)\s(?:that['’]s\s|that is\s|a total of\s)?([^,]{1,40}?)\s(?:in total|in all|altogether)"
)
_FILLER = re.compile(
    r"\s*(?:(?:that|there are|exactly|about|approximately|equal to|only|just|therefore|thus)\s+)*", re.IGNORECASE
)
_SUBJECT = re.compile(
    r"(?:^|[.!?,:\n]\s?|\bso\s|\bthat\s)([^.!?,:\n]{1,40})\s(?:is|was)\s(?:therefore\s)?(?:the|my|our)\s(?:\w+\s){0,2}$"
)


def extract_number(text: str) -> str | None:
    """The number that a text gives as its answer, in plain form ("1234.5", "-3/4"); None when there is none."""
    text = plain_signs(text[-MAX_TEXT:])
    low = lowered(text)
    for end, _ in zip(run_on(low), range(MAX_RUN_ONS), strict=False):
        if (found := _stated(text[:end], low[:end])) is not None:
            return plain(found)
    found = _stated(text, low)
    if found is None:
        found = last_number(without_latex(text[-MAX_TAIL:]))
    return None if found is None else plain(found)


def read_number(text: str) -> Fraction | None:
    """The value of a text that is a number with or without a unit; None when it holds none."""
    return first_number(without_latex(plain_signs(text[: 5 * MAX_CLAUSE])))


def same_number(a: str, b: str) -> bool:
    """Whether two extracted answers have the same value.

    Whole numbers and fractions are exact. A decimal of many digits may be a rounded value: it equals a fraction within
    one unit of its last place, and a longer decimal that rounds to it.
    """
    one, other = read_number(a), read_number(b)
    if one is None or other is None:
        return a.strip() == b.strip()
    return same_value(one, other)


def same_value(one: Fraction, other: Fraction) -> bool:
    """Whether two values are equal, or one is a decimal that the other is rounded to."""
    if one == other:
        return True
    places = sorted((p, v) for v in (one, other) if (p := decimal_places(v)) is not None)
    if not places or (len(places) == 2 and places[1][0] == 0):
        return False
    if _digits(places[-1][1], places[-1][0]) >= MACHINE and abs(one - other) <= abs(one) * Fraction(1, 10**12):
        return True
    shortest, rounded = places[0]
    if shortest == 0 or _digits(rounded, shortest) < ROUNDED:
        return False
    unit = Fraction(1, 10**shortest)
    return abs(one - other) <= (unit / 2 if len(places) == 2 else unit)


def _digits(value: Fraction, places: int) -> int:
    """Significant digits of a decimal."""
    return len(str(abs(value.numerator) * 10**places // value.denominator))


def _stated(text: str, low: str) -> Fraction | None:
    """The number that is stated last; those that begin their statement come before those that stand somewhere in it."""
    found = [(at, None) for at in last_places(low, ("####",))] + [(s.start, s) for s in statements(low)]
    found.sort(key=lambda place: -place[0])
    for loose in (False, True):
        for at, statement in found:
            value = _hashed(text, at) if statement is None else _said(statement, text, low, loose=loose)
            if value is not None:
                return value
    return None


def _hashed(text: str, at: int) -> Fraction | None:
    match = _HASHES.match(text, at)
    return first_number(without_latex(match[1])) if match else None


def _said(statement: Statement, text: str, low: str, *, loose: bool) -> Fraction | None:
    """What a statement says is the number."""
    if statement.content is None:
        before = _SUBJECT.search(text[max(0, statement.start - 80) : statement.start])
        value = first_number(without_latex(before[1])) if before else None
        return value if stands_by(low, statement.start, statement.start) else None
    if statement.boxed:
        clause = braced(text, statement.content) or _unbraced(text, statement.content)
    else:
        clause = _clause(text[statement.content : statement.content + MAX_CLAUSE])
    value = _in_clause(without_latex(clause), loose=loose)
    return value if value is not None and stands_by(low, statement.start, statement.content + len(clause)) else None


def _unbraced(text: str, start: int) -> str:
    """What a box without braces is meant to hold: a whole number, though TeX would take its first digit."""
    match = _UNBRACED.match(text, start)
    return match[0] if match else ""


def _clause(text: str) -> str:
    """The rest of the sentence, which may begin on a line below."""
    lead = len(text) - len(text.lstrip(" *:\n"))
    end = _END.search(text, lead)
    return text[: end.start()] if end else text


def _in_clause(clause: str, *, loose: bool) -> Fraction | None:
    if total := _IN_TOTAL.search(clause):
        return first_number(total[1])
    clause = _NOT_BUT.sub("", clause)
    for part in _parts(clause):
        value = None if _NOT.match(part) else _in_part(part)
        if value is not None or not loose:
            return value
    return None


def _parts(clause: str) -> Iterator[str]:
    return (part for part in _PARTS.split(clause) if part.strip(" *:$"))


def _in_part(part: str) -> Fraction | None:
    """The last side of an equation that is worked out, else the first number; of what is not worked out none."""
    sides = part.replace("≈", "=").split("=")
    values = ((side, first_number(side)) for side in reversed(sides) if not _OPERATION.search(side))
    said, value = next(((side, value) for side, value in values if value is not None), (sides[0], None))
    if value is None and len(sides) > 1:
        value = first_number(sides[-1]) or first_number(sides[0])
    filler = _FILLER.match(said)
    return value if value is not None else spelled_number(said[filler.end() if filler else 0 :].lstrip(" *"))
