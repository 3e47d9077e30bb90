"""Reasoning that a server leaves in the text, told from the answer. One place, for whole replies and for streams.

Such a text has one of three forms:

- it begins with a tag, `<think>…</think>` or another pair of `TAGS`, once or several times;
- it has a closing tag without an opening one, because the chat template wrote that into the prompt;
- it is written in gpt-oss's harmony channels, of which `final` is the answer, with their markup or (where a server
  drops special tokens) without it.

A closing tag that an answer merely mentions, in code, in quotes or within a sentence, closes nothing.

The second form cannot be known while a text streams in. A `Splitter` may be told that a model's replies begin inside
reasoning; then it holds everything back until that is closed. Otherwise pieces are handed on as they come, and only
`finish`, which sees the whole text, tells them apart.
"""

from __future__ import annotations

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
LOOK_CHARS = 2 * LONGEST_TAG
_OPENER = re.compile("|".join(map(re.escape, TAGS)), re.IGNORECASE)
_CLOSER = re.compile("|".join(map(re.escape, TAGS.values())), re.IGNORECASE)
_ENDS = tuple({tag[-1] for tag in TAGS.values()})
_FENCE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)
_QUOTES = "`\"'“”‘’«»"

HARMONY = ("<|channel|>", "<|start|>", "<|message|>")
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
        return _split_opened(head)
    closers = [m for m in _CLOSER.finditer(text) if not _mentioned(text, m)]
    if not closers:
        return Split(reasoning="", answer=text)
    last = closers[-1]
    return Split(reasoning=text[: last.start()].strip(), answer=text[last.end() :].lstrip(), unopened=True)


class Splitter:
    """Hands on the answer of a text that arrives in pieces.

    Args:
        unopened: The model's replies are known to begin inside reasoning: nothing is handed on before it is closed.
    """

    def __init__(self, *, unopened: bool = False) -> None:
        self._unopened = unopened
        self._text = ""
        self._look_until = LOOK_CHARS
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
            self._look_until = len(self._text) + len(piece) + LOOK_CHARS
        look = len(self._text) <= self._look_until
        self._text += piece
        begin = _answer_begin(self._text, unopened=self._unopened) if look else None
        if begin is None:
            return ""
        self._answering = True
        return self._text[begin:]

    def finish(self) -> tuple[Split, str]:
        """The text is over: the whole of it taken apart, and the answer if nothing of it was handed on yet."""
        whole = split(self._text + "".join(self._rest))
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
    begin = text[: max(LONGEST_TAG, *map(len, HARMONY))].lower()
    marks = (*TAGS, *HARMONY)
    if any(begin.startswith(mark) or mark.startswith(begin) for mark in marks):
        return True
    return _BARE.startswith(text) or bool(re.match(r"analysis[A-Z0-9\"'(<*]", text))


def _after_reasoning(text: str, at: int) -> int | None:
    """Where a text goes on after the reasoning that is under way at `at`; None while that is open."""
    tag = _opening(text[at:])
    for closer in _CLOSER.finditer(text, at):
        rest = text[closer.end() :].lstrip()
        closes = not _mentioned(text, closer) if tag is None else _is_end(text, closer, tag)
        if rest and closes:
            return len(text) - len(rest)
    return None


def _split_opened(text: str) -> Split:
    reasoning: list[str] = []
    while tag := _opening(text):
        inside = text[len(tag) :]
        every = list(_CLOSER.finditer(inside))
        closers = [m for m in every if m[0].lower() == TAGS[tag]] or every  # some close with another tag
        closer = next((m for m in closers if _is_end(inside, m, tag)), closers[-1] if closers else None)
        reasoning.append((inside if closer is None else inside[: closer.start()]).strip())
        text = "" if closer is None else inside[closer.end() :].lstrip()
    return Split(reasoning="\n".join(filter(None, reasoning)), answer=text)


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
    before, after = text[: tag.start()][-1:], text[tag.end() :][:1]
    return before != "" and after != "" and before in _QUOTES and after in _QUOTES


def _mentioned(text: str, closer: re.Match[str]) -> bool:
    """Whether a closing tag that nothing opened at the beginning is part of an answer and ends no reasoning."""
    before, after = text[: closer.start()], text[closer.end() :]
    if _quoted(text, closer) or len(_FENCE.findall(before)) % 2:
        return True
    line, rest = before.rpartition("\n")[2].strip(), after.partition("\n")[0]
    openers = [m for m in _OPENER.finditer(before) if line or not before[: m.start()].rpartition("\n")[2].strip()]
    if openers:
        return True  # a pair within the answer; one within a line belongs to no closing tag on a line of its own
    if not line or not rest.strip():
        return False
    return before[-1:] == " " and (rest[0] in ".,;:!?)" or (rest[0] == " " and rest.lstrip()[:1].islower()))
