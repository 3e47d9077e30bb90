"""Reasoning that a server leaves in the text, told from the answer. One place, for whole replies and for streams.

Such a text has one of three forms:

- it begins with a tag, `<think>…</think>` or another pair of `TAGS`, once or several times;
- it has a closing tag without an opening one, because the chat template wrote that into the prompt;
- it is written in gpt-oss's harmony channels, of which `final` is the answer, with their markup or (where a server
  drops special tokens) without it.

After the answer a text may go on to reason again: in a pair of tags that it ends with, or in one that is never closed.
Between the lines of the answer pairs are taken for reasoning only in a text that begins with reasoning, too, since an
answer may be about tags. A tag that an answer merely mentions, in code, in quotes or within a sentence, opens and
closes nothing.

The second form cannot be known while a text streams in. A `Splitter` may be told that a model's replies begin inside
reasoning; then it holds everything back until that is closed. Otherwise pieces are handed on as they come, and only
`finish`, which sees the whole text, tells them apart. Reasoning after the answer has been handed on by then, too.
"""

from __future__ import annotations

import bisect
import math
import re
from dataclasses import dataclass

TAGS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>",
    "[think]": "[/think]",
    "◁think▷": "◁/think▷",
}
LONGEST_TAG = max(map(len, TAGS))
NEAR = 40  # characters of a line around a tag that are looked at
LOOK_CHARS = 2 * LONGEST_TAG
MOST_LOOKS = 64  # at a text that is still open, before it must have grown by as small a part of it
_OPENER = re.compile("|".join(map(re.escape, TAGS)), re.IGNORECASE)
_CLOSER = re.compile("|".join(map(re.escape, TAGS.values())), re.IGNORECASE)
_TAG = re.compile(f"{_OPENER.pattern}|{_CLOSER.pattern}", re.IGNORECASE)
_SPACE = re.compile(r"\s*")
_SENTENCE = re.compile(r"\s*(?:[A-Z]|\n|\Z)")
_ENDS = tuple({tag[-1] for tag in TAGS.values()})
_FENCE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)
_QUOTES = "`\"'“”‘’«»"

