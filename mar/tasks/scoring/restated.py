"""Options that are restated: the text of one option stands where its letter might.

Options are compared as they are written first, then without case, dollar signs and other marks, so that R and r stay
apart where an option is each, and last without the article that they begin with. The longest option that fits counts:
"2 apples" is not "2". What follows must not go on with the option's text: "2 1/2 hours" is not "2", and "bread and
butter" is not "bread".
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from mar.tasks.scoring.letters import LETTERS

MORE = 80  # characters after an option that are looked at

_MARKS = " \t\n\"'`*“”‘’:"
_SAME = str.maketrans({"−": "-", "–": "-", "‐": "-", "“": '"', "”": '"', "‘": "'", "’": "'", "\u00a0": " "})
_LOOSE = re.compile(r"[$`{}]|\\[()\[\]]|\\(?:text|mathrm|left|right|displaystyle)\b|\\[,;! ]")
_GOES_ON = re.compile(
    r"\s?[-+*/^=×÷<>]\s?[\w\\(]|[.,]\d|\s?\d|%|\s(?:and|or|plus|minus|times|over|hundred|thousand|million|billion)\b"
)
_ARTICLE = re.compile(r"(?:the|an?) (?=\w)")
_LEAD = re.compile(r"[\s\"'*]*(?:it['’]s|it is|that['’]s|that is|this is|they are)\s", re.IGNORECASE)
_ANOTHER = re.compile(r"\s?(?:[,;/&]|and\b|or\b)\s?(?:(?:and|or)\s)?")
_LISTED = re.compile(r"[\"'`*)\]]{0,6}\s?(?:$|[.!?,;/&]|and\b|or\b)")
_ENDS = re.compile(r"[\"'`*)\]]{0,6}(?:$|[.!?;]|,|\s[-—(]|\s(?:because|since|as|is|would|must)\b)")


@dataclass(frozen=True, slots=True)
class _Way:
    """The options' texts, normalised in one way."""

    loose: bool
    bare: bool  # without an article
    texts: tuple[str, ...]

    def of(self, text: str) -> str:
        """A text, normalised."""
        return _normal(text, loose=self.loose, bare=self.bare)


@functools.lru_cache(maxsize=4096)
def _ways(options: tuple[str, ...]) -> tuple[_Way, ...]:
    forms = ((False, False), (True, False), (True, True))
    return tuple(_Way(lo, ba, tuple(_end(_normal(o, loose=lo, bare=ba)) for o in options)) for lo, ba in forms)


def restated_exactly(text: str, options: tuple[str, ...]) -> str | None:
    """The letter of the one option, longer than a letter, that a text is word for word."""
    said = text.strip()
    found = [letter for letter, option in zip(LETTERS, options, strict=False) if option.strip() == said]
    return found[0] if len(found) == 1 and len(said) > 1 else None


def restated_at(text: str, at: int, options: tuple[str, ...]) -> tuple[str, str] | None:
    """The letter and the text of the one option that stands at a place of a text."""
    line = text[at : at + 1_000].partition("\n")[0].strip().removesuffix(".")
    if letter := restated_exactly(line, options):
        return letter, line
    for way in _ways(options):
        longest = max(map(len, way.texts), default=0)
        if not longest:
            continue
        said = way.of(text[at : at + 2 * longest + MORE])
        fits = [o for o in way.texts if o and said.startswith(o) and not _goes_on(o, said[len(o) :])]
        if fits:
            return _only(max(fits, key=len), way)
    return None


def restated_whole(text: str, options: tuple[str, ...]) -> str | None:
    """The letter of the one option whose text a short text is, or begins with as a sentence does.

    A text that goes on to name another option ("bread, butter") names none.
    """
    lead = _LEAD.match(text)
    text = text[lead.end() :] if lead else text
    for way in _ways(options):
        if len(text) > 2 * max(map(len, way.texts), default=0) + 4 * MORE:
            return None
        said = way.of(text)
        fits = [o for o in way.texts if o and said.startswith(o) and _ENDS.match(said, len(o))]
        if fits:
            longest = max(fits, key=len)
            found = _only(longest, way)
            return found[0] if found and not _names_another(said[len(longest) :], options) else None
    return None


def _names_another(rest: str, options: tuple[str, ...]) -> bool:
    """Whether what follows an option names one more."""
    joined, way = _ANOTHER.match(rest), _ways(options)[-1]
    more = way.of(rest[joined.end() :]) if joined else ""
    return any(o and more.startswith(o) and _LISTED.match(more, len(o)) for o in way.texts)


def restated_before(text: str, end: int, options: tuple[str, ...]) -> str | None:
    """The letter of the one option whose text ends at a place of a text."""
    for way in _ways(options):
        longest = max(map(len, way.texts), default=0)
        said = _end(way.of(text[max(0, end - 2 * longest - MORE) : end]))
        fits = [o for o in way.texts if o and said.endswith(o) and not said[: -len(o)][-1:].isalnum()]
        if fits:
            found = _only(max(fits, key=len), way)
            return found[0] if found else None
    return None


def _only(option: str, way: _Way) -> tuple[str, str] | None:
    once = way.texts.count(option) == 1
    return (LETTERS[way.texts.index(option)], option) if once else None


def _goes_on(option: str, rest: str) -> bool:
    """Whether what follows an option continues its text."""
    if rest[:1].isalnum() and option[-1:].isalnum():
        return True
    return _GOES_ON.match(rest) is not None


def _normal(text: str, *, loose: bool, bare: bool) -> str:
    text = text.translate(_SAME).replace("**", "")
    if loose:
        text = _LOOSE.sub("", text).casefold()
    text = " ".join(text.split()).lstrip(_MARKS)
    return _ARTICLE.sub("", text, count=1) if bare and _ARTICLE.match(text) else text


def _end(text: str) -> str:
    return text.rstrip(_MARKS + ".")
