"""Statements of the gateway's databases: few different ones, since drivers keep those that they have met."""

from dataclasses import replace

import pytest

from mar.serving.record import Marks
from mar.serving.store.database import among, insert
from mar.serving.store.record import _written
from tests.entries import entry

MOST = 600


class Nowhere:
    """Where a transaction would be done."""

    now = "now()"


def statements(steps):
    """The statements of a transaction that finds nothing."""
    found = []
    try:
        step = next(steps)
        while True:
            found.append(step)
            step = steps.send([])
    except StopIteration:
        return found


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 200])
def test_every_row_is_inserted_once_and_in_order(count):
    told = statements(insert("t", [(n, f"row {n}") for n in range(count)]))
    values = [value for tell in told for row in tell.rows for value in row]
    assert values == [value for n in range(count) for value in (n, f"row {n}")]
    assert all(tell.sql.count("?") == len(row) for tell in told for row in tell.rows)


def test_values_that_are_looked_for_are_all_there():
    for count in range(1, MOST):
        places, values = among(list(range(count)))
        assert (set(values), places.count("?")) == (set(range(count)), len(values))


def test_batches_of_any_size_are_written_by_few_different_statements():
    marks = Marks(question="q", answer="a", before="b", taken="t")
    entries = [replace(entry(f"e{n}"), marks=marks, conversation=f"c{n}") for n in range(MOST)]
    found = {step.sql for size in range(1, MOST, 7) for step in statements(_written(Nowhere(), entries[:size]))}
    assert len(found) < 64  # each of some parameters for a row: of a hundred times as many drivers kept 15 MB and more
