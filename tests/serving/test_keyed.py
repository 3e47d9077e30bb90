"""Budgets, rates and seats of virtual keys: exact over workers, tries and the ends of months."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from mar.concurrency import gather
from mar.errors import LimitReached, StoreUnavailable
from mar.runtime import Ledger
from mar.serving.errors import Refusal
from mar.serving.keys.admission import Keyed
from mar.serving.keys.key import Terms
from mar.serving.keys.ring import KeyRing
from mar.serving.limits.calendar import Names
from mar.serving.limits.teller import Teller
from mar.serving.money import NANO
from mar.serving.store.keys import KeyStore
from mar.serving.store.places import database, limits
from mar.types import Usage

pytestmark = pytest.mark.anyio
CENT = 0.01
ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def opened(limits_url, **terms):
    """An admission with one key of such terms; gives it, the key's secret, and the teller."""
    async with database(":memory:", durable=False) as db, limits(limits_url) as found, Teller(found.counters) as teller:
        store = await KeyStore.open(db)
        _, secret = await store.create("app", Terms(**terms))
        async with KeyRing(store) as keys:
            yield Keyed(keys, teller), secret, teller


async def ask(admission, secret, *, cost=CENT, worst=CENT, seconds=0.0, tokens=10, used=None):
    """One request of one try: "ok", or the code of its refusal."""
    try:
        async with admission.visit(secret, tokens=tokens) as visit:
            async with visit.purse.hold(worst, "m") as one:
                await anyio.sleep(seconds)
                one.usage = Usage(calls=1, cost_usd=cost)
            visit.usage = Usage(prompt_tokens=used if used is not None else tokens)
    except LimitReached:
        return "money"
    except Refusal as refusal:
        return refusal.code
    return "ok"


async def spent(teller, key, period="total"):
    await settled(teller)
    name = Names(key=key, now=teller.now()).money(period)
    return (await teller.counters.counts([name]))[name]


async def settled(teller):
    """Until everything that waits has gone to the store: a take goes after it."""
    from mar.serving.limits.base import Take, Want

    await teller.take(Take(wants=(Want(name="x", kind="look"),)))


def key_of(admission, secret):
    return admission._keys.find(secret).id


