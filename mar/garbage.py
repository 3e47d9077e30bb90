"""Looking for garbage less often while an event loop runs.

Python looks for objects that refer to each other in circles after every 700 new ones. Calls, events and episodes make
next to none of these, and all of them are new objects: looking took a tenth of the time of a load test, and of what a
gateway does for a request.
"""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager

OBJECTS = 20_000  # new ones between two looks: some megabytes


@contextmanager
def rarely_collecting() -> Generator[None]:
    """Look rarely, and only among what is made from here on."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
