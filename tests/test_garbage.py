"""Garbage is looked for rarely while an event loop runs, and as before after it."""

from __future__ import annotations

import gc

import pytest

from mar import clock
from mar.garbage import OBJECTS, rarely_collecting


@pytest.mark.parametrize("virtual", [True, False])
def test_while_a_loop_runs_garbage_is_looked_for_rarely_and_not_among_what_was_there(virtual):
    before = gc.get_threshold()

    async def main():
        return gc.get_threshold()[0], gc.get_freeze_count()

    rarely, kept = clock.run(main, virtual=virtual)
    assert rarely == OBJECTS > before[0]
    assert kept > 1000
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


def test_an_error_leaves_it_as_it_was():
    before = gc.get_threshold()
    with pytest.raises(ValueError, match="no"), rarely_collecting():
        raise ValueError("no")
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


def test_of_two_loops_the_last_to_end_leaves_it_as_it_was():
    before = gc.get_threshold()
    first, second = rarely_collecting(), rarely_collecting()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_threshold()[0] == OBJECTS
    second.__exit__(None, None, None)
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
