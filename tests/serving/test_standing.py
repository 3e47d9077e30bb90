"""How servers stood, as several workers knew it, and which models are out."""

from __future__ import annotations

import anyio
import pytest

from mar.serving.store.places import database
from mar.serving.store.standing import Standings
from mar.serving.watch import PoolWatch
from mar.types import ModelTelemetry

pytestmark = pytest.mark.anyio


@pytest.fixture
async def standings(store_url):
    async with database(store_url, durable=False) as db:
        yield await Standings.open(db)


def seen(model="a", **figures):
    return ModelTelemetry(model=model, **figures)


async def test_of_several_workers_the_worst_is_shown_and_of_one_the_latest(standings):
    await standings.write("w1", [seen(waiting=9, running=1, circuit="open"), seen("b", stale=True)])
    await standings.write("w1", [seen(waiting=1, running=1), seen("b", stale=True)])
    await standings.write("w2", [seen(waiting=3, circuit="trial"), seen("b")])
    latest = {one.model: one for one in await standings.read(0.0)}  # a minute may have ended meanwhile
    assert (latest["a"].waiting, latest["a"].circuit) == (3, "trial")
    assert (latest["b"].waiting, latest["b"].stale, latest["b"].circuit) == (None, False, "closed")


async def test_a_model_that_is_taken_out_is_out_for_every_worker_until_it_is_taken_in(standings):
    heard = []
    watch = PoolWatch(standings, dict, heard.append)
    await standings.take_out("a", "key-1")
    await standings.take_out("a", "key-2")  # it is out already
    await watch.look()
    assert [(one.model, one.by) for one in await standings.out()] == [("a", "key-1")]
    await standings.take_in("a")
    await watch.look()
    await watch.look()
    assert heard == [frozenset({"a"}), frozenset()]


async def test_a_store_that_is_away_changes_nothing_and_is_said_once(standings, monkeypatch, caplog):
    monkeypatch.setattr("mar.serving.watch.LOOK_S", 0.001)
    looks, heard = 0, []
    known = standings.out

    async def away():
        nonlocal looks
        looks += 1
        if looks in (2, 3):
            from mar.errors import StoreUnavailable

            raise StoreUnavailable("the store: away")
        return await known()

    monkeypatch.setattr(standings, "out", away)
    await standings.take_out("a", "")
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(PoolWatch(standings, dict, heard.append).run)
            while looks < 5:  # noqa: ASYNC110 - its own loop
                await anyio.sleep(0.001)
            tasks.cancel_scope.cancel()
    assert heard == [frozenset({"a"})]
    assert caplog.text.count("away") == 1
