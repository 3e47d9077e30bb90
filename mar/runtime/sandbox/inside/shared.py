"""Containers that both processes hold: what one changes in place, the other sees with the next message.

A list that a test passes is one object to the function and to the test, in Python; here it is two, kept alike. Each
container that crosses gets a number, which stands for it from then on, so identity is kept as well, and before every
message the sender looks which of them have changed since the last one (by the identity of their parts, which is
cheap) and sends those anew. What the judge's test can no longer reach is forgotten on both sides.
"""

# Values of any type pass through here by design.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

import array
import collections
import operator
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

MOST = 4096  # containers that are kept alike at once; further ones cross as copies
_UNREACHED = 3  # references to an object that only the table holds: its own, the loop's, the counting function's

_PARTS: dict[type, Callable[[Any], Any]] = {
    list: list,
    set: list,
    collections.deque: list,
    bytearray: bytes,
    array.array: bytes,
    **dict.fromkeys(
        (dict, collections.Counter, collections.OrderedDict, collections.defaultdict), lambda d: [*d, *d.values()]
    ),
}


@dataclass(slots=True)
class _Entry:
    value: Any
    parts: Any  # when both sides last agreed

    def changed(self) -> bool:
        now = _PARTS[type(self.value)](self.value)
        if isinstance(now, bytes):
            return now != self.parts
        return len(now) != len(self.parts) or not all(map(operator.is_, now, self.parts))


class Shared:
    """One side's table.

    Args:
        first: The first number this side gives, 1 or 2; each side has every other number.
    """

    def __init__(self, first: int) -> None:
        self._first = self._next = first
        self._entries: dict[int, _Entry] = {}
        self._numbers: dict[int, int] = {}
        self._undo: list[Callable[[], object]] = []

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._numbers.clear()
        self._undo.clear()

    def number(self, value: Any) -> int | None:
        """The number of a container, if it has one."""
        return self._numbers.get(id(value))

    def add(self, value: Any) -> int:
        """Give a container a number; 0, which stands for none, when there are too many."""
        if len(self._entries) >= MOST:
            return 0
        number, self._next = self._next, self._next + 2
        self._set(number, value)
        self.unless_sent(lambda: self.forget(number))
        return number

    def learn(self, number: int, value: Any) -> None:
        """Take in a container with the number that the other side gave it.

        Raises:
            ValueError: The number is not the other side's to give.
        """
        if number == 0:
            return
        if number in self._entries or number % 2 == self._first % 2 or len(self._entries) >= 2 * MOST:
            raise ValueError("a number that is not free")
        self._set(number, value)

    def get(self, number: int) -> Any:
        """The container of a number."""
        return self._entries[number].value

    def settle(self, number: int) -> None:
        """Both sides agree on a container as it is now."""
        entry = self._entries.get(number)
        if entry is not None:
            before, entry.parts = entry.parts, _PARTS[type(entry.value)](entry.value)
            self.unless_sent(lambda: setattr(entry, "parts", before))

    def changed(self) -> Iterator[tuple[int, Any]]:
        """The containers that this side has changed since both last agreed; they count as settled."""
        for number, entry in list(self._entries.items()):
            if entry.changed():
                self.settle(number)
                yield number, entry.value

    def unreached(self) -> list[int]:
        """Forget the containers that nothing but this table holds; returns their numbers."""
        found: list[int] = []
        for number, entry in self._entries.items():
            value = entry.value
            if sys.getrefcount(value) <= _UNREACHED:
                found.append(number)
        for number in found:
            self.forget(number)
        return found

    def forget(self, number: int) -> None:
        """Keep a container alike no longer."""
        entry = self._entries.pop(number, None)
        if entry is not None:
            self._numbers.pop(id(entry.value), None)

    def unless_sent(self, undo: Callable[[], object]) -> None:
        """What to do if the message that is being made cannot be sent."""
        self._undo.append(undo)

    def sent(self) -> None:
        """What was noted for a message holds, since it was sent."""
        self._undo.clear()

    @contextmanager
    def attempt(self) -> Generator[None, None, None]:
        """Take back what is noted within, if it ends in an exception and so is never sent."""
        mark = len(self._undo)
        try:
            yield
        except BaseException:
            while len(self._undo) > mark:
                self._undo.pop()()
            raise

    def _set(self, number: int, value: Any) -> None:
        self._entries[number] = _Entry(value, _PARTS[type(value)](value))
        self._numbers[id(value)] = number
