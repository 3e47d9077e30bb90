"""Answers that are one option of a list, as in MMLU and MMLU-Pro: a letter, found in free text.

The strongest kind of sign that is there decides, and of its kind the last one that the text stands by
(`mar.tasks.scoring.statements` says what a text disowns):

- `stated`: what is called the answer: "the answer is (C)", "Answer: C", "C is the answer", a boxed letter, or in its
  place the text of an option, if it is the text of one option only.
- `chosen`: what is picked or called right: "the correct option is C", "I would pick C", "the answer may be C".
- `formed`: the whole text starts with a letter as a list does ("C", "(C)", "C. Mitochondria") or ends in a line that is
  one, or it is an option's text.
- `concluded`: the end concludes with a letter, or names one option only ("Therefore, C.", "option C", "(C)").
- `terse`: in a text of a few words, a capital letter that stands alone and cannot be a word.

There is no sixth, and in particular no "last capital letter anywhere": in recorded answers that were cut off it finds
units, variables and the pronoun I. A text with none of the signs holds no readable answer, and neither does one whose
last statement names two letters at once. A letter beyond the options that is stated as the answer is one, and wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from mar.tasks.scoring.letters import ALONE, CLOSE, LETTERS, NOT_BEFORE, TWO, Named, letter_at, named
from mar.tasks.scoring.restated import restated_at, restated_before, restated_exactly, restated_whole
from mar.tasks.scoring.statements import Statement, last_places, lowered, run_on, stands_by, statements

Sign = Literal["stated", "chosen", "formed", "concluded", "terse", "none"]
MAX_TEXT = 100_000  # characters looked at
ENDING = 200  # characters of a text's end
BRIEF = 300  # characters of a text that may be a letter and its reason
FEW_WORDS = 60  # characters of a terse reply
MAX_RUN_ONS = 5  # places looked at where a text may go on with a question of its own

_IS = r"(?:is|was|would be|must be|should be|has to be|seems to be)"
_SUBJECT = re.compile(
    rf"(?:^|[.!?:;,\n*(]\s{{0,3}}|\b(?:so|that|option|choice|alternative|hence|thus|therefore|answer|letter|only|and"
    rf"|believe|think)\s{{1,2}})[*_\"'(\[]{{0,4}}([A-J]){ALONE}{CLOSE},?\s{_IS}\s"
    r"(?:(?:therefore|thus|hence|clearly|also|the|my|our|only|most|best|correct|right|final|likely)\s){0,4}$",
    re.IGNORECASE,
)
_BEFORE_IS = re.compile(
    rf",?\s{_IS}\s(?:(?:therefore|thus|clearly|the|my|our|only|most|best|correct|right|final|likely)\s){{1,4}}$",
    re.IGNORECASE,
)
_CHOOSING = (
    *("option", "choice", "alternative", "correct", "right", "best", "might be", "选", "選"),
    *("choose", "chose", "pick", "select", "go with", "vote for", "opt for", "settle on", "stick with"),
)
_CHOSEN = re.compile(
    r"(?:option|choice|alternative)s?\b(?:(?:[ ,]{1,3}\w{1,20}){0,4}?\s"
    r"(?:(?:would|must|should|has to|seems to|appears to|might|may|could)\s)?(?P<is>is|be|are)\b|\W{0,4}[:=])"
    r"|(?P<pick>choose|chose|pick(?:ed)?|select(?:ed)?|go with|vote for|opt for|settle on|stick with)\b"
    r"|(?P<han>(?:选择|選擇|选项|選項|选|選))"
    r"|(?P<right>correct|right|best)\b"
    r"|might be\b"
)
_I = re.compile(r"\b(?:i|we)(?:['’](?:d|ll)| would| will| shall| should| can| must| therefore| thus)? $")
_START = re.compile(
    rf"[\s*_\"'`]{{0,12}}[(\[]?([A-Ja-j])(?:[)\].:](?!\w)|{CLOSE}[*_ \t]{{0,9}}(?:\n|$)|(?=\s(?:because|since)\b))"
)
_BRACKET = re.compile(r"\s*(?:\(|\w\))")
_NONE = re.compile(r"\W{0,4}none of (?:the|these)\b")
_JOINED = re.compile(r"[\s*_\"'(\[]{0,6}([A-J])[-.:)]")
_LISTED = re.compile(r"^[ \t*_(\[-]{0,6}([A-J]|II)[)\].:]", re.MULTILINE)
_LINE = re.compile(r"(?P<open>(?:#{1,6} ?)?[*_(\[`\"'$]{0,9})([A-J])(?P<close>[*_)\].`\"'$: ]{0,9})")
_CONCLUDED = re.compile(
    r"(?i:\b(?:therefore|thus|hence|so|consequently|finally|it is|it['’]s|must be|think|say|guess|[:—])|[:—])"
    rf"[\s,:]{{0,3}}(?i:(?:the|option|choice|answer|letter|it is|it['’]s)\s){{0,3}}"
    rf"[*_\"'(\[$]{{0,4}}([A-J]){CLOSE}[.!]?\s*$"
)
_NAMED = re.compile(
    rf"\b(?i:option|choice|alternative)\s+\(?([A-J]){ALONE}"
    r"|\b(?:is|are|was|be|to|for|of|with|in|by|as|or|and|that|except|either|both)[ *]{1,3}\(([A-J])\)"
    rf"|{NOT_BEFORE}\(([A-J])\)(?=\W{{0,4}}$|\.\s)"
)
_CAPITAL = re.compile(rf"{NOT_BEFORE}([A-J]){ALONE}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read, and by which sign."""

    letter: str | None
    sign: Sign


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    text: str
    low: str
    options: tuple[str, ...]
    allowed: str  # the letters of the options


