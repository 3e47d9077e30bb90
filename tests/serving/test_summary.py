"""Sums of requests and calls: what is added once, read by what requests have in common, and priced anew."""

from __future__ import annotations

import math

import pytest

from mar.concurrency import gather
from mar.errors import StoreUnavailable
from mar.serving.record import Called, Feedback
from mar.serving.store.places import database
from mar.serving.store.record import Stored
from mar.serving.store.summary import bucket_of
from mar.serving.store.sums import Sums, mean_cost, quantile, repriced
from mar.types import Usage
from tests.entries import entry

pytestmark = pytest.mark.anyio
DAY = 46_000  # of UTC since 1970; too far ahead to be old while this is tested
AT = DAY * 86400.0


@pytest.fixture
async def db(store_url):
    async with database(store_url, durable=False) as found:
        yield found


def used(cost=0.001, prompt=10, completion=5):
    return Usage(calls=1, prompt_tokens=prompt, completion_tokens=completion, cost_usd=cost)


async def wrote(db, *entries):
    async with Stored(db) as stored:
        for one in entries:
            stored.add(one)


async def test_requests_add_up_by_what_they_have_in_common(db):
    await wrote(
        db,
        entry("e1", at=AT, usage=used()),
        entry("e2", at=AT + 86400, usage=used(cost=None), guest="key-2"),
        entry("e3", at=AT + 86400, usage=used(cost=0.003, prompt=None), asked="a", status=502),
    )
    sums = Sums(db)
    whole = (await sums.requests(since=AT))[0]
    assert (whole.requests, whole.answered, whole.priced, whole.unpriced) == (3, 2, 2, 1)
    assert whole.cost_usd == pytest.approx(0.004)
    assert (whole.counted, whole.prompt, whole.completion) == (2, 20, 10)
    by_day = await sums.requests("day", "asked", since=AT)
    assert {one.key: one.requests for one in by_day} == {
        (str(DAY), "mar"): 1,
        (str(DAY + 1), "mar"): 1,
        (str(DAY + 1), "a"): 1,
    }
    assert [one.requests for one in await sums.requests(since=AT + 86400)] == [2]
    assert [one.requests for one in await sums.requests(since=AT, guest="key-2")] == [1]
    assert await sums.waits(AT) == {("mar", "cards", ""): {bucket_of(0.5): 2}}  # of what was answered
    assert await sums.requests(since=AT, guest="nobody") == []


async def test_a_batch_that_is_written_again_is_counted_once(db, monkeypatch):
    monkeypatch.setattr("mar.serving.store.record.PAUSE_S", 0.0)
    do, fails = db.do, [True] * 3

    async def flaky(work, **how):
        found = await do(work, **how)
        if fails:
            fails.pop()
            raise StoreUnavailable(f"lost {found}")  # it was written, and the answer was lost
        return found

    async with Stored(db) as stored:
        db.do = flaky
        stored.add(entry(at=AT, called=(Called(model="a", usage=used(), seconds=1.0),)))
    db.do = do
    assert fails == []
    assert (await Sums(db).requests(since=AT))[0].requests == 1
    assert [one.answered for one in await Sums(db).calls(AT, every_s=60)] == [1]


async def test_workers_that_write_at_once_lose_no_request(db, store_url):
    async with database(store_url, durable=False) as other:
        await gather(
            [
                lambda: wrote(db, *(entry(f"a{n}", at=AT, guest=f"k{n % 3}") for n in range(150))),
                lambda: wrote(other, *(entry(f"b{n}", at=AT, guest=f"k{2 - n % 3}") for n in range(150))),
            ]
        )
        assert {one.key[0]: one.requests for one in await Sums(db).requests("guest", since=AT)} == {
            "k0": 100,
            "k1": 100,
            "k2": 100,
        }


async def test_calls_add_up_by_model_and_minute_and_hour(db):
    calls = (
        Called(model="a", usage=used(), seconds=1.0),
        Called(model="b", usage=used(cost=None), seconds=2.0),
        Called(model="a", usage=Usage(cost_usd=0.0), seconds=0.5, failed=True),
    )
    await wrote(db, entry("e1", at=AT + 59, called=calls), entry("e2", at=AT + 60, called=calls[:1]))
    minutes = await Sums(db).calls(AT, every_s=60)
    assert [(m.at - AT, m.model, m.answered, m.failed, m.completion, m.priced, m.seconds) for m in minutes] == [
        (0, "a", 1, 1, 5, 2, 1.5),
        (0, "b", 1, 0, 5, 0, 2.0),
        (60, "a", 1, 0, 5, 1, 1.0),
    ]
    hours = await Sums(db).calls(AT, every_s=3600)
    assert [(h.at - AT, h.model, h.answered, h.cost_usd) for h in hours] == [(0, "a", 2, 0.002), (0, "b", 1, 0.0)]


async def test_a_mean_cost_has_an_interval_and_can_be_had_at_other_prices(db):
    await wrote(
        db,
        entry("e1", at=AT, usage=used(cost=0.001, prompt=1000, completion=100)),
        entry("e2", at=AT, usage=used(cost=0.003, prompt=3000, completion=100)),
    )
    (found,) = await Sums(db).requests(since=AT)
    cost = mean_cost(found)
    # Of 0.001 and 0.003 the mean is 0.002 and the standard error 0.001.
    assert (cost.mean, cost.low, cost.high) == pytest.approx((0.002, 0.002 - 0.00196, 0.002 + 0.00196), abs=1e-6)
    # At 2 USD a million read and 10 written: 0.003 and 0.007.
    again = repriced(found, 2.0, 10.0)
    assert (again.mean, again.high) == pytest.approx((0.005, 0.005 + 1.96 * 0.002), rel=1e-4)
    await wrote(db, entry("e3", at=AT, guest="alone"))
    (alone,) = await Sums(db).requests(since=AT, guest="alone")
    assert math.isnan(mean_cost(alone).mean)  # one request has no interval


async def test_what_was_said_of_answers_is_read_by_source(db):
    async with Stored(db) as stored:
        for n, rating in enumerate((0.0, 1.0, 1.0)):
            stored.add(entry(f"e{n}", at=AT))
            await stored.rate(Feedback(episode=f"e{n}", rating=rating))
        await stored.rate(Feedback(episode="e0", rating=1.0))  # on second thoughts
    found = await Sums(db).worth("asked", "kind", since=AT)
    assert [(one.key, one.n, one.total) for one in found] == [(("mar", "rating"), 3, 3.0)]
    assert await Sums(db).worth("asked", "kind", since=AT, guest="nobody") == []


def test_quantiles_come_from_buckets_each_a_quarter_longer():
    assert [bucket_of(seconds) for seconds in (0.0, 0.001, 0.00125, 0.0012, 1.0)] == [0, 0, 1, 0, 30]
    buckets = {bucket_of(1.0): 90, bucket_of(10.0): 10}
    assert quantile(buckets, 0.5) == pytest.approx(1.0, rel=0.13)
    assert quantile(buckets, 0.95) == pytest.approx(10.0, rel=0.13)
    assert quantile({}, 0.5) is None
