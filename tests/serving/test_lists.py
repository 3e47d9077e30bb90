"""Lists of requests: the latest first, by filters, page by page, the same in memory and in stores."""

from __future__ import annotations

import pytest

from mar.serving.lines import Part, Place, Sieve
from mar.serving.record import Feedback, Memory
from mar.serving.store.lines import latest
from mar.serving.store.places import database
from mar.serving.store.record import Retention, Stored
from mar.types import AgentSpec, ModeSpec, Plan, Query
from tests.entries import entry

pytestmark = pytest.mark.anyio
PLAN = Plan(mode=ModeSpec(name="Debate"), domain="Code", agents=(AgentSpec(role="a", model="m%1"),))
ENTRIES = (
    entry(id="e1", at=1.0, guest="ann", models=("m_1",), query=Query(text="What is\n17*23?"), keep="text"),
    entry(id="e2", at=2.0, guest="bob", models=("m%1", "m_1"), plan=PLAN, controller="c", status=502, keep="text"),
    entry(id="e3", at=2.0, guest="bob", status=499, deadline_s=5.0, seconds=6.0, keep="nothing", query=None),
    entry(id="e4", at=3.0, guest="", explored=True, query=Query(text="100% “Größe”_"), keep="text"),
)

SIEVES = (
    ({}, "e4 e3 e2 e1"),
    ({"guest": "bob"}, "e3 e2"),
    ({"guest": ""}, "e4"),
    ({"model": "m_1"}, "e2 e1"),
    ({"model": "m%1"}, "e2"),
    ({"model": "m"}, ""),
    ({"mode": "Debate"}, "e2"),
    ({"came": "answered"}, "e4 e1"),
    ({"came": "failed"}, "e2"),
    ({"came": "left"}, "e3"),
    ({"came": "late"}, "e3"),
    ({"came": "liked"}, "e1"),
    ({"came": "disliked"}, "e2"),
    ({"came": "explored"}, "e4"),
    ({"text": "what IS 17*"}, "e1"),
    ({"text": "%"}, "e4"),
    ({"text": "_"}, "e4"),
    ({"text": "e3"}, "e3"),
    ({"text": "' OR 1=1 --"}, ""),
    ({"guest": "bob", "came": "failed", "model": "m_1"}, "e2"),
    ({"person": "nobody"}, ""),
)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def listed(request, tmp_path):
    """A function that lists ids, of each kind of record."""
    if request.param == "memory":
        memory = Memory(10)
        for one in ENTRIES:
            memory.add(one)
        for id, rating in (("e1", 1.0), ("e2", 0.0)):
            await memory.rate(Feedback(episode=id, rating=rating))
        yield memory.latest
        return
    sqlite = request.param == "sqlite"
    store_url = str(tmp_path / "store.sqlite") if sqlite else request.getfixturevalue("own_postgres")
    async with database(store_url, durable=False) as db, database(store_url, durable=False) as reader:
        async with Stored(db, Retention(days=None)) as stored:
            for one in ENTRIES:
                stored.add(one)
            for id, rating in (("e1", 1.0), ("e2", 0.0)):
                await stored.rate(Feedback(episode=id, rating=rating))

        async def look(sieve, *, before, most, depth=5000):
            return await reader.look(lambda: latest(sieve, before, most, depth))

        yield look


def ids_of(part):
    return " ".join(line.id for line in part.lines)


async def test_filters_find_what_fits_and_nothing_else(listed):
    for sieve, ids in SIEVES:
        found = await listed(Sieve(**sieve), before=None, most=10)
        assert (sieve, ids_of(found), found.on) == (sieve, ids, None)


async def test_pages_follow_each_other_without_gap_or_repetition_where_times_are_equal(listed):
    seen, before = [], None
    while (page := await listed(Sieve(), before=before, most=1)).on:
        seen.append(ids_of(page))
        before = page.on
    assert [*seen, ids_of(page)] == ["e4", "e3", "e2", "e1"]
    assert await listed(Sieve(), before=Place(at=1.0, id="e1"), most=10) == Part(lines=(), on=None)


@pytest.mark.parametrize("listed", ["sqlite", "postgresql"], indirect=True)
async def test_a_look_goes_through_so_many_requests_and_says_where_it_goes_on(listed):
    # Two of e4, e3, e2, e1 are looked at each time; of bob's there are e3 and e2 alone, so nothing is left.
    failed = Sieve(came="failed")
    first = await listed(failed, before=None, most=10, depth=2)
    assert (ids_of(first), first.on) == ("", Place(at=2.0, id="e3"))
    second = await listed(failed, before=first.on, most=10, depth=2)
    assert (ids_of(second), second.on) == ("e2", None)
    bobs = await listed(Sieve(came="failed", guest="bob"), before=None, most=10, depth=2)
    assert (ids_of(bobs), bobs.on) == ("e2", None)
    indexed = await listed(Sieve(guest="ann"), before=None, most=10, depth=1)  # by an index: nothing to bound
    assert (ids_of(indexed), indexed.on) == ("e1", None)
    by_id = await listed(Sieve(text="e1"), before=None, most=10, depth=1)  # however long ago
    assert (ids_of(by_id), by_id.on) == ("e1", None)


async def test_a_line_says_what_is_seen_at_a_glance(listed):
    four, three, two, one = (await listed(Sieve(), before=None, most=10)).lines
    assert (one.opening, one.rating, one.late) == ("What is 17*23?", 1.0, None)
    assert (two.plan, two.mode, two.rating) == (PLAN, "Debate", 0.0)
    assert (three.opening, three.late) == (None, True)
    assert four.explored
