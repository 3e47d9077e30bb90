"""The rules of `base`, on counters that have been read: what stores that are told in SQL decide by.

`change.lua` states the same rules for Redis; one set of tests holds for both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mar.serving.limits.base import Change, Count, Kind, Short, Take


@dataclass(slots=True, kw_only=True)
class Book:
    """Counters of a batch of changes, and what the changes do to them."""

    counts: dict[str, Count]  # every counter that the changes name
    holdings: dict[tuple[str, Kind], int] = field(default_factory=dict[tuple[str, Kind], int])  # how much more is held
    lives_s: dict[str, int] = field(default_factory=dict[str, int])  # of counters that may be forgotten
    changed: set[str] = field(default_factory=set[str])

    def apply(self, changes: Sequence[Change]) -> list[Short | None]:
        """Make changes in their order; see `Counters.change`."""
        return [self._take(change) if isinstance(change, Take) else self._settle(change) for change in changes]

    def _take(self, take: Take) -> Short | None:
        for want in take.wants:
            count = self.counts[want.name]
            if want.limit is None:
                continue
            spent, held = count.spent, 0 if want.kind == "look" else count.held
            if spent + held + want.amount > want.limit:
                busy = spent + want.amount <= want.limit
                return Short(name=want.name, spent=spent, held=held, busy=busy)
        for want in take.wants:
            count = self.counts[want.name]
            if want.kind == "look":
                continue
            self.changed.add(want.name)
            if want.lives_s:
                self.lives_s[want.name] = want.lives_s
            if want.kind == "spend":
                count.spent += want.amount
            else:
                count.held += want.amount
                self._hold(want.name, want.kind, want.amount)
        return None

    def _settle(self, change: Change) -> None:
        assert not isinstance(change, Take)
        for paid in change.paid:
            count = self.counts[paid.name]
            count.held -= paid.held
            count.spent += paid.spent
            count.uncertain += paid.uncertain
            self.changed.add(paid.name)
            self._hold(paid.name, paid.kind, -paid.held)

    def _hold(self, name: str, kind: Kind, amount: int) -> None:
        self.holdings[name, kind] = self.holdings.get((name, kind), 0) + amount


def names_of(changes: Iterable[Change]) -> list[str]:
    """The counters that changes name, in the order in which they are locked."""
    parts = (change.wants if isinstance(change, Take) else change.paid for change in changes)
    return sorted({part.name for some in parts for part in some})


def lapse(count: Count, kind: Kind, amount: int) -> None:
    """What a dead worker held in a counter."""
    count.held -= amount
    if kind == "hold":
        count.spent += amount
        count.uncertain += amount
