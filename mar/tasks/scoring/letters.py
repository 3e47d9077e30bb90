"""The letter of an option at one place of a text.

A letter stands alone: what belongs to a formula (P(A), E = mc^2, B^2) or to a word is none. An A or I before a
lower-case word is the word, unless the word goes on with the sentence ("A because"). Lower-case letters count where a
clause ends with them. Two letters that are named together ("(A) and (E)", "B or C") are read as `TWO`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LETTERS = "ABCDEFGHIJ"
TWO = "two"

_WORD = r"A-Za-z0-9\u00c0-\u024f\u0370-\u052f"  # of scripts that put spaces between words
_MARK = (
    r"[\s*_`\"'“”‘’«»「」【《$:：(（\[{#…]|\.{2,4}\s|<\w{1,8}>|\\[(\[]"
    r"|\\(?:text|mathrm|mathbf|textbf|textit|boxed|fbox|bf|rm)\b\s?"
)
_FILLER = (
    r"(?i:therefore|thus|hence|then|clearly|obviously|probably|most likely|likely|definitely|indeed|actually|simply"
    r"|still|given by|as follows|the|correct|right|best|option|choice|letter|alternative|answer"
    r"|la|el|le|die|(?:a )?letra|lettre|lettera|buchstabe|opción|opção|opzione|вариант)\b|选项|選項"
)
ALONE = (
    rf"(?!_{{0,3}}[{_WORD}]|_[{{\\]|['’.,-][{_WORD}]|/(?![A-J](?![{_WORD}]))[{_WORD}]|[+^(&%°#]|\\(?![)\]}}\s]))"
    r"(?!\s{0,2}(?:[=+^×÷≤≥≠≈⊃∨∧→·•]|[<>]\s"
    r"|\\(?:times|cdot|l[el]|g[egt]|sub|sup|cap|cup|to\b|in\b|neq?\b|right|approx|pm|frac)))"
)
CLOSE = r"(?:[)\]}*_\"'”’»$`）】》」]|</\w{1,8}>|\\[)\]]){0,8}"
NOT_BEFORE = rf"(?<![{_WORD}\\^_.'’])(?<![{_WORD}\\][(\[])"  # what a letter that stands alone cannot follow
_CONNECTIVE = (
    r"because|since|as|for|due|given|but|so|which|who|where|when|while|although|though|based|according|rather|instead"
    r"|not|if|and|or|with|in|is|was|from|on|by|then|here|again|that|per|therefore|over"
)
_LETTER = re.compile(rf"(?:{_MARK}|{_FILLER}){{0,14}}([A-Ja-j]){ALONE}")
_GOES_ON = re.compile(rf"(?P<closed>{CLOSE})\s{{1,3}}(?!(?:{_CONNECTIVE})\b)[a-z]")
_ENDS = re.compile(
    rf"{CLOSE}\s{{0,3}}(?:$|[.,;:!?)\]}}\n—–]|\s-\s|(?:because|since|as|due|given|which|is the|is correct)\b)"
)
_ANOTHER = re.compile(
    rf"{CLOSE}\s{{0,2}}(?:(?:[,、;/&]|\b(?:to|through)\b|\bund\b|\by\b|\bet\b|和|或|と)\s?(?:(?:and|or)\b\s?)?|(?:and|or)\b\s?)"
    rf"(?:(?:both|also|option|choice)\s)?[*_\"'(\[$]{{0,4}}([A-J]){ALONE}{CLOSE}"
    r"(?!\s?(?:is|are|was|were|would|will|can|could|may|has|have|had|does|do|did|seems|being|think|am|as|since|because)\b)"
    r"(?!\s?[:.]\s?\w)(?!\s[a-z])"
)
_PARTS = re.compile(r"\)[^\n(]{1,60}\([b-j]\)")  # "(a) 0.2, (b) 0.3": the parts of an answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A letter that a text names."""

    letter: str  # or TWO
    start: int
    end: int


def letter_at(text: str, at: int) -> Named | None:
    """The letter that a text names at a place, after marks and words such as "option"."""
    match = _LETTER.match(text, at)
    return None if match is None else named(match, text)


def named(match: re.Match[str], text: str) -> Named | None:
    """The letter that the last group of a match holds; None if it is a word, or no letter of an option."""
    letter, start, end = match[match.lastindex or 0], match.start(match.lastindex or 0), match.end(match.lastindex or 0)
    if letter.islower() and (not _ENDS.match(text, end, end + 40) or _PARTS.match(text, end, end + 80)):
        return None
    if letter in "AI" and (word := _GOES_ON.match(text, end, end + 40)) and not word["closed"]:
        return None
    other = _ANOTHER.match(text, end, end + 40)
    if other and other[1] != letter.upper():
        return Named(letter=TWO, start=start, end=other.end())
    return Named(letter=letter.upper(), start=start, end=end)
