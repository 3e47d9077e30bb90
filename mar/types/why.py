"""Why a policy did what it did: what it believed, and what it could have done instead."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """An answer that was given so far."""

    answer: str
    probability: float  # that it is right


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """Something that could be done, and what was expected of it. None: not estimated."""

    action: str  # in words, e.g. "ask gpt-4o" or "settle"
    right: float | None = None  # probability that the answer is right after it
    usd: float | None = None  # expected further cost
    seconds: float | None = None  # expected further time
    utility: float | None = None  # what was compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """The reason for one decision."""

    because: str = ""  # in a few words
    beliefs: tuple[Belief, ...] = ()  # about the answers so far, most probable first
    options: tuple[Option, ...] = ()  # the chosen one first, then the best of the others
