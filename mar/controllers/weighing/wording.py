"""What the texts of an answer and of the options show about which option is right.

An answer argues, and then names an option. Where the options are numbers and the last number of the argument is not the
one of the option, the model could not find its result among the options. So every mark is a comparison of the argument
with the option, or something that people say who are not sure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from mar.controllers.weighing.options import Floats
from mar.remembered import remembering

ANSWER_MARKS = (
    "states an option",
    "argument holds the option's text",
    "argument holds another option's text",
    "last number is the option's",
    "argument holds the option's numbers",
    "end of the argument holds another option's numbers",
    "hedges",
    "equations",
    "argument holds the option's words",
    "last number is near the option's",
)
BACKING = ("argument holds the option's words", "last number is near the option's")
OPTION_MARKS = ("length", "all or none of the others", "amount between the others", "amount", "like the others",
                "like the question", "like another")  # fmt: skip

_HEDGES = re.compile(
    r"closest|nearest|approx|rounding|none of|not (?:listed|among|match|provided|enough)|discrepan|\berror\b|mistake|"
    r"cannot|can't|unable|however|assum|likely|guess|unclear|ambigu|insufficient|does not|best (?:answer|option)|"
    r"re-?check|recalculat|sorry|apolog",
    re.IGNORECASE,
)
_MOST_HEDGES = 4
_STATED = re.compile(r"answer is:?\s*\(?([A-J])\)?", re.IGNORECASE)
_NUMBER = re.compile(r"\d[\d,]*\.?\d*")
_WORD = re.compile(r"[a-z0-9.]+")
_OTHER = re.compile(r"[^a-z0-9.%/=+\- ]+")
_WHOLE = re.compile(r"\b(?:all|none|both|neither) (?:of|the)\b|cannot be determined|not enough", re.IGNORECASE)
_END = 200  # characters of an argument's end
_MOSTLY = 0.7  # share of options with numbers from which on a question asks for one


def read_answer(text: str, options: tuple[str, ...], chosen: int, places: int) -> tuple[list[float], Floats]:
    """What shows on one answer.

    Args:
        text: The answer.
        options: The question's.
        chosen: Position of its option, below 0 where none can be read.
        places: The most options that a question has.

    Returns:
        ANSWER_MARKS, and BACKING of every option that it does not choose, (places, 2).
    """
    stated = list(_STATED.finditer(text))
    argument = text[: stated[-1].start()] if stated else text
    plain, said = f" {_plain(argument)} ", set(_WORD.findall(argument.lower()))
    texts, words, numbers = _taken_apart(options)
    held = [bool(option) and option in plain for option in texts]
    numeric = sum(map(bool, numbers)) > _MOSTLY * len(options)
    end = _numbers(argument[-_END:])
    last = _NUMBER.findall(argument)[-1:]
    backing = np.zeros((places, len(BACKING)), dtype=np.float32)
    backing[: len(options), 0] = [len(some & said) / max(1, len(some)) for some in words]
    if last:
        backing[: len(options), 1] = [max((_near(some, last[0]) for some in found), default=0) for found in numbers]
    own = numbers[chosen] if chosen >= 0 else set[str]()
    marks = [
        float(bool(stated)),
        float(chosen >= 0 and held[chosen]),
        float(any(found for i, found in enumerate(held) if i != chosen)),
        _verdict(bool(last and _bare(last[0]) in own)) if numeric and last else 0.0,
        _verdict(own <= _numbers(argument)) if numeric and own else 0.0,
        float(numeric and any(some <= end for i, some in enumerate(numbers) if i != chosen and some)),
        float(min(len(_HEDGES.findall(text)), _MOST_HEDGES)),
        float(np.log1p(text.count("="))),
        *(backing[chosen].tolist() if chosen >= 0 else (0.0, 0.0)),
    ]
    if chosen >= 0:
        backing[chosen] = 0
    return marks, backing


def option_marks(question: str, options: Sequence[str], places: int) -> Floats:
    """OPTION_MARKS of a question's options, (places, p), 0 where there is none."""
    found = np.zeros((places, len(OPTION_MARKS)), dtype=np.float32)
    n = len(options)
    lengths = np.array([len(option) for option in options], dtype=np.float64)
    words = [set(_WORD.findall(option.lower())) for option in options]
    asked = set(_WORD.findall(question.lower()))
    like = np.array([[_likeness(a, b) for b in words] for a in words]) - np.eye(n)
    found[:n, 0] = np.log((lengths + 1) / (lengths.mean() + 1))
    found[:n, 1] = [bool(_WHOLE.search(option)) for option in options]
    amounts = [_NUMBER.findall(option)[:1] for option in options]
    if n > 1 and all(amounts):
        ranks = np.argsort(np.argsort([float(_bare(some[0])) for some in amounts])) / (n - 1)
        found[:n, 2], found[:n, 3] = 1 - np.abs(2 * ranks - 1), ranks - 0.5
    if n > 1:
        found[:n, 4] = like.sum(axis=1) / (n - 1)
        found[:n, 5] = [len(some & asked) / max(1, len(some)) for some in words]
        found[:n, 6] = like.max(axis=1)
        found[:n, 4:] -= found[:n, 4:].mean(axis=0)
    return found


@remembering(4096)
def _taken_apart(options: tuple[str, ...]) -> tuple[list[str], list[set[str]], list[set[str]]]:
    """Plain text, words and numbers of each option."""
    words = [set(_WORD.findall(option.lower())) for option in options]
    return [_plain(option) for option in options], words, [_numbers(option) for option in options]


def _near(number: str, other: str) -> float:
    """1 where two numbers are the same, e^-1 where they differ by a twentieth."""
    a, b = float(number), float(_bare(other))
    return float(np.exp(-abs(a - b) / (0.05 * abs(a) + 1e-9)))


def _verdict(yes: bool) -> float:
    return 1.0 if yes else -1.0


def _plain(text: str) -> str:
    return _OTHER.sub(" ", text.lower()).strip().rstrip(".")


def _bare(number: str) -> str:
    return number.replace(",", "").rstrip(".")


def _numbers(text: str) -> set[str]:
    return {_bare(some) for some in _NUMBER.findall(text)}


def _likeness(a: set[str], b: set[str]) -> float:
    return len(a & b) / max(1, len(a | b))