async def test_of_200_requests_at_once_against_a_budget_for_50_exactly_50_are_served(limits_url):
    async with opened(limits_url, usd_total=0.5) as (admission, secret, teller):
        done = await gather([lambda: ask(admission, secret) for _ in range(200)])
        assert done.count("ok") == 50
        assert set(done) <= {"ok", "money", "insufficient_quota"}
        count = await spent(teller, key_of(admission, secret))
        assert (count.spent, count.held, count.uncertain) == (NANO // 2, 0, 0)


async def test_tries_that_cost_less_than_the_worst_wait_for_each_other_and_use_the_budget_up(limits_url):
    """Two fit at once at their worst of 4 cents; each costs 1, so that 10 cents are enough for 7 and not for 8: at 7
    cents spent another one might cost 4, which is 11."""
    async with opened(limits_url, usd_day=0.10) as (admission, secret, teller):
        done = await gather([lambda: ask(admission, secret, worst=4 * CENT) for _ in range(20)])
        assert done.count("ok") == 7
        assert (await spent(teller, key_of(admission, secret), "day")).spent == 7 * NANO // 100


async def test_a_budget_that_is_spent_is_refused_before_anything_is_planned(limits_url):
    async with opened(limits_url, usd_month=0.01) as (admission, secret, teller):
        assert await ask(admission, secret) == "ok"
        await settled(teller)
        with pytest.raises(Refusal, match=r"budget \(month\) of 0\.01 USD is spent \(0\.010000\)") as caught:
            async with admission.visit(secret, tokens=1):
                pass
        assert (caught.value.status, caught.value.code) == (402, "insufficient_quota")
        assert 0 < caught.value.retry_after_s <= 31 * 86400


async def test_a_try_that_could_overrun_is_refused_to_the_cent(limits_url):
    async with opened(limits_url, usd_total=0.03) as (admission, secret, _):
        assert await ask(admission, secret, worst=0.030000001, cost=CENT) == "money"
        assert await ask(admission, secret, worst=0.03, cost=0.03) == "ok"
        assert await ask(admission, secret, worst=1e-9, cost=1e-9) == "insufficient_quota"


async def test_the_limit_holds_within_an_episode_of_several_calls(limits_url):
    async with (
        opened(limits_url, usd_total=0.05) as (admission, secret, teller),
        admission.visit(secret, tokens=1) as v,
    ):
        episode, made = Ledger(of="the episode", within=v.purse), 0

        async def calls():
            nonlocal made
            while True:
                async with episode.hold(2 * CENT, "m") as one:
                    one.usage = Usage(cost_usd=2 * CENT if made < 1 else CENT)
                    made += 1

        with pytest.raises(LimitReached, match=r"the key's budget \(total\) is 0\.05 USD; 0\.040000 are spent"):
            await calls()
        assert made == 3  # 2 + 1 + 1 are spent; another one could cost 2
        assert (await spent(teller, v.guest)).spent == 4 * NANO // 100


async def test_a_try_whose_cost_nobody_stated_is_booked_at_its_worst_and_one_that_was_free_at_nothing(limits_url):
    async with opened(limits_url, usd_total=1.0) as (admission, secret, teller):
        async with admission.visit(secret, tokens=1) as visit:
            with pytest.raises(RuntimeError):
                async with visit.purse.hold(0.25, "m"):
                    raise RuntimeError("the connection broke")
            async with visit.purse.hold(0.25, "m") as one:
                one.usage = Usage(cost_usd=0.0)
        count = await spent(teller, visit.guest)
        assert (count.spent, count.uncertain, count.held) == (NANO // 4, NANO // 4, 0)


async def test_a_model_without_a_price_is_refused_where_there_is_a_budget(limits_url):
    async with opened(limits_url, usd_total=1.0) as (admission, secret, _):
        assert await ask(admission, secret, worst=None) == "money"
    async with opened(limits_url) as (admission, secret, _):
        assert await ask(admission, secret, worst=None, cost=None) == "ok"


async def test_a_request_that_is_cancelled_while_it_asks_for_money_holds_none(limits_url):
    async with opened(limits_url, usd_total=0.01) as (admission, secret, teller):
        async with admission.visit(secret, tokens=1) as visit, anyio.create_task_group() as tasks:
            started = anyio.Event()

            async def hold():
                started.set()
                async with visit.purse.hold(CENT, "m"):
                    await anyio.sleep_forever()

            tasks.start_soon(hold)
            await started.wait()
            tasks.cancel_scope.cancel()
        count = await spent(teller, visit.guest)
        assert count.held == 0
        assert count.spent in (0, NANO // 100)  # it may have been under way


# Rates and seats ------------------------------------------------------------------------------------------------


async def test_so_many_requests_a_minute_and_the_next_minute_as_many_again(limits_url, monkeypatch):
    async with opened(limits_url, requests_per_minute=3) as (admission, secret, teller):
        at(monkeypatch, teller, "2026-11-27T10:00:20")
        done = [await ask(admission, secret) for _ in range(5)]
        assert done == ["ok"] * 3 + ["rate_limit_exceeded"] * 2
        with pytest.raises(Refusal) as caught:
            async with admission.visit(secret, tokens=1):
                pass
        assert (caught.value.status, caught.value.retry_after_s) == (429, 40.0)
        at(monkeypatch, teller, "2026-11-27T10:01:00")
        assert await ask(admission, secret) == "ok"


async def test_tokens_are_counted_at_the_estimate_and_corrected_by_what_was_used(limits_url, monkeypatch):
    async with opened(limits_url, tokens_per_minute=100) as (admission, secret, teller):
        at(monkeypatch, teller, "2026-11-27T10:00:20")
        assert await ask(admission, secret, tokens=90, used=10) == "ok"
        assert await ask(admission, secret, tokens=90, used=95) == "ok"  # 10 + 90
        with pytest.raises(Refusal, match=r"may use 100 tokens a minute; 105 are used, this request has 1$"):
            async with admission.visit(secret, tokens=1):
                pass


async def test_so_many_requests_at_once_and_a_seat_is_free_when_one_ends_however_it_does(limits_url):
    async with opened(limits_url, at_once=1) as (admission, secret, _):

        async def broken():
            async with admission.visit(secret, tokens=1):
                assert await ask(admission, secret) == "too_many_at_once"
                raise RuntimeError

        with pytest.raises(RuntimeError):
            await broken()
        assert await ask(admission, secret) == "ok"


async def test_a_refused_request_takes_nothing(limits_url, monkeypatch):
    async with opened(limits_url, at_once=5, requests_per_minute=1) as (admission, secret, teller):
        at(monkeypatch, teller, "2026-11-27T10:00:20")
        assert [await ask(admission, secret) for _ in range(3)] == ["ok"] + ["rate_limit_exceeded"] * 2
        await settled(teller)
        name = f"at-once/{key_of(admission, secret)}"
        assert (await teller.counters.counts([name]))[name].held == 0


# Days and months -------------------------------------------------------------------------------------------------


def at(monkeypatch, teller, text):
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    monkeypatch.setattr(teller, "now", lambda: moment)


async def test_a_day_ends_at_midnight_of_utc_and_a_month_with_its_last_day(limits_url, monkeypatch):
    async with opened(limits_url, usd_day=0.01, usd_month=0.02) as (admission, secret, teller):
        at(monkeypatch, teller, "2026-11-29T23:59:59.9")
        assert [await ask(admission, secret) for _ in range(2)] == ["ok", "insufficient_quota"]
        at(monkeypatch, teller, "2026-11-30T00:00:00")
        assert await ask(admission, secret) == "ok"
        at(monkeypatch, teller, "2026-11-30T23:59:59.9")
        with pytest.raises(Refusal, match=r"budget \(day\)") as caught:
            async with admission.visit(secret, tokens=1):
                pass
        assert caught.value.retry_after_s == pytest.approx(0.1, abs=1e-3)
        at(monkeypatch, teller, "2026-12-01T00:00:00")
        assert await ask(admission, secret) == "ok"


async def test_a_try_belongs_to_the_day_on_which_it_began(limits_url, monkeypatch):
    async with opened(limits_url, usd_day=0.01) as (admission, secret, teller):
        at(monkeypatch, teller, "2026-12-31T23:59:59")
        async with admission.visit(secret, tokens=1) as visit, visit.purse.hold(CENT, "m") as one:
            at(monkeypatch, teller, "2027-01-01T00:00:01")
            one.usage = Usage(cost_usd=CENT)
        assert (await spent(teller, visit.guest, "day")).spent == 0
        at(monkeypatch, teller, "2026-12-31T23:59:59")
        for period in ("day", "month", "total"):
            assert (await spent(teller, visit.guest, period)).spent == NANO // 100


# Several processes -----------------------------------------------------------------------------------------------

WORKER = """
import json, sys, anyio
sys.path.insert(0, {root!r})
from tests.serving_worker import main
anyio.run(main, *json.loads(sys.argv[1]), backend="asyncio")
"""


def worker(keys, limits_url, secret, requests, *, hang=False):
    words = json.dumps([keys, limits_url, secret, requests, hang])
    return subprocess.Popen(
        [sys.executable, "-c", WORKER.format(root=str(ROOT)), words], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


async def key_file(path, **terms):
    async with database(str(path), durable=True) as db:
        return await (await KeyStore.open(db)).create("app", Terms(**terms))


async def test_three_processes_serve_exactly_what_one_budget_is_enough_for(limits_url, tmp_path):
    key, secret = await key_file(tmp_path / "keys.sqlite", usd_total=0.5)
    processes = [worker(str(tmp_path / "keys.sqlite"), limits_url, secret, 70) for _ in range(3)]
    served = [int((await anyio.to_thread.run_sync(p.communicate))[0].split()[-1]) for p in processes]
    assert sum(served) == 50
    async with limits(limits_url) as found:
        name = f"usd/{key.id}/total"
        count = (await found.counters.counts([name]))[name]
    assert (count.spent, count.held, count.uncertain) == (NANO // 2, 0, 0)


async def test_what_a_killed_worker_holds_is_booked_at_its_worst_and_its_seats_are_free(limits_url, tmp_path):
    """Its three requests, of 10 cents at the most each, are under way when it is killed; 20 cents are left of 50."""
    key, secret = await key_file(tmp_path / "keys.sqlite", usd_total=0.5, at_once=3)
    async with (
        database(str(tmp_path / "keys.sqlite"), durable=True) as db,
        limits(limits_url) as found,
        Teller(found.counters) as teller,
        KeyRing(await KeyStore.open(db)) as keys,
    ):
        admission = Keyed(keys, teller)
        killed = worker(str(tmp_path / "keys.sqlite"), limits_url, secret, 3, hang=True)
        assert await anyio.to_thread.run_sync(killed.stdout.readline) == "all under way\n"
        os.kill(killed.pid, signal.SIGKILL)
        assert await ask(admission, secret) == "too_many_at_once"
        killed.communicate()
        with anyio.fail_after(30):
            while await ask(admission, secret, worst=0.1, cost=0.1) == "too_many_at_once":
                await found.counters.beat(teller.worker, 20.0)
                await anyio.sleep(0.02)
        count = await spent(teller, key.id)
        assert (count.spent, count.uncertain, count.held) == (4 * NANO // 10, 3 * NANO // 10, 0)
        assert [await ask(admission, secret, worst=0.1, cost=0.1) for _ in range(2)] == ["ok", "insufficient_quota"]


# A store that gives no answer -----------------------------------------------------------------------------------


class Failing:
    """A store that fails for a while, before or after it has done what it was asked."""

    def __init__(self, counters, *, before=0, after=0):
        self._counters, self._before, self._after = counters, before, after

    async def change(self, worker, number, changes):
        if self._before:
            self._before -= 1
            raise StoreUnavailable("down")
        found = await self._counters.change(worker, number, changes)
        if self._after:
            self._after -= 1
            raise StoreUnavailable("down")
        return found

    def __getattr__(self, name):
        return getattr(self._counters, name)


async def test_a_batch_whose_answer_was_lost_is_not_applied_twice(limits_url, monkeypatch):
    monkeypatch.setattr("mar.serving.limits.teller.PAUSE_S", 0.0)
    async with opened(limits_url, usd_total=0.02) as (admission, secret, teller):
        teller.counters = Failing(teller.counters, before=2, after=3)
        assert await ask(admission, secret) == "ok"
        assert (await spent(teller, key_of(admission, secret))).spent == NANO // 100


async def test_a_store_that_stays_away_is_an_error_and_what_was_held_lapses(limits_url, monkeypatch):
    monkeypatch.setattr("mar.serving.limits.teller.PAUSE_S", 0.0)
    monkeypatch.setattr("mar.serving.limits.teller.PATIENCE_S", 0.0)
    async with opened(limits_url, usd_total=1.0) as (admission, secret, teller):
        before = teller.worker
        whole = teller.counters
        teller.counters = Failing(whole, after=2)
        with pytest.raises(Refusal) as caught:
            async with admission.visit(secret, tokens=1):
                pass
        assert (caught.value.status, caught.value.code) == (503, "unavailable")
        teller.counters = whole
        assert await ask(admission, secret) == "ok"
        assert teller.worker != before


async def test_a_worker_that_was_taken_for_dead_goes_on_under_another_name(limits_url):
    async with opened(limits_url, usd_total=1.0) as (admission, secret, teller):
        async with admission.visit(secret, tokens=1) as visit, visit.purse.hold(0.25, "m") as one:
            before = teller.worker
            await teller.counters.leave(before)
            assert await ask(admission, secret) == "ok"
            assert teller.worker != before
            one.usage = Usage(cost_usd=CENT)  # too late: it has lapsed at its worst
        count = await spent(teller, visit.guest)
        assert (count.spent, count.uncertain, count.held) == (NANO // 4 + NANO // 100, NANO // 4, 0)