def extract_choice(text: str, options: Sequence[str] = (), *, count: int | None = None) -> str | None:
    """The letter that a text chooses; None when none can be read.

    Args:
        text: What a model wrote.
        options: The options' texts in order, to recognise one that is restated; may be empty.
        count: How many options there are; default: as many as `options`, or ten.
    """
    return read_choice(text, options, count=count).letter


def read_choice(text: str, options: Sequence[str] = (), *, count: int | None = None) -> Reading:
    """As `extract_choice`, with the sign by which it was read."""
    text = text[-MAX_TEXT:]
    allowed = LETTERS[: count or len(options) or len(LETTERS)]
    whole = _Text(text=text, low=lowered(text), options=tuple(options), allowed=allowed)
    if letter := restated_exactly(text, whole.options):
        return Reading(letter=letter, sign="formed")
    said = _own_part(whole)
    for sign, read in _SIGNS:
        if letter := read(said):
            return Reading(letter=None if letter == TWO else letter, sign=sign)
    return Reading(letter=None, sign="none")


def _own_part(whole: _Text) -> _Text:
    """The text up to where it goes on with another question, once the first is answered."""
    for end, _ in zip(run_on(whole.low), range(MAX_RUN_ONS), strict=False):
        part = _Text(text=whole.text[:end], low=whole.low[:end], options=whole.options, allowed=whole.allowed)
        if _stated(part) or _formed(part):
            return part
    return whole


# Signs ----------------------------------------------------------------------------------------------------------


def _stated(said: _Text) -> str | None:
    return next(_statements(said, hedged=False), None)


def _statements(said: _Text, *, hedged: bool) -> Iterator[str]:
    for statement in statements(said.low):
        found = _what(statement, said) if statement.hedged is hedged else None
        if found and _stands(statement, found, said):
            yield found.letter


def _not_meant(said: _Text) -> set[int]:
    """Where letters stand that the text states but does not stand by."""
    found = ((s, _what(s, said)) for s in statements(said.low))
    return {f.start for s, f in found if f and not _stands(s, f, said)}


def _stands(statement: Statement, found: Named, said: _Text) -> bool:
    return stands_by(said.low, min(statement.start, found.start), found.end)


def _what(statement: Statement, said: _Text) -> Named | None:
    """What a statement says is the answer: after it, or before it."""
    at = statement.content
    if at is None:
        return _subject(said, statement.start)
    found = letter_at(said.text, at)
    if found and (_heads_list(found, at, said) or (statement.boxed and not _fills(found, said))):
        found = None
    restated = None if found and _bracketed(found, said) else restated_at(said.text, at, said.options)
    if restated and (found is None or len(restated[1]) > 1 or found.letter not in said.allowed):
        return Named(letter=restated[0], start=at, end=at + len(restated[1]))
    if found is None and (joined := _JOINED.match(said.text, at)) and _restates(joined[1], joined.end(), said):
        found = Named(letter=joined[1], start=joined.start(1), end=joined.end())
    if found is None and _NONE.match(said.low, at):
        return Named(letter=TWO, start=at, end=at)
    return found or _subject(said, statement.start)


def _bracketed(found: Named, said: _Text) -> bool:
    """Whether a letter stands in round brackets as no option's text begins: it is the letter, and nothing restated."""
    return said.text.startswith(")", found.end) and not any(_BRACKET.match(o) for o in said.options)


def _heads_list(found: Named, at: int, said: _Text) -> bool:
    """Whether a letter on a line below is the first of a list of options."""
    if "\n" not in said.text[at : found.start]:
        return False
    listed = _LISTED.finditer(said.text, said.text.rfind("\n", 0, found.start) + 1, found.end + 2_000)
    return len({m[1] for m in listed}) > 1


