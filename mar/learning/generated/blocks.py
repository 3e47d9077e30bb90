"""What a generator is asked for and how its questions are read: tagged blocks.

[QUESTION] ... [OPTION A] ... [OPTION B] ... [OPTION C] ... [OPTION D] ... [ANSWER] B

Several blocks of one reply are separated by `#####`. A block without one of its parts, with an empty or repeated
option, or with another answer than a letter from A to D is malformed: it is skipped and counted, never mended.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

SEPARATOR = "#####"
LETTERS = "ABCD"
_TAG = re.compile(r"^[ \t*#]*\[\s*(QUESTION|OPTION\s+[A-D]|ANSWER)\s*\][ \t*:]*", re.IGNORECASE | re.MULTILINE)
_ANSWER = re.compile(r"[\s*(\[\"']*([A-D])(?![A-Za-z])")
_MAX_TEXT = 200_000

PROMPT = """You write examination questions. Subject: {subject}.
{description}

Write {what} with exactly four options, of which exactly one is right. Make them hard enough that a good student has to
think, vary what they are about, and make the wrong options tempting. Nothing outside a question may be needed for it.

Use this form and add nothing else:
[QUESTION] the question
[OPTION A] first option
[OPTION B] second option
[OPTION C] third option
[OPTION D] fourth option
[ANSWER] the letter of the right option{between}"""


def generation_prompt(subject: str, description: str, count: int) -> str:
    """What a generator reads."""
    what = "one question" if count == 1 else f"{count} different questions"
    between = "" if count == 1 else f"\n\nPut a line with {SEPARATOR} between two questions."
    return PROMPT.format(subject=subject, description=description, what=what, between=between)


def block(question: str, options: tuple[str, str, str, str], answer: str) -> str:
    """A well-formed block."""
    lines = [f"[OPTION {letter}] {option}" for letter, option in zip(LETTERS, options, strict=True)]
    return "\n".join([f"[QUESTION] {question}", *lines, f"[ANSWER] {answer}"])


def read_blocks(text: str) -> tuple[list[Mapping[str, str]], int]:
    """The questions of a reply, and how many blocks are malformed.

    Each question has the keys QUESTION, A, B, C, D and ANSWER. A reply without any block is one malformed block.
    """
    parts = [p for p in text[:_MAX_TEXT].split(SEPARATOR) if p.strip()] or [""]
    found = [_read(part) for part in parts]
    good = [f for f in found if f is not None]
    return good, len(found) - len(good)


def _read(text: str) -> Mapping[str, str] | None:
    tags = list(_TAG.finditer(text))
    names = [" ".join(t[1].upper().split()).removeprefix("OPTION ") for t in tags]
    if names != ["QUESTION", *LETTERS, "ANSWER"]:
        return None
    ends = [t.start() for t in tags[1:]] + [len(text)]
    said = {n: text[t.end() : end].strip() for n, t, end in zip(names, tags, ends, strict=True)}
    letter = _ANSWER.match(said["ANSWER"])
    options = [" ".join(said[x].casefold().split()) for x in LETTERS]
    if letter is None or not said["QUESTION"] or not all(options) or len(set(options)) < len(options):
        return None
    return {**said, "ANSWER": letter[1]}
