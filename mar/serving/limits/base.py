"""Counters that limits are kept in: the one thing that every store of limits does, whatever database it is made of.

A counter has a name, such as `usd/k1/2026-11-27`, and counts whole units (nano-USD, tokens, requests), so that sums are
exact. What is *held* counts against limits like what is *spent*: a try of a call holds the most that it can cost before
it is made, and is settled at what it cost after it.

What is held belongs to a *worker*, which says in time that it lives. What a worker holds whose lease has run out
lapses: money and tokens count as spent, for nobody knows whether they were, and seats are free again. The store's clock
decides that, so clocks of machines need not agree. A worker sends one batch of changes at a time, with a number, and
may send it again where it got no answer: a batch is applied once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

MOST = 2**53 - 1  # of a counter: what a double, Redis's only number, counts exactly; 9 million USD in nano-USD

Kind = Literal[
    "look",  # nothing is taken: is there room beside what is spent?
    "spend",  # spent at once
    "hold",  # held until it is settled; spent if it lapses
    "seat",  # held until it is settled; free again if it lapses
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """A part of a take: room in one counter."""

    name: str
    kind: Kind
    amount: int = 1  # units of the counter
    limit: int | None = None  # that what is spent and held must not exceed; None: there is none
    lives_s: int = 0  # seconds after which a new counter may be forgotten if nothing is held in it; 0: never


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """All of it or nothing."""

    wants: tuple[Want, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """What comes of what was held in one counter."""

    name: str
    kind: Kind  # as it was held
    held: int  # so much was, and is no more
    spent: int = 0  # so much of it counts as spent, or more
    uncertain: int = 0  # the part of this that nobody stated


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """The end of a take."""

    paid: tuple[Paid, ...]


Change = Take | Settle


@dataclass(frozen=True, slots=True, kw_only=True)
class Short:
    """Why a take was refused: the first counter without room."""

    name: str
    spent: int
    held: int
    busy: bool  # there would be room if nothing were held: it may come back


@dataclass(slots=True, kw_only=True)
class Count:
    """What a counter stands at."""

    spent: int = 0  # what is uncertain included
    held: int = 0
    uncertain: int = 0  # part of what is spent: settled or lapsed at the most that it can have been


class Counters(Protocol):
    """A store of counters. Its methods raise `StoreUnavailable` where it gives no answer."""

    async def change(self, worker: str, number: int, changes: Sequence[Change]) -> list[Short | None] | None:
        """Make changes in their order, all at one instant for everybody else.

        Args:
            worker: Who makes them.
            number: Of the batch, one more than the last of this worker; sent again, it is not applied again.
            changes: What is changed.

        Returns:
            Why each was refused, None for those that were made; or None in place of the list where the worker's lease
            has run out: nothing was changed, and what it held has lapsed.
        """
        ...

    async def beat(self, worker: str, lease_s: float, *, enters: bool = False) -> float | None:
        """Say that a worker lives for so many seconds more; whatever dead workers held lapses.

        Args:
            worker: Who it is; no two may ever have the same name.
            lease_s: Seconds from now.
            enters: Whether this is its first sign of life.

        Returns:
            The store's time, in seconds since 1970; None: the worker's lease had run out before.
        """
        ...

    async def leave(self, worker: str) -> None:
        """The worker is done; what it still holds lapses."""
        ...

    async def counts(self, names: Sequence[str]) -> Mapping[str, Count]:
        """What counters stand at; those that nobody has used stand at 0."""
        ...
