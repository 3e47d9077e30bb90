r"""Answers that are LaTeX expressions, as in MATH: found in free text.

The last \boxed{} counts; without one, what the last phrase such as "the answer is" names, and without that the last
formula between dollar signs. Whether two expressions are equal is said by `mar.tasks.scoring.expressions`.
"""

from __future__ import annotations

import re

MAX_ANSWER = 1_000  # characters; no published answer has more than 200
MAX_TEXT = 50_000  # characters looked at, from the end
MAX_BOXES = 20  # boxes looked at, from the end

_BOX = re.compile(r"\\(?:boxed|fbox)\s*(?:\{|(\\[a-zA-Z]+|[^\s{}$]))")
_PHRASE = re.compile(r"\banswer\b(?:\s+is\b)?\s*:?\s*", re.IGNORECASE)
_DOLLARS = re.compile(r"\$\$(.{1,2000}?)\$\$|\$([^$\n]{1,2000})\$|\\\((.{1,2000}?)\\\)|\\\[(.{1,2000}?)\\\]", re.DOTALL)
_END = re.compile(r"\n|\.(?:\s|$)")


def last_boxed(text: str) -> str | None:
    """What stands in the last complete box; None when there is no box that holds something."""
    for match in reversed(list(_BOX.finditer(text))[-MAX_BOXES:]):
        content = match[1] if match[1] is not None else braced(text, match.end())
        if content is not None and content.strip():
            return content.strip()
    return None


def extract_expression(text: str) -> str | None:
    """The expression that a text gives as its answer; None when there is none or it is absurdly long."""
    text = text[-MAX_TEXT:]
    found = last_boxed(text) or _after_phrase(text) or _last_formula(text)
    return found if found is not None and len(found) <= MAX_ANSWER else None


def braced(text: str, start: int) -> str | None:
    """The text up to the brace that closes one opened just before `start`."""
    depth = 1
    for at in range(start, min(len(text), start + 4 * MAX_ANSWER)):
        if text[at] in "{}" and text[at - 1] != "\\":
            depth += 1 if text[at] == "{" else -1
            if depth == 0:
                return text[start:at]
    return None


def _after_phrase(text: str) -> str | None:
    for match in reversed(list(_PHRASE.finditer(text))[-MAX_BOXES:]):
        rest = text[match.end() : match.end() + 2 * MAX_ANSWER].lstrip("*: ")
        if formula := _DOLLARS.match(rest):
            return _inside(formula)
        end = _END.search(rest)
        clause = (rest[: end.start()] if end else rest).strip(" *`")
        if re.search(r"[\d\\]|^\S+$", clause):
            return clause
    return None


def _last_formula(text: str) -> str | None:
    found = list(_DOLLARS.finditer(text))
    return _inside(found[-1]) if found else None


def _inside(match: re.Match[str]) -> str | None:
    return next(g for g in match.groups() if g is not None).strip() or None
