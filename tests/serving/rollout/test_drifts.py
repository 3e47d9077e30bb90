"""What has drifted becomes an event, once, with how soon it was noticed."""

import time

import pytest

from mar.serving.rollout.drifts import Drifts
from mar.serving.rollout.store import RolloutStore
from mar.serving.store.outcomes import told
from mar.serving.store.places import database
from mar.serving.store.record import Stored
from mar.traffic.records import Outcome
from tests.entries import entry

pytestmark = pytest.mark.anyio
PRICES = {"a": (1.0, 2.0), "b": (1.0, None)}


async def events(store):
    return sorted((e.subject, e.what) for e in await store.events())


async def test_changes_of_the_pool_are_events_once(store_url):
    said = []
    async with database(store_url, durable=False) as db, Stored(db):
        store = await RolloutStore.open(db)
        await Drifts(store, PRICES, said.append).look()
        assert await events(store) == []  # what is seen first is no news
        for _ in range(2):
            await Drifts(store, {"a": (1.0, 3.0), "c": (0.1, 0.1)}, said.append).look()
        assert await events(store) == [("a", "price"), ("b", "gone"), ("c", "new model")]
    assert sorted(said) == ["gone", "new model", "price"]


async def test_a_model_whose_answers_fall_and_one_that_fails_are_events_once(store_url):
    async with database(store_url, durable=False) as db:
        store = await RolloutStore.open(db)
        began = time.time() - 1000
        async with Stored(db) as stored:
            for n in range(300):
                stored.add(entry(f"a{n:03}", at=began + n, models=("a",)))
                stored.add(entry(f"b{n:03}", at=began + n, models=("b",), status=200 if n < 200 else 502))
        said = [(f"a{n:03}", Outcome(kind="rating", value=float(n < 150))) for n in range(300)]
        for n in range(0, 300, 50):
            await db.do(lambda n=n: told(db, said[n : n + 50]))
        drifts = Drifts(store, PRICES, lambda _: None)
        for _ in range(2):
            await drifts.look()
        assert await events(store) == [("a", "worse"), ("b", "failing")]
        assert "worth 1.00" in next(e.because for e in await store.events() if e.subject == "a")
