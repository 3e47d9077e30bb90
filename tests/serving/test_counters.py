"""What every store of limits does, whatever database it is: one set of tests for SQLite, PostgreSQL and Redis."""

from __future__ import annotations

import re
import time

import anyio
import pytest

from mar.concurrency import gather
from mar.errors import ConfigError, StoreUnavailable
from mar.serving.limits.base import MOST, Count, Paid, Settle, Short, Take, Want
from mar.serving.store.places import limits
from tests.stores import PASSWORD

pytestmark = pytest.mark.anyio
LEASE = 60.0


@pytest.fixture
async def store(limits_url):
    async with limits(limits_url) as found:
        yield found


@pytest.fixture
async def counters(store):
    await store.counters.beat("w", LEASE, enters=True)
    return store.counters


def take(name="a", kind="hold", amount=1, limit=None):
    return Take(wants=(Want(name=name, kind=kind, amount=amount, limit=limit),))


def settle(name="a", kind="hold", held=1, spent=0, uncertain=0):
    return Settle(paid=(Paid(name=name, kind=kind, held=held, spent=spent, uncertain=uncertain),))


async def standing(counters, name="a"):
    return (await counters.counts([name]))[name]


async def test_what_begins_so_is_removed_from_the_shelf_and_nothing_else(store):
    for key in (b"reply:1", b"reply:\x00*", b"reply", b"other:reply:"):
        await store.shelf.put(key, b"x", 60.0)
    await store.shelf.clear(b"reply:")
    left = [await store.shelf.get(key) for key in (b"reply:1", b"reply:\x00*", b"reply", b"other:reply:")]
    assert left == [None, None, b"x", b"x"]


async def test_what_nobody_has_used_stands_at_nothing(counters):
    assert await counters.counts(["a", "b"]) == {"a": Count(), "b": Count()}
    assert await counters.counts([]) == {}


async def test_a_take_is_made_up_to_its_limit_and_refused_beyond(counters):
    verdicts = await counters.change("w", 1, [take(amount=3, limit=10)] * 4)
    assert verdicts == [None, None, None, Short(name="a", spent=0, held=9, busy=True)]
    assert await standing(counters) == Count(held=9)


async def test_what_is_held_is_settled_at_what_it_cost(counters):
    await counters.change("w", 1, [take(amount=10, limit=10), settle(held=10, spent=4, uncertain=1)])
    assert await standing(counters) == Count(spent=4, uncertain=1)
    verdicts = await counters.change("w", 2, [take(amount=6, limit=10), take(amount=7, limit=10)])
    # 4 are spent and 6 held; 7 would not fit even if nothing were held
    assert verdicts == [None, Short(name="a", spent=4, held=6, busy=False)]


async def test_all_of_a_take_or_nothing(counters):
    both = Take(wants=(Want(name="a", kind="spend"), Want(name="b", kind="hold", amount=2, limit=1)))
    assert await counters.change("w", 1, [both]) == [Short(name="b", spent=0, held=0, busy=False)]
    assert await standing(counters, "a") == Count()


async def test_a_look_takes_nothing_and_does_not_mind_what_is_held(counters):
    await counters.change("w", 1, [take(amount=10, limit=10)])
    assert await counters.change("w", 2, [take(kind="look", limit=10)]) == [None]
    await counters.change("w", 3, [settle(held=10, spent=10)])
    assert await counters.change("w", 4, [take(kind="look", limit=10)]) == [
        Short(name="a", spent=10, held=0, busy=False)
    ]
    assert await standing(counters) == Count(spent=10)


async def test_what_is_spent_at_once_is_not_held(counters):
    assert await counters.change("w", 1, [take(kind="spend", amount=2, limit=2)]) == [None]
    assert await standing(counters) == Count(spent=2)
    assert await counters.change("w", 2, [take(kind="spend", limit=2)]) == [
        Short(name="a", spent=2, held=0, busy=False)
    ]


