"""What models say about rated questions, and what is believed by it, in each kind of database."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mar.controllers.embeddings import HashEncoder
from mar.pool import ModelCard
from mar.serving.beliefs import Beliefs
from mar.serving.record import Feedback
from mar.serving.store import traffic
from mar.serving.store.database import Ask, Tell, prepare
from mar.serving.store.places import database
from mar.serving.store.record import Retention, Stored
from mar.serving.store.rows import SCHEMA, VERSION
from mar.serving.store.traffic import lately, read
from mar.traffic.records import Arm, Other, Outcome
from mar.types import Query
from tests.entries import entry

pytestmark = pytest.mark.anyio
ARMS = (Arm(name="a", probability=0.5, usd=0.001), Arm(name="b", probability=0.5))
SAID = (
    Other(model="a", said="option B", single=True, usd=0.001, seconds=0.5),
    Other(model="b", said="option B", single=True),
    Other(model="c", said="", usd=0.002, seconds=1.5, reason="ill\0 \ud83d"),
)


@pytest.fixture
async def db(store_url):
    async with database(store_url, durable=False) as found:
        yield found


@pytest.fixture
async def stored(db):
    async with Stored(db, Retention(days=None), encoder=HashEncoder(4)) as found:
        yield found


async def asked(stored, *ids, user="ann", **fields):
    for number, id in enumerate(ids):
        query = Query(text="a secret?", id="q", user_id=user, conversation_id="c")
        stored.add(entry(id, **{"at": 1.8e9 + number, "query": query, "arms": ARMS} | fields))
    while stored._waiting:
        await stored._empty.wait()


async def rows(db):
    def work():
        return (yield Ask("SELECT * FROM mar_others"))

    return await db.do(work)


async def test_it_comes_back_as_it_was_with_hashes_in_the_place_of_what_was_said(db, stored):
    await asked(stored, "e1", "e2")
    await stored.hear("e1", SAID)
    await stored.hear("e2", SAID[:1])
    await stored.hear("e1", [Other(model="a", said="option C"), Other(model="d", said="option B", single=True)])
    one, two = [logged async for logged in read(db)]
    by = {other.model: other for other in one.others}
    assert list(by) == ["a", "b", "c", "d"]
    assert by["a"].said == by["b"].said == by["d"].said != ""
    assert two.others[0].said not in ("", by["a"].said)  # what is said of one question tells nothing of another
    assert (by["a"].single, by["a"].usd, by["a"].seconds) == (True, 0.001, 0.5)
    assert (by["b"].single, by["b"].usd) == (True, None)
    assert (by["c"].said, by["c"].single, by["c"].usd, by["c"].reason) == ("", False, 0.002, "ill\ufffd ?")
    assert "option" not in repr(await rows(db))


async def test_nothing_is_kept_of_a_request_that_is_not_there_or_logs_nothing(db, stored):
    await asked(stored, "e1", keep="nothing")
    await stored.hear("e1", SAID)
    await stored.hear("e2", SAID)
    assert await rows(db) == []


async def test_rated_are_those_that_somebody_rated_and_nothing_else_was_said_of(stored):
    await asked(stored, "e1", "e2", "e3")
    for id in ("e1", "e3"):
        await stored.rate(Feedback(episode=id, rating=1.0))
    for id in ("e2", "e4"):
        await stored.tell(id, Outcome(kind="grader", value=1.0, at=1.8e9))
    await stored.tell("e4", Outcome(kind="rating", value=1.0, at=1.8e9))  # which nobody has written down
    assert await stored.rated([]) == set()
    assert await stored.rated(["e1", "e2", "e4"]) == {"e1"}
    assert await stored.rated(["e1", "e2", "e3"]) == {"e1", "e3"}


async def test_the_latest_by_what_was_asked_for_without_texts_and_embeddings(db, stored, monkeypatch):
    monkeypatch.setattr(traffic, "PAGE", 2)
    await asked(stored, "e0", at=1.7e9)
    await asked(stored, "e1", "e2", "e3")
    await asked(stored, "own", at=1.9e9, asked="mar/own", keep="features")
    await asked(stored, "by name", at=1.9e9, controller="", arms=())
    await asked(stored, "failed", at=1.9e9, status=502)
    await asked(stored, "unlogged", at=1.9e9, keep="nothing")
    await stored.hear("e2", SAID)
    await stored.rate(Feedback(episode="e2", rating=0.5))
    found = await db.look(lambda: lately(1.75e9, 3))
    assert {name: [one.id for one in log] for name, log in found.items()} == {"mar/own": ["own"], "mar": ["e3", "e2"]}
    two = found["mar"][1]
    assert [outcome.value for outcome in two.outcomes] == [0.5]
    assert [other.model for other in two.others] == ["a", "b", "c"]
    assert (two.arms, two.text, two.embedding, found["mar/own"][0].embedding) == (ARMS, None, None, None)


async def test_it_goes_with_its_request_and_with_the_features(db, stored):
    await asked(stored, "old", at=1e9)
    await asked(stored, "new", at=4e9)
    await asked(stored, "bob", at=4e9, user="bob")
    for id in ("old", "new", "bob"):
        await stored.hear(id, SAID)
    assert len(await rows(db)) == 9
    async with Stored(db, Retention(days=None, feature_days=1)) as lessening:
        await lessening._tidy()
    assert {row[0] for row in await rows(db)} == {"new", "bob"}
    await stored.forget("user", "bob")
    assert {row[0] for row in await rows(db)} == {"new"}
    await stored.forget("conversation", "c")
    assert await rows(db) == []


async def test_a_store_that_is_older_gets_the_table_and_keeps_what_it_has(db):
    await prepare(db, "requests", VERSION, SCHEMA)
    async with Stored(db) as stored:
        await asked(stored, "e1")

    def older():
        yield Tell("DROP TABLE mar_others", [()])
        yield Tell("DELETE FROM mar_schema WHERE part = 'others'", [()])

    await db.do(older)
    async with Stored(db) as stored:
        assert await stored.find("e1") is not None
        await stored.hear("e1", SAID)
    assert len(await rows(db)) == 3


async def test_a_worker_believes_what_ratings_and_others_say(db, stored, monkeypatch):
    """Of a, b and c only a is rated; b says what a says, c does not."""
    monkeypatch.setattr("mar.serving.beliefs.SINCE_S", 1e10)
    await asked(stored, *(f"e{n}" for n in range(30)), arms=(*ARMS, Arm(name="c", probability=0.0)))
    said = [replaced(other, number) for number, other in enumerate(("B", "B", "C"))]
    for n in range(30):
        await stored.rate(Feedback(episode=f"e{n}", rating=1.0))
        await stored.hear(f"e{n}", said)
    cards = {name: ModelCard(name=name) for name in "abc"}
    pool = SimpleNamespace(cards=cards, names=tuple(cards))
    beliefs = Beliefs(SimpleNamespace(pool=pool, controllers={}))
    await beliefs.look(db)
    assert beliefs.of("mar/own") is None
    found = beliefs.of("mar")
    assert found.worth["a"] > 0.8
    assert found.worth["b"] > 0.8
    assert found.worth["c"] < 0.3
    assert found.best["c"] < 0.05
    assert sum(found.best.values()) == pytest.approx(1.0)


def replaced(letter, number):
    return Other(model="abc"[number], said=f"option {letter}", single=True, usd=0.001)
