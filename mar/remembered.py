"""What a process remembers of people's texts in its memory, so that all of it can be dropped at once.

Whoever remembers texts, or what can be told from them, says so where it is made. What is dropped can be made again.
"""

from __future__ import annotations

import threading
from typing import Protocol
from weakref import WeakSet


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
