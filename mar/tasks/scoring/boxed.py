r"""Answers that are LaTeX expressions, as in MATH: found in free text.

The last \boxed{} expression counts that the text stands by (`mar.tasks.scoring.statements`), with those that it is
listed with ("\boxed{1} and \boxed{-2}"). Without one it is what the last phrase such as "the answer is" names, then the
last formula between dollar signs, then a text that is an expression and nothing else. A box comes first since that is
the form that is asked for, and solutions go on to check what they have boxed. Whether two expressions are equal is said
by `mar.tasks.scoring.expressions`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mar.tasks.scoring.statements import Statement, lowered, run_on, stands_by, statements

MAX_ANSWER = 1_000  # characters; no published answer has more than 200
MAX_TEXT = 50_000  # characters looked at, from the end
MAX_BOXES = 20  # boxes looked at, from the end
MAX_RUN_ONS = 5  # places looked at where a text may go on with a question of its own
FEW_WORDS = 60  # characters of a reply that is the answer alone

_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s*(?:\{|(\\[a-zA-Z]+|-?\d[\d,.]*\d|[^\s{}$]))")
_DOLLARS = re.compile(r"\$\$(.{1,2000}?)\$\$|\$([^$\n]{1,2000})\$|\\\((.{1,2000}?)\\\)|\\\[(.{1,2000}?)\\\]", re.DOTALL)
_END = re.compile(r"\n|\.(?:\s|$)|</|\s(?:because|since|as|when|which|where)\s")
_LISTED = re.compile(r"[\s$.]{0,4}(?:,|;|\band\b|\bor\b|,\s?and\b|,\s?or\b)[\s$]{0,4}")
_PAIRS = {")": "(", "]": "[", "}": "{"}
_LIKE = re.compile(r"[\d\\]|^[A-Za-z]?(?:[\s+*/^()=-]+[A-Za-z])*$")
_SHORT_WORDS = re.compile(r"(?![^$]*\b[a-z]{4,})[^$]+")


def last_boxed(text: str) -> str | None:
    """What stands in the last complete box; None when there is no box that holds something."""
    for match in reversed(list(_BOX.finditer(text))[-MAX_BOXES:]):
        content = match[1] if match[1] is not None else braced(text, match.end())
        if content is not None and content.strip():
            return content.strip()
    return None


def braced(text: str, start: int) -> str | None:
    """The text up to the brace that closes one opened just before `start`."""
    depth = 1
    for at in range(start, min(len(text), start + 4 * MAX_ANSWER)):
        if text[at] in "{}" and text[at - 1] != "\\":
            depth += 1 if text[at] == "{" else -1
            if depth == 0:
                return text[start:at]
    return None


def extract_expression(text: str) -> str | None:
    """The expression that a text gives as its answer; None when there is none or it is absurdly long."""
    text = text[-MAX_TEXT:]
    low = lowered(text)
    parts = (_stated(text[:end], low[:end]) for end, _ in zip(run_on(low), range(MAX_RUN_ONS), strict=False))
    found = next((p for p in parts if p), None) or _stated(text, low) or _last_formula(text) or _alone(text)
    return found if found is not None and len(found) <= MAX_ANSWER else None


def _stated(text: str, low: str) -> str | None:
    """What is boxed last; where nothing is, what is called the answer last."""
    found = list(statements(low))
    boxes = [s for s in found if s.boxed][:MAX_BOXES]
    said = ((s, _box(text, s, boxes)) for s in boxes)
    named = ((s, _phrase(text, s.content)) for s in found if s.content is not None and not s.boxed)
    for statement, content in (*said, *named):
        end = (statement.content or statement.start) + len(content or "")
        if content and stands_by(low, statement.start, end):
            return content
    return None


def _box(text: str, statement: Statement, boxes: Sequence[Statement]) -> str | None:
    """What is boxed there, after what is boxed in the same list before it."""
    content = _in_box(text, statement.start)
    earlier = next((b for b in boxes if b.start < statement.start), None)
    if content and earlier and (before := _in_box(text, earlier.start)):
        end = text.find(before, earlier.start) + len(before) + 1
        if _LISTED.fullmatch(text, end, statement.start) and (listed := _box(text, earlier, boxes)):
            return f"{listed}, {content}"
    return content


def _in_box(text: str, start: int) -> str | None:
    match = _BOX.match(text, start)
    content = (match[1] if match[1] is not None else braced(text, match.end())) if match else None
    return content.strip() or None if content else None


def _phrase(text: str, start: int) -> str | None:
    """What the rest of the sentence names."""
    rest = text[start : start + 2 * MAX_ANSWER].lstrip("*: \n")
    if formula := _DOLLARS.match(rest):
        return _inside(formula)
    end = _END.search(rest)
    clause = (rest[: end.start()] if end else rest).strip(" *`")
    if clause.lower().startswith("not "):
        return None
    formula = _DOLLARS.search(clause)
    if formula and not re.search(r"[\d\\]", clause[: formula.start()]):
        return _inside(formula)
    clause = _unopened(clause)
    return clause if _LIKE.search(clause) or re.fullmatch(r"\S+", clause) else None


def _unopened(clause: str) -> str:
    """A clause without a last bracket that something around it opened: "[Answer: 3]"."""
    while clause[-1:] in _PAIRS and clause.count(clause[-1]) > clause.count(_PAIRS[clause[-1]]):
        clause = clause[:-1].rstrip()
    return clause


def _last_formula(text: str) -> str | None:
    found = list(_DOLLARS.finditer(text))
    return _inside(found[-1]) if found else None


def _alone(text: str) -> str | None:
    """A reply that is an expression and nothing else."""
    said = text.strip(" \n#*").rstrip(".")
    return said if 0 < len(said) <= FEW_WORDS and _LIKE.search(said) and _SHORT_WORDS.fullmatch(said) else None


def _inside(match: re.Match[str]) -> str | None:
    return next(g for g in match.groups() if g is not None).strip() or None
