"""Requests in a list: what is seen of each at a glance, and what of all is to be seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mar.traffic.records import Outcome
from mar.types import Plan

OPENING = 200  # characters of a question

Came = Literal[
    "answered",
    "failed",  # no answer, or no whole one
    "left",  # the client did before the end
    "late",  # after the deadline that was asked for
    "liked",  # rated .5 or better
    "disliked",
    "explored",  # done otherwise than seemed best, for what that teaches
]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """Where a list goes on: before the request of this time and id."""

    at: float
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sieve:
    """What is to be seen. Empty: all."""

    guest: str | None = None  # None: everybody's; "": of those without a key
    model: str = ""  # that was asked, among others
    mode: str | None = None  # "": decided step by step; None: any
    came: Came | None = None
    person: str = ""  # the user, by a hash
    text: str = ""  # in the question's beginning, whatever the case; or an episode's id


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One request."""

    id: str
    at: float  # seconds since 1970
    guest: str
    person: str | None
    opening: str | None  # of the question; None: not kept
    asked: str
    controller: str
    mode: str
    label: str
    explored: bool
    status: int
    reason: str
    cost_usd: float | None
    models: tuple[str, ...]
    attempts: int
    seconds: float
    deadline_s: float | None
    plan: Plan | None
    worth: tuple[Outcome, ...]

    @property
    def place(self) -> Place:
        """Where a list that ends with it goes on."""
        return Place(at=self.at, id=self.id)

    @property
    def late(self) -> bool | None:
        """Whether the answer came too late; None: it might take any time."""
        return None if self.deadline_s is None else self.seconds > self.deadline_s

    @property
    def rating(self) -> float | None:
        """What people said of the answer, on average."""
        return mean_rating(self.worth)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a list."""

    lines: tuple[Line, ...]
    on: Place | None  # where it goes on: what came before has not been looked at; None: there is nothing


def joined(part: Part, others: Iterable[Line], most: int) -> Part:
    """A part of a list, from its beginning on, with lines that it may lack; of those that both have, its own hold."""
    found = {line.id: line for line in (*others, *part.lines)}
    lines = sorted(found.values(), key=lambda line: line.place, reverse=True)
    on = lines[most - 1].place if len(lines) > most else part.on
    return Part(lines=tuple(lines[:most]), on=on)


def opening_of(question: str) -> str:
    """The beginning of a question, on one line."""
    return " ".join(question[: 2 * OPENING].split())[:OPENING]


def mean_rating(worth: Iterable[Outcome]) -> float | None:
    """What people said of an answer, on average, from 0 to 1; None: nothing."""
    said = [outcome.value for outcome in worth if outcome.kind == "rating"]
    return sum(said) / len(said) if said else None


def seen(sieve: Sieve, line: Line) -> bool:
    """Whether a line is to be seen."""
    return (
        (sieve.guest is None or line.guest == sieve.guest)
        and (not sieve.model or sieve.model in line.models)
        and (sieve.mode is None or sieve.mode == line.mode)
        and (not sieve.person or sieve.person == line.person)
        and (not sieve.text or sieve.text == line.id or sieve.text.lower() in (line.opening or "").lower())
        and (sieve.came is None or _came(sieve.came, line))
    )


def _came(came: Came, line: Line) -> bool:
    ratings = [outcome.value for outcome in line.worth if outcome.kind == "rating"]
    match came:
        case "answered":
            return line.status == 200
        case "failed":
            return line.status not in (200, 499)
        case "left":
            return line.status == 499
        case "late":
            return bool(line.late)
        case "liked":
            return any(value >= 0.5 for value in ratings)
        case "disliked":
            return any(value < 0.5 for value in ratings)
        case "explored":
            return line.explored
