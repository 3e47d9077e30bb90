"""Rollouts in a database: one at a time, each change once and with its evidence, one who decides."""

from dataclasses import replace

import pytest

from mar.errors import ConfigError
from mar.serving.rollout.evidence import seen_of
from mar.serving.rollout.store import RolloutStore
from mar.serving.rollout.versions import Version
from mar.serving.store.database import insert
from mar.serving.store.outcomes import told
from mar.serving.store.places import database
from mar.serving.store.record import Stored
from mar.traffic.records import Outcome
from mar.traffic.rollout import Verdict
from tests.entries import entry

pytestmark = pytest.mark.anyio
GO = Verdict(step="go on", because="all is well")
NEW = Version(id="new", label="new.safetensors", weights=b"\0\1\2", cost_rate=5.0)


@pytest.fixture
async def store(store_url):
    async with database(store_url, durable=False) as db, Stored(db):
        yield await RolloutStore.open(db)


async def test_a_version_comes_back_with_its_weights(store):
    await store.start(NEW, "mar")
    assert await store.version("new") == NEW
    with pytest.raises(ConfigError, match="holds no version other"):
        await store.version("other")


async def test_one_candidate_at_a_time_is_on_its_way_to_a_controllers_place(store):
    first = await store.start(NEW, "mar")
    await store.start(NEW, "mar/thrifty")
    with pytest.raises(ConfigError, match=f"{first.id} is on its way to mar"):
        await store.start(NEW, "mar")


async def test_a_change_is_made_once_and_only_of_what_was_seen(store):
    rollout = await store.start(NEW, "mar")
    before = await store.known()
    assert await store.known(before.revision) is None
    assert await store.move(rollout, "canary", 0.1, GO)
    assert not await store.move(rollout, "canary", 0.1, GO)
    after = await store.known(before.revision)
    assert [(r.stage, r.share, r.because) for r in after.under_way] == [("canary", 0.1, "all is well")]
    assert [(e.subject, e.what) for e in await store.events()] == [(rollout.id, "canary 10%"), (rollout.id, "shadow")]


async def test_what_is_promoted_stands_for_what_the_settings_tell_and_can_be_taken_back(store):
    rollout = await store.start(NEW, "mar")
    with pytest.raises(ConfigError, match="no gateway has taken it up yet"):
        await store.move(rollout, "promoted", 1.0, GO)
    await store.take_up(rollout, told="old", base="old")
    await store.take_up(rollout, told="late", base="late")
    (seen,) = (await store.known()).under_way
    assert (seen.told, seen.base) == ("old", "old")
    assert await store.move(seen, "promoted", 1.0, GO)
    known = await store.known()
    assert known.under_way == ()
    assert (known.promoted["mar"].told, known.promoted["mar"].version) == ("old", "new")
    await store.take_back("mar", "it was a mistake")
    assert (await store.known()).promoted["mar"].version == "old"
    with pytest.raises(ConfigError, match="nothing was promoted"):
        await store.take_back("mar", "again")


async def test_one_of_all_workers_decides_and_another_one_when_it_is_gone(store):
    assert await store.lease("rollouts", "a", 100.0)
    assert not await store.lease("rollouts", "b", 100.0)
    assert await store.lease("rollouts", "a", -1.0)
    assert await store.lease("rollouts", "b", 100.0)


async def test_what_is_seen_in_canary_are_requests_of_both_versions_and_the_best_outcomes_of_each(store):
    rollout = await store.start(NEW, "mar")
    began = rollout.began
    rollout = replace(rollout, base="old", stage="canary", entered=began + 100.0, since=began + 150.0)

    def request(id, version, at, **fields):
        return entry(id, at=began + at, version=version, person=f"p{id}", keep="features", **fields)

    async with Stored(store.db) as stored:
        for one in (
            request("a", "old", 110.0),
            request("b", "new", 120.0, status=502),
            request("c", "new", 160.0),
            request("d", "new", 161.0, status=499),  # who left says nothing
            request("e", "new", 90.0),  # before
            request("f", "other", 165.0),
            request("g", "new", 170.0, explored=True),
        ):
            stored.add(one)
    said = [
        ("a", Outcome(kind="judge", value=0.0)),
        ("a", Outcome(kind="rating", value=1.0)),
        ("c", Outcome(kind="retry", value=0.0)),  # is said of bad answers alone
        ("b", Outcome(kind="rating", value=0.25)),
    ]
    await store.db.do(lambda: told(store.db, said))
    seen = await seen_of(store.db, rollout)
    assert seen.requests == 1  # c: since the share changed
    values = {m: [(r.unit[-2:], r.new, r.value) for r in readings] for m, readings in seen.readings.items()}
    assert values["failures"] == [("pa", False, 0.0), ("pb", True, 1.0), ("pc", True, 0.0)]
    assert [v[:2] for v in values["seconds"]] == [v[:2] for v in values["cost"]] == [("pa", False), ("pc", True)]
    assert sorted(values["quality"]) == [("pa", False, 1.0), ("pb", True, 0.25)]


async def test_what_is_seen_in_shadow_are_pairs_and_what_was_left_out_is_none(store):
    rollout = await store.start(NEW, "mar")

    def row(id, state, verdict=None, usd=2.0, failed=0):
        return (id, rollout.id, rollout.began + 1, state, "", "IO(a)", failed, 1.0, 0.5, usd, 0.25, verdict, "judge")

    rows = [row("a", "planned"), row("b", "carried out", 0.5), row("c", "failed"), row("d", "skipped")]

    def work():
        yield from insert("mar_shadows", rows)

    await store.db.do(work)
    seen = await seen_of(store.db, rollout)
    assert seen.requests == 3
    values = {m: [(r.new, r.value) for r in readings] for m, readings in seen.readings.items()}
    assert values == {
        "quality": [(False, 0.25), (True, 0.75)],
        "failures": [(False, 0.0), (True, 0.0), (False, 0.0), (True, 1.0)],
        "cost": [(False, 1.0), (True, 2.0)],
        "seconds": [(False, 0.5), (True, 0.25)],
    }
