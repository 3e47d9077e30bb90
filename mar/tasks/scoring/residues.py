r"""Answers that are residues: "k \equiv 3 \pmod 7" says 3, whatever letter stands before it.

Whoever asks for a residue knows the modulus, so an answer may leave it out, as it may a unit, but not state another.
Of two that both state it, values that differ by a multiple are the same residue.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_RESIDUE = re.compile(r"(?:(?P<of>.*?)\s?\\equiv(?![a-z])\s?)?(?P<value>.+?)\s?\\pmod\{(?P<modulus>[^{}]+)\}")
_WHOLE = re.compile(r"[-+]?\d{1,300}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Residue:
    """A residue in its parts, each a tidy text."""

    of: str | None  # what it is said of
    value: str
    modulus: str


def residue(text: str) -> Residue | None:
    """The residue that a tidy text is."""
    match = _RESIDUE.fullmatch(text)
    return match and Residue(of=match["of"], value=match["value"], modulus=match["modulus"].strip())


def congruent(one: Residue, other: Residue) -> bool:
    """Whether two values are whole numbers that differ by a multiple of the first's modulus."""
    texts = [t.replace(" ", "") for t in (one.value, other.value, one.modulus)]
    if not all(map(_WHOLE.fullmatch, texts)):
        return False
    a, b, modulus = map(int, texts)
    return modulus != 0 and (a - b) % modulus == 0