async def test_without_a_limit_nothing_is_refused(counters):
    assert await counters.change("w", 1, [take(amount=MOST // 2)] * 2) == [None, None]
    assert await standing(counters) == Count(held=MOST - 1)


async def test_amounts_are_exact_up_to_the_largest(counters):
    """In doubles of 14 digits, as Redis's JSON writes them, the last three of these sixteen would be lost."""
    large = 9_007_199_254_740_001
    await counters.change("w", 1, [take(amount=large, limit=MOST), settle(held=large, spent=large - 1)])
    verdicts = await counters.change("w", 2, [take(amount=992, limit=MOST)])
    assert verdicts == [Short(name="a", spent=large - 1, held=0, busy=False)]  # ...740000 + 992 = 2**53
    assert await counters.change("w", 3, [take(amount=991, limit=MOST)]) == [None]


async def test_a_batch_that_is_sent_again_is_applied_once_and_answered_as_before(counters):
    batch = [take(amount=3, limit=5), take(amount=3, limit=5)]
    first = await counters.change("w", 1, batch)
    assert await counters.change("w", 1, batch) == first
    assert await standing(counters) == Count(held=3)


async def test_whoever_never_entered_changes_nothing(counters):
    assert await counters.change("nobody", 1, [take()]) is None
    assert await counters.beat("nobody", LEASE) is None
    assert await standing(counters) == Count()


async def test_what_a_dead_worker_held_is_spent_and_its_seats_are_free(counters):
    await counters.beat("dead", 0.05, enters=True)
    await counters.change("dead", 1, [take(amount=7), take("b", "seat"), take("c", "spend", 2)])
    await anyio.sleep(0.06)
    assert await counters.beat("w", LEASE) is not None
    assert await standing(counters, "a") == Count(spent=7, uncertain=7)
    assert await standing(counters, "b") == Count()
    assert await standing(counters, "c") == Count(spent=2)
    assert await counters.beat("dead", LEASE) is None
    assert await counters.change("dead", 2, [settle(held=7, spent=1)]) is None  # too late: it stands at its worst
    assert await standing(counters, "a") == Count(spent=7, uncertain=7)


async def test_a_worker_that_gives_signs_of_life_keeps_what_it_holds(counters):
    await counters.change("w", 1, [take(amount=7)])
    for _ in range(3):
        assert await counters.beat("w", LEASE) is not None
    assert await counters.change("w", 2, [settle(held=7, spent=1)]) == [None]
    assert await standing(counters) == Count(spent=1)


async def test_what_a_worker_settled_does_not_lapse_when_it_leaves(counters):
    await counters.change("w", 1, [take(amount=7), take("b", amount=3), settle(held=7, spent=2)])
    await counters.leave("w")
    assert await standing(counters) == Count(spent=2)
    assert await standing(counters, "b") == Count(spent=3, uncertain=3)


async def test_the_time_is_the_stores_whatever_this_machines_clock_says(counters, monkeypatch):
    before = await counters.beat("w", LEASE)
    monkeypatch.setattr(time, "time", lambda: 12.0)
    after = await counters.beat("w", LEASE)
    assert 0 <= after - before < 60


async def test_ten_workers_at_once_take_exactly_what_there_is(store):
    """Every store has one instant for a batch: 10 workers x 30 takes of 1 against a limit of 50."""
    names = [f"w{i}" for i in range(10)]
    for name in names:
        await store.counters.beat(name, LEASE, enters=True)

    async def some(worker):
        found = [await store.counters.change(worker, n + 1, [take(limit=50)] * 3) for n in range(10)]
        return sum(verdict is None for verdicts in found for verdict in verdicts)

    assert sum(await gather([lambda w=w: some(w) for w in names])) == 50
    assert await standing(store.counters) == Count(held=50)


async def test_counters_named_in_any_order_by_several_workers_do_not_wait_for_each_other_for_ever(store):
    names = [f"w{i}" for i in range(6)]
    for name in names:
        await store.counters.beat(name, LEASE, enters=True)

    async def some(worker, order):
        for n in range(20):
            await store.counters.change(worker, n + 1, [take(c) for c in order])

    with anyio.fail_after(60):
        await gather([lambda w=w, i=i: some(w, "abc" if i % 2 else "cba") for i, w in enumerate(names)])
    assert await store.counters.counts("abc") == {c: Count(held=120) for c in "abc"}


async def test_a_second_opening_finds_what_the_first_left(limits_url):
    for expected in (1, 2):
        async with limits(limits_url) as found:
            await found.counters.beat(f"w{expected}", LEASE, enters=True)
            await found.counters.change(f"w{expected}", 1, [take(kind="spend")])
            assert await standing(found.counters) == Count(spent=expected)


async def test_what_lies_on_the_shelf_lies_there_for_its_time(store):
    await store.shelf.put(b"k\x00", b"\xff\x00", 60)
    assert await store.shelf.get(b"k\x00") == b"\xff\x00"
    await store.shelf.put(b"k\x00", b"other", 0.02)
    await anyio.sleep(0.05)
    assert await store.shelf.get(b"k\x00") is None
    assert await store.shelf.get(b"nothing") is None


# What cannot be used ------------------------------------------------------------------------------------------


async def test_another_kind_of_store_is_one_clear_line():
    with pytest.raises(ConfigError, match=r"^mysql://…: expected a file's path or postgresql://…$"):
        async with limits(f"mysql://u:{PASSWORD}@h/d"):
            pass


@pytest.mark.parametrize("url", [f"postgresql://mar:{PASSWORD}@127.0.0.1:9/x", f"redis://:{PASSWORD}@127.0.0.1:9/0"])
async def test_a_server_that_is_not_there_is_said_without_its_password(url):
    with pytest.raises(StoreUnavailable, match=r"^(postgresql|redis)://127\.0\.0\.1:9/") as caught:
        async with limits(url):
            pass
    assert PASSWORD not in str(caught.value)
    assert re.search(r"refused|111", str(caught.value))


async def test_limits_of_another_version_are_one_clear_line(limits_url):
    async with limits(limits_url):
        pass
    await make_newer(limits_url)
    with pytest.raises(ConfigError, match="schema version 7, expected 1"):
        async with limits(limits_url):
            pass


async def make_newer(url):
    if url.startswith("redis"):
        import redis

        with redis.Redis.from_url(url) as client:
            client.set("{mar}:schema", 7)
    elif url.startswith("postgres"):
        import psycopg

        with psycopg.connect(url) as connection:
            connection.execute("UPDATE mar_schema SET version = 7")
    else:
        import sqlite3

        with sqlite3.connect(url) as db:
            db.execute("UPDATE mar_schema SET version = 7")
        db.close()


async def test_a_file_of_something_else_is_left_alone(tmp_path):
    import sqlite3

    with sqlite3.connect(tmp_path / "x") as db:
        db.execute("CREATE TABLE vectors (key)")
    db.close()
    with pytest.raises(ConfigError, match=r"a database of something else \(it has a table vectors\)"):
        async with limits(str(tmp_path / "x")):
            pass
    (tmp_path / "y").write_text("no database, and longer than the header of one" * 10)
    with pytest.raises(ConfigError, match="expected a writable SQLite file"):
        async with limits(str(tmp_path / "y")):
            pass
