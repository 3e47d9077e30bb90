"""What a process remembers of people's texts in its memory, so that all of it can be dropped at once.

Whoever remembers texts, or what can be told from them, says so where it is made. What is dropped can be made again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Generic, Protocol, TypeVar
from weakref import WeakSet

T = TypeVar("T")


class Forgets(Protocol):
    """Remembers something that can be made again."""

    def forget(self) -> None:
        """Drop it, in any thread."""
        ...


_known: WeakSet[Forgets] = WeakSet()
_lock = threading.Lock()


def remembers(one: Forgets) -> None:
    """Have `forget_all` reach something for as long as it is there."""
    with _lock:
        _known.add(one)


def forget_all() -> None:
    """Drop everything that this process remembers."""
    with _lock:
        found = list(_known)
    for one in found:
        one.forget()


class Remembering(Generic[T]):
    """A function of texts that remembers what it gave, until `forget_all`.

    Args:
        function: What it computes.
        most: Results that are kept, the latest.
    """

    def __init__(self, function: Callable[[tuple[str, ...]], T], most: int) -> None:
        self._function, self._most = function, most
        self.forget()
        remembers(self)

    def __call__(self, texts: tuple[str, ...]) -> T:
        """What the function gives, shared by all who ask."""
        return self._known(texts)

    def forget(self) -> None:
        """See `Forgets`. What is being computed ends in what was dropped, and not in what is remembered from now on."""
        self._known = lru_cache(maxsize=self._most)(self._function)


def remembering(most: int) -> Callable[[Callable[[tuple[str, ...]], T]], Remembering[T]]:
    """Make a function of texts a `Remembering` of so many results."""
    return lambda function: Remembering(function, most)