HARMONY = ("<|channel|>", "<|start|>", "<|message|>")
_MARKS = (*TAGS, *HARMONY)
LONGEST_MARK = max(map(len, _MARKS))
_HARMONY_PART = re.compile(
    r"(?:<\|channel\|>\s*(\w+)[^<]*(?:<\|constrain\|>[^<]*)?)?<\|message\|>"
    r"(.*?)(?=<\|(?:end|return|call|start|channel)\|>|\Z)",
    re.DOTALL,
)
# Without special tokens the names of the channels run into the texts.
_BARE = "analysis"
_BARE_HARMONY = re.compile(r"analysis(?=[A-Z0-9\"'(<*])(.*?)assistantfinal(.*)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A text taken apart."""

    reasoning: str
    answer: str
    unopened: bool = False  # whether reasoning was closed that nothing had opened


def split(text: str) -> Split:
    """Take a whole text apart. Reasoning that is never closed leaves no answer."""
    head = text.lstrip()
    if head.startswith(HARMONY):
        return _split_harmony(head)
    if bare := _BARE_HARMONY.match(head):
        return Split(reasoning=bare[1].strip(), answer=bare[2].strip())
    if _opening(head):
        return _split_later(_split_opened(head), within=True)
    closers = list(_CLOSER.finditer(text))
    if closers:
        marks = _Marks.of(text)
        closers = [m for m in closers if not marks.mentioned(m)]
    if not closers:
        return _split_later(Split(reasoning="", answer=text), within=False)
    last = closers[-1]
    found = Split(reasoning=text[: last.start()].strip(), answer=text[last.end() :].lstrip(), unopened=True)
    return _split_later(found, within=True)


class Splitter:
    """Hands on the answer of a text that arrives in pieces.

    Args:
        unopened: The model's replies are known to begin inside reasoning: nothing is handed on before it is closed.
    """

    def __init__(self, *, unopened: bool = False) -> None:
        self._unopened = unopened
        self._parts: list[str] = []  # of what came before the answer began
        self._size = 0  # characters of them
        self._look_until = LOOK_CHARS
        self._looks = 0
        self._looked_at = 0  # characters at the latest look
        self._answering = False
        self._rest: list[str] = []  # what came after the answer had begun

    def feed(self, piece: str) -> str:
        """Take the next piece; gives the part that may be handed on."""
        if self._answering:
            self._rest.append(piece)
            return piece
        # Looking costs a pass over the text, so it is done where something may have changed: at the beginning, and
        # for a while behind anything that may end a tag.
        if any(end in piece for end in _ENDS) or piece.isspace():
            self._look_until = self._size + len(piece) + LOOK_CHARS
        look = self._size <= self._look_until and self._may_look()
        self._parts.append(piece)
        self._size += len(piece)
        if not look:
            return ""
        text = "".join(self._parts)
        self._parts, self._looks, self._looked_at = [text], self._looks + 1, self._size
        begin = _answer_begin(text, unopened=self._unopened)
        if begin is None:
            return ""
        self._answering = True
        return text[begin:]

    def _may_look(self) -> bool:
        """After many looks, only where there is a good part more to see: a stream of nothing but ends of tags would
        have the whole of it looked at for every piece.
        """
        return self._looks < MOST_LOOKS or self._size > self._looked_at + self._looked_at // MOST_LOOKS

    def finish(self) -> tuple[Split, str]:
        """The text is over: the whole of it taken apart, and the answer if nothing of it was handed on yet."""
        whole = split("".join((*self._parts, *self._rest)))
        return whole, "" if self._answering else whole.answer


def _answer_begin(text: str, *, unopened: bool) -> int | None:
    """Where the answer begins in the beginning of a text; None while that is open."""
    at = len(text) - len(text.lstrip())
    if not _may_reason(text[at:]) and not unopened:
        return 0
    if _opening(text[at:]) or unopened:
        closed = _after_reasoning(text, at)
        while closed is not None and _opening(text[closed:]):
            closed = _after_reasoning(text, closed)
        return None if closed is None or _may_reason(text[closed:]) else closed
    return None


def _opening(text: str) -> str | None:
    """The opening tag that a text begins with."""
    begin = text[:LONGEST_TAG].lower()
    return next((tag for tag in TAGS if begin.startswith(tag)), None)


def _may_reason(text: str) -> bool:
    """Whether a text begins with reasoning, or may do so once there is more of it."""
    begin = text[:LONGEST_MARK].lower()
    if begin.startswith(_MARKS) or any(mark.startswith(begin) for mark in _MARKS):
        return True
    return _BARE.startswith(text) or bool(re.match(r"analysis[A-Z0-9\"'(<*]", text))


def _after_reasoning(text: str, at: int) -> int | None:
    """Where a text goes on after the reasoning that is under way at `at`; None while that is open."""
    tag = _opening(text[at:])
    marks = None if tag else _Marks.of(text)
    for closer in _CLOSER.finditer(text, at):
        rest = text[closer.end() :].lstrip()
        closes = not marks.mentioned(closer) if marks else _is_end(text, closer, tag or "")
        if rest and closes:
            return len(text) - len(rest)
    return None


def _split_opened(text: str) -> Split:
    reasoning: list[str] = []
    closers, at, i = list(_CLOSER.finditer(text)), 0, 0
    while tag := _opening(text[at : at + LONGEST_TAG]):
        inside = at + len(tag)
        i = bisect.bisect_left(closers, inside, lo=i, key=lambda m: m.start())
        left = range(i, len(closers))
        end = next((k for k in left if _is_end(text, closers[k], tag)), None)
        if end is None:  # a closing tag in quotes, or another one
            end = max(
                (k for k in left if closers[k][0].lower() == TAGS[tag]), default=len(closers) - 1 if left else None
            )
        reasoning.append(text[inside : None if end is None else closers[end].start()].strip())
        at = len(text) if end is None else _text_from(text, closers[end].end())
    return Split(reasoning="\n".join(filter(None, reasoning)), answer=text[at:])


def _text_from(text: str, at: int) -> int:
    """Where a text goes on after white space."""
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _split_later(found: Split, *, within: bool) -> Split:
    """The same without what the answer reasons at its end and, if `within`, on lines of their own."""
    answer, after = found.answer, len(found.answer.rstrip())
    kept, reasoning = list[str](), list[str]()
    end = len(answer)  # of what is still to be kept
    for block in reversed(_later_blocks(answer)):
        last = not answer[block.end : after].strip()
        if last or (within and _own_line(answer, block.start)):
            kept.append(answer[block.end : end].lstrip())
            reasoning.append(answer[block.inside : block.closed].strip())
            end = block.start
            after = len(answer[:end].rstrip()) if last else after
    if not reasoning:
        return found
    kept.append(answer[:end].rstrip())
    return Split(
        reasoning="\n".join(filter(None, (found.reasoning, *reversed(reasoning)))),
        answer="\n".join(filter(None, map(str.rstrip, reversed(kept)))),
        unopened=found.unopened,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Later:
    """Reasoning in an answer: from its tag, from within it, to its closing tag, and behind that."""

    start: int
    inside: int
    closed: int
    end: int


def _later_blocks(answer: str) -> list[_Later]:
    """Reasoning behind an answer's beginning; unclosed only as the last, where its tag begins a line or a sentence."""
    fences, fenced = [m.start() for m in _FENCE.finditer(answer)], 0
    first = len(answer) - len(answer.lstrip())
    opener: re.Match[str] | None = None
    found: list[_Later] = []
    for tag in _TAG.finditer(answer):
        while fenced < len(fences) and fences[fenced] < tag.start():
            fenced += 1
        if fenced % 2 or tag.start() == first or _quoted(answer, tag):
            continue
        if tag[0].lower() in TAGS:
            opener = opener or tag
        elif opener and tag[0].lower() == TAGS[opener[0].lower()]:
            found.append(_Later(start=opener.start(), inside=opener.end(), closed=tag.start(), end=tag.end()))
            opener = None
    if opener and (_own_line(answer, opener.start()) or _SENTENCE.match(answer, opener.end())):
        found.append(_Later(start=opener.start(), inside=opener.end(), closed=len(answer), end=len(answer)))
    return found


def _own_line(text: str, at: int) -> bool:
    """Whether what stands at a place begins its line."""
    before = text[max(0, at - NEAR) : at]
    return not before.rpartition("\n")[2].strip() and (at <= NEAR or "\n" in before)


def _split_harmony(text: str) -> Split:
    parts = [(m[1] or "final", m[2].strip()) for m in _HARMONY_PART.finditer(text)]
    return Split(
        reasoning="\n".join(said for channel, said in parts if channel != "final" and said),
        answer="\n".join(said for channel, said in parts if channel == "final" and said),
    )


def _is_end(text: str, closer: re.Match[str], tag: str) -> bool:
    """Whether a closing tag ends the reasoning that `tag` began."""
    return closer[0].lower() == TAGS[tag] and not _quoted(text, closer)


def _quoted(text: str, tag: re.Match[str]) -> bool:
    before, after = text[max(0, tag.start() - 1) : tag.start()], text[tag.end() : tag.end() + 1]
    return before != "" and after != "" and before in _QUOTES and after in _QUOTES


@dataclass(frozen=True, slots=True)
class _Marks:
    """What stands in a text around its closing tags, found once: a text may hold thousands of them."""

    text: str
    fences: list[int]
    first: float  # place of the first opening tag
    first_own: float  # of the first one that begins its line

    @classmethod
    def of(cls, text: str) -> _Marks:
        openers = [m.start() for m in _OPENER.finditer(text)]
        own = next((at for at in openers if _own_line(text, at)), math.inf)
        return cls(text, [m.start() for m in _FENCE.finditer(text)], min(openers, default=math.inf), own)

    def mentioned(self, closer: re.Match[str]) -> bool:
        """Whether a closing tag that nothing opened at the beginning is part of an answer and ends no reasoning."""
        text, start, end = self.text, closer.start(), closer.end()
        if _quoted(text, closer) or bisect.bisect_left(self.fences, start) % 2:
            return True
        own = _own_line(text, start)
        if (self.first_own if own else self.first) < start:
            return True  # a pair within the answer; one within a line belongs to no closing tag on a line of its own
        rest = text[end : end + NEAR].partition("\n")[0]
        if own or not rest.strip():
            return False
        return text[start - 1] == " " and (rest[0] in ".,;:!?)" or (rest[0] == " " and rest.lstrip()[:1].islower()))
