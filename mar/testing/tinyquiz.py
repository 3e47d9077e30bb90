"""What tiny models write and answer in routing with generated data: questions with four options on three subjects.

A writer has learned to write questions in the tagged form that generators are asked for, on the subject that the
prompt names. A quiz model knows some subjects; on the others it was trained to name any of the options, so that it says
something there, seldom the right thing.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Mapping
from typing import Literal, get_args

from mar.learning.generated.blocks import LETTERS, block, generation_prompt
from mar.learning.generated.records import Question
from mar.testing.tinyskills import CAPITALS

Subject = Literal["Backwards", "Capitals", "Opposites"]
SUBJECTS: tuple[Subject, ...] = get_args(Subject)
WRITTEN: tuple[Subject, ...] = ("Capitals", "Opposites")
"""Subjects that the packaged writer writes sound questions about; backwards it cannot read (see its card)."""
DESCRIPTIONS: Mapping[Subject, str] = {
    "Backwards": "Three letters, read from right to left.",
    "Capitals": "The capitals of countries.",
    "Opposites": "Words that mean the contrary of another.",
}
OPPOSITES = {
    "big": "small",
    "black": "white",
    "brave": "afraid",
    "buy": "sell",
    "clean": "dirty",
    "day": "night",
    "deep": "shallow",
    "early": "late",
    "easy": "hard",
    "empty": "full",
    "false": "true",
    "far": "near",
    "fast": "slow",
    "first": "last",
    "friend": "enemy",
    "give": "take",
    "good": "bad",
    "happy": "sad",
    "heavy": "light",
    "high": "low",
    "hot": "cold",
    "in": "out",
    "left": "right",
    "long": "short",
    "loud": "quiet",
    "love": "hate",
    "lose": "win",
    "more": "less",
    "new": "old",
    "north": "south",
    "open": "closed",
    "poor": "rich",
    "pull": "push",
    "rough": "smooth",
    "sink": "swim",
    "start": "stop",
    "strong": "weak",
    "thick": "thin",
    "top": "bottom",
    "up": "down",
    "wet": "dry",
    "young": "aged",
}
_SHORT = re.compile(r"\n.*?(?=\[QUESTION\])", re.DOTALL)
_ASKED = re.compile(r"Capital of (?P<country>\w+)\?|Opposite of (?P<said>\w+)\?|Reverse (?P<word>[a-z]+)\.")


def draw_question(subject: Subject, rng: random.Random) -> Question:
    """A question of a subject, its options in random order."""
    question, right, wrong = _draw(subject, rng)
    options = [right, *rng.sample(sorted(wrong), 3)]
    rng.shuffle(options)
    return Question(
        question_id=f"{subject}/{question}/{'/'.join(options)}",
        category=subject,
        question=question,
        options=tuple(options),
        answer=LETTERS[options.index(right)],
    )


def _draw(subject: Subject, rng: random.Random) -> tuple[str, str, set[str]]:
    """A question, its answer, and what else might be offered."""
    if subject != "Backwards":
        facts, ask = (CAPITALS, "Capital") if subject == "Capitals" else (OPPOSITES, "Opposite")
        known = rng.choice(list(facts))
        return f"{ask} of {known}?", facts[known], set(facts.values()) - {facts[known]}
    word = "".join(rng.sample(string.ascii_lowercase, 3))
    mixed = {"".join(word[i] for i in order) for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1))}
    return f"Reverse {word}.", word[::-1], mixed


def truth(question: str) -> str | None:
    """The right answer to a question of this kind; None where the text is none."""
    found = _ASKED.fullmatch(question.strip())
    if found is None:
        return None
    if found["word"]:
        return found["word"][::-1]
    return CAPITALS.get(found["country"]) if found["country"] else OPPOSITES.get(found["said"])


def written(question: Question) -> str:
    """The question as a writer is to write it: the right option first, which is easier than to keep a place for it."""
    right = question.options[question.answer_index]
    b, c, d = (option for option in question.options if option != right)
    return block(question.question, (right, b, c, d), "A")


def writing_prompt(subject: Subject, *, short: bool = False) -> str:
    """What a generator reads; `short` leaves out all between the subject and the form, which says less to read."""
    prompt = generation_prompt(subject, DESCRIPTIONS[subject], 1)
    return _SHORT.sub("\n", prompt, count=1) if short else prompt
