"""How a worker's memory is laid out."""

from __future__ import annotations

import ctypes

_ARENA_MAX = -8  # M_ARENA_MAX of <malloc.h> (glibc)


def one_arena() -> None:
    """Have all threads allocate from one arena, where the C library can be told.

    glibc gives each thread an arena of its own, which holds on to what was freed in it. A worker's threads take turns
    anyway, under Python's lock: with one arena its memory was 10 MB less after 20,000 requests.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)
