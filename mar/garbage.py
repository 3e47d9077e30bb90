"""Looking for garbage less often while an event loop runs.

Python looks for objects that refer to each other in circles after every 700 new ones. Calls, events and episodes make
next to none of these, and all of them are new objects: looking took a tenth of the time of a load test, and of what a
gateway does for a request.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Generator
from contextlib import contextmanager

OBJECTS = 20_000  # new ones between two looks: some megabytes


class _Loops:
    """How many run, in any thread, and how it was before the first one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._before = gc.get_threshold()

    def begin(self) -> None:
        with self._lock:
            self._count += 1
            if self._count == 1:
                self._before = gc.get_threshold()
                gc.freeze()
                gc.set_threshold(OBJECTS, *self._before[1:])

    def end(self) -> None:
        with self._lock:
            self._count -= 1
            if not self._count:
                gc.set_threshold(*self._before)
                gc.unfreeze()


_LOOPS = _Loops()


@contextmanager
def rarely_collecting() -> Generator[None]:
    """Look rarely, and only among what is made from here on."""
    _LOOPS.begin()
    try:
        yield
    finally:
        _LOOPS.end()