def _fills(found: Named, said: _Text) -> bool:
    """Whether a letter is all of a box, but for the text of its option."""
    return (
        found.letter == TWO or re.match(r"[)\]*\s]{0,4}(?:[}.:$]|$)", said.text[found.end : found.end + 8]) is not None
    )


def _subject(said: _Text, end: int) -> Named | None:
    """What is said to be the answer: "so C is the correct"."""
    before = said.text[max(0, end - ENDING) : end]
    if not any(verb in before[-60:] for verb in (" is ", " was ", " be ")):
        return None
    if match := _SUBJECT.search(before):
        start = end - len(before) + match.start(1)
        return Named(letter=match[1].upper(), start=start, end=start + 1) if match[1].isupper() else None
    if said.options and (match := _BEFORE_IS.search(before)):
        at = end - len(before) + match.start()
        letter = restated_before(said.text, at, said.options)
        return Named(letter=letter, start=at, end=at) if letter else None
    return None


def _chosen(said: _Text) -> str | None:
    for at in last_places(said.low, _CHOOSING):
        match = _CHOSEN.match(said.low, at)
        if match is None or (match["pick"] and not _I.search(said.low[max(0, at - 20) : at])):
            continue
        found = _subject(said, match.start()) if match["right"] else letter_at(said.text, match.end())
        on_line = found and "\n" not in said.text[match.end() : found.start]
        if found and on_line and stands_by(said.low, min(match.start(), found.start), found.end):
            return found.letter
    return next(_statements(said, hedged=True), None)


def _formed(said: _Text) -> str | None:
    return _first_letter(said) or _last_line(said) or restated_whole(said.text, said.options)


def _first_letter(said: _Text) -> str | None:
    """The letter that a text starts with as a list does, unless a list of the options is what it is."""
    start = _START.match(said.text)
    if not start or start[1].upper() not in said.allowed:
        return None
    brief = len(said.text) <= (BRIEF if start[1].isupper() else FEW_WORDS)
    others = {m[1] for m in _LISTED.finditer(said.text, 0, 20_000)} - {start[1].upper()}
    alone = start[0].endswith("\n") or start.end() == len(said.text)
    restates = _restates(start[1].upper(), start.end(), said)
    return start[1].upper() if not others and (brief or alone or restates) else None


def _restates(letter: str, at: int, said: _Text) -> bool:
    """Whether the text of a letter's own option follows it."""
    restated = restated_at(said.text, at, said.options)
    return restated is not None and restated[0] == letter


def _last_line(said: _Text) -> str | None:
    """The letter that the last line is, unless it may begin a word, or go on with a list, that was cut off."""
    above, _, line = said.text.rstrip().rpartition("\n")
    match = _LINE.fullmatch(line.strip())
    if match is None or match[2] not in said.allowed or not above.strip():
        return None
    listed = _LISTED.findall(above[-2_000:])
    if listed and listed[-1] == chr(ord(match[2]) - 1):
        return None
    marked = match["open"] or match["close"]
    ends = above.rstrip(" ")[-1:] in ".:!?"
    begun = not ends or re.search(rf"(?:^|\n|[.!?]\s){match[2]}[a-z]", above[-2_000:])
    return match[2] if marked or above.endswith("\n") or not begun else None


def _concluded(said: _Text) -> str | None:
    ending = said.text[-ENDING:]
    match = _CONCLUDED.search(ending)
    if match and match[1] in said.allowed and (found := named(match, ending)):
        return found.letter
    offset = len(said.text) - len(ending)
    not_meant, letters = _not_meant(said), set[str]()
    for m in _NAMED.finditer(ending):
        start, end, letter = offset + m.start(), offset + m.end(), m[m.lastindex or 0]
        label = said.text[said.text.rfind("\n", 0, start) + 1 : start].strip(" \t*-") == ""
        means = label and not _restates(letter, end, said)
        means = means or m.start(m.lastindex or 0) + offset in not_meant
        letters.add("" if means or not stands_by(said.low, start, end) else letter)
    return letters.pop() if len(letters) == 1 and letters <= set(said.allowed) else None


def _terse(said: _Text) -> str | None:
    if len(said.text) > FEW_WORDS or "\n" in said.text.strip():
        return None
    not_meant = _not_meant(said)
    found = [named(m, said.text) for m in _CAPITAL.finditer(said.text)]
    letters = {TWO if n.start in not_meant or not stands_by(said.low, n.start, n.end) else n.letter for n in found if n}
    return letters.pop() if len(letters) == 1 and letters <= set(said.allowed) else None


_SIGNS: tuple[tuple[Sign, Callable[[_Text], str | None]], ...] = (
    ("stated", _stated),
    ("chosen", _chosen),
    ("formed", _formed),
    ("concluded", _concluded),
    ("terse", _terse),
)
