"""Requests in a database: written off the path, found by every worker, kept for their time."""

from __future__ import annotations

from dataclasses import replace

import anyio
import numpy as np
import pytest

from mar.controllers.embeddings import HashEncoder
from mar.errors import StoreUnavailable
from mar.pool import scripted_pool
from mar.runtime import Runtime
from mar.serving.keys.key import new_secret
from mar.serving.record import Feedback
from mar.serving.store.database import Ask
from mar.serving.store.deleting import deleted_again
from mar.serving.store.places import database
from mar.serving.store.record import Retention, Stored
from mar.serving.store.traffic import deletions, read
from mar.traffic.records import Arm
from mar.traffic.redaction import Redaction, Rule
from mar.types import Query, Turn
from tests.entries import entry
from tests.runtime.episodes import ASK, FREE_TOOLS, PROMPTS, plan_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def db(store_url):
    async with database(store_url, durable=False) as found:
        yield found


async def written(stored):
    while stored._waiting:
        await stored._empty.wait()


async def test_a_request_is_found_at_once_and_after_it_was_written_and_by_another_worker(db):
    one = entry()
    async with Stored(db) as here:
        here.add(one)
        assert await here.find("e1") == one
        await written(here)
        assert await here.find("e1") == one
        async with Stored(db) as there:
            assert await there.find("e1") == one
            assert await there.find("e2") is None


async def test_a_request_is_found_and_rated_while_another_worker_still_has_it_to_write(db):
    async with Stored(db) as here, Stored(db) as there:
        here.add(entry("e1"))
        await written(here)  # so the next one is written a while later
        here.add(entry("e2"))
        assert (await there.rate(Feedback(episode="e2", rating=1.0))).id == "e2"
        here.add(entry("e3"))
        assert (await there.find("e3")).id == "e3"


async def test_an_episode_with_its_plan_comes_back_as_it_was(db):
    pool = scripted_pool(lambda _: "42")
    async with pool:
        plan = plan_of("IO", 1)
        episode = await Runtime(pool, prompts=PROMPTS, tools=FREE_TOOLS).run(ASK, plan)
    query = Query(text="six times seven\0 \ud83d", id="ask/1")
    async with Stored(db) as stored:
        stored.add(entry(query=query, plan=plan, episode=episode))
    async with Stored(db) as stored:
        found = await stored.find("e1")
    assert (found.query, found.plan) == (query, plan)
    assert found.episode == episode


async def test_without_texts_nothing_that_was_said_is_kept(db, store_url):
    async with Stored(db) as stored:
        stored.add(entry(query=None, episode=None))
    async with Stored(db) as stored:
        found = await stored.find("e1")
    assert (found.query, found.episode) == (None, None)


async def test_what_piles_up_is_written_in_large_batches(db, monkeypatch):
    batches, do = 0, type(db).do

    async def counted(self, work, **how):
        nonlocal batches
        batches += 1
        return await do(self, work, **how)

    async with Stored(db) as stored:
        monkeypatch.setattr(type(db), "do", counted)
        for n in range(4096):
            stored.add(entry(f"e{n}"))
        await written(stored)
        assert await stored.find("e4095") is not None
    assert batches < 12  # 512 at a time, and what tidies up and finds


async def test_everything_that_waits_is_written_at_the_end(db):
    async with Stored(db) as stored:
        for n in range(500):
            stored.add(entry(f"e{n}"))
    async with Stored(db) as stored:
        assert await stored.find("e0") is not None
        assert await stored.find("e499") is not None
        assert stored.dropped == 0


async def test_what_was_said_of_an_answer_stays_with_it(db):
    async with Stored(db) as stored:
        stored.add(entry())
        said = Feedback(episode="e1", rating=0.5, comment="so\0 so")
        assert [(o.kind, o.value, o.note) for o in (await stored.rate(said)).outcomes] == [("rating", 0.5, "so\0 so")]
        assert await stored.rate(Feedback(episode="e2", rating=1.0)) is None
        await written(stored)
        assert [(o.value, o.note) for o in (await stored.find("e1")).outcomes] == [(0.5, "so\ufffd so")]


async def test_a_rating_is_counted_once_as_the_word_of_whoever_asked(db):
    async with Stored(db) as stored:
        stored.add(entry(query=asking()))
        for rating in (0.0, 1.0, 0.25):
            await stored.rate(Feedback(episode="e1", rating=rating))
        await written(stored)
        found = await stored.find("e1")
        assert [(o.kind, o.value, o.by) for o in found.outcomes] == [("rating", 0.25, found.person)]


async def test_what_is_said_with_a_rating_is_kept_as_texts_are(db):
    async with Stored(db, redaction=Redaction(["email"])) as stored:
        for id, keep in (("e1", "text"), ("e2", "features")):
            stored.add(entry(id, keep=keep))
            await stored.rate(Feedback(episode=id, rating=1.0, comment="ask me@example.org"))
        await written(stored)
        assert [(await stored.find(id)).outcomes[0].note for id in ("e1", "e2")] == ["ask [email]", ""]


async def test_more_than_may_wait_is_dropped_and_counted_and_nobody_waits(db, monkeypatch, caplog):
    monkeypatch.setattr("mar.serving.store.record.WAITING", 3)
    async with Stored(db) as stored:
        for n in range(5):
            stored.add(entry(f"e{n}"))
        assert stored.dropped == 2
    assert "2 requests could not be written down" in caplog.text


async def test_a_store_that_fails_is_tried_again_and_loses_nothing(db, monkeypatch):
    monkeypatch.setattr("mar.serving.store.record.PAUSE_S", 0.0)
    do, fails = db.do, [True] * 3

    async def flaky(work, **how):
        if fails:
            found = await do(work, **how)  # it was written, and the answer was lost
            fails.pop()
            raise StoreUnavailable(f"lost {found}")
        return await do(work, **how)

    async with Stored(db) as stored:
        db.do = flaky
        stored.add(entry())
        await written(stored)
        assert fails == []
        assert await stored.find("e1") == entry()


async def test_what_is_too_old_or_too_much_is_removed(db):
    async with Stored(db) as stored:
        for n in range(5):
            stored.add(entry(f"e{n}", at=4e9 + n))
        stored.add(entry("old", at=1e9))
    async with Stored(db, Retention(days=30, rows=3)) as stored:
        await stored._tidy()
        kept = [n for n in ("old", "e0", "e1", "e2", "e3", "e4") if await stored.find(n)]
    assert kept == ["e2", "e3", "e4"]


async def test_a_key_that_somebody_sends_in_a_text_is_not_kept(db, store_url):
    secret = new_secret()
    query = Query(text=f"my key is {secret}", id="q")
    async with Stored(db) as stored:
        stored.add(replace(entry(), query=query, asked=secret, reason=f"there is no {secret}"))
    async with Stored(db) as stored:
        found = await stored.find("e1")
    assert secret not in repr(found)
    assert found.query.text == "my key is sk-mar-…"


async def test_workers_write_at_once(db, store_url):
    async with database(store_url, durable=False) as other, Stored(db) as here, Stored(other) as there:
        for n in range(200):
            (here if n % 2 else there).add(entry(f"e{n}"))
        with anyio.fail_after(30):
            await written(here)
            await written(there)
        assert await here.find("e198") is not None
        assert await there.find("e199") is not None


async def ended(db, *entries, **how):
    """What a store keeps of entries."""
    async with Stored(db, **how) as stored:
        for each in entries:
            stored.add(each)
    async with Stored(db) as stored:
        return [await stored.find(each.id) for each in entries]


def asking(text="six times seven", user="ann", conversation="c", history=()):
    return Query(text=text, id="q", user_id=user, conversation_id=conversation, history=history)


async def episode_of(text):
    async with scripted_pool(lambda _: text) as pool:
        return await Runtime(pool, prompts=PROMPTS, tools=FREE_TOOLS).run(ASK, plan_of("IO", 1))


async def test_of_a_key_that_logs_nothing_neither_text_nor_user_nor_conversation_is_kept(db):
    episode = await episode_of("secret answer")
    [found] = await ended(db, entry(keep="nothing", query=asking("my secret"), episode=episode, followed=True))
    assert (found.query, found.episode, found.person, found.conversation, found.embedding) == (None,) * 5
    rows = await db.do(lambda: all_rows("mar_requests", "mar_details"))
    assert "secret" not in repr(rows)
    assert "ann" not in repr(rows)


async def test_of_a_key_that_logs_features_the_embedding_and_hashes_are_kept_and_no_text(db):
    episode = await episode_of("secret answer")
    log = entry(keep="features", query=asking("my secret"), episode=episode, followed=True)
    [found] = await ended(db, log, encoder=HashEncoder(4))
    assert (found.query, found.episode) == (None, None)
    assert np.allclose(np.frombuffer(found.embedding, "<f2"), HashEncoder(4).encode(["my secret"])[0], atol=1e-3)
    assert len(found.person) == len(found.conversation) == 24
    rows = await db.do(lambda: all_rows("mar_requests", "mar_details"))
    assert "secret" not in repr(rows)
    assert "ann" not in repr(rows)


async def test_a_user_has_the_same_hash_in_one_store_and_another_one_in_another(db, tmp_path):
    one, two = await ended(db, entry("e1", query=asking()), entry("e2", query=asking(conversation="d")))
    assert one.person == two.person
    assert one.conversation != two.conversation
    async with database(str(tmp_path / "other.sqlite"), durable=False) as other:
        [elsewhere] = await ended(other, entry(query=asking()))
    assert elsewhere.person != one.person


async def test_what_rules_name_is_blotted_out_of_questions_answers_and_reasons(db):
    episode, blots = await episode_of("it is C-1"), Redaction([Rule(name="who", pattern=r"C-\d")])
    log = entry(query=asking("who is C-1?"), episode=episode, reason="C-1 is unknown", why={"said": "C-1"})
    [found] = await ended(db, log, redaction=blots)
    assert (found.query.text, found.episode.text) == ("who is [who]?", "it is [who]")
    assert (found.reason, found.why) == ("[who] is unknown", {"said": "[who]"})
    assert "C-1" not in repr(await db.do(lambda: all_rows("mar_requests", "mar_details")))


async def test_a_text_for_which_a_rule_takes_too_long_is_not_kept(db, caplog):
    blots = Redaction([Rule(name="x", pattern=r"(?:a|aa)+$")])
    [found] = await ended(db, entry(query=asking("a" * 90 + "!")), redaction=blots)
    assert found.query is None
    assert "redaction takes more than" in caplog.text


async def test_texts_and_features_are_kept_for_their_own_times(db):
    async with Stored(db, Retention(days=None), encoder=HashEncoder(4)) as stored:
        stored.add(entry("new", at=4e9, query=asking()))
        stored.add(entry("old", at=1e9, query=asking()))
        stored.add(entry("older", at=1e9, keep="features", query=asking()))
    async with Stored(db, Retention(days=None, text_days=1)) as stored:
        await stored._tidy()
        assert [(await stored.find(n)).keep for n in ("new", "old", "older")] == ["text", "features", "features"]
        assert (await stored.find("old")).query is None
        assert (await stored.find("new")).query is not None
    async with Stored(db, Retention(days=None, feature_days=1)) as stored:
        await stored._tidy()
        old = await stored.find("older")
        assert (old.keep, old.person, old.conversation, old.embedding) == ("nothing", None, None, None)


T = 1.8e9


async def followed_by(db, first, *later):
    """What is known of a first answer after others."""
    async with Stored(db) as stored:
        stored.add(first)
        await written(stored)
        for each in later:
            stored.add(each)
        await written(stored)
        return [(o.kind, o.value) for o in (await stored.find(first.id)).outcomes]


def turn(id, at, text="how much?", answer=None, history=(), **fields):
    query = asking(text, history=history)
    return entry(id, at=at, query=query, episode=answer, followed=True, **fields)


async def test_the_same_question_again_in_the_same_place_says_that_the_answer_did_not_do(db):
    answer = await episode_of("42")
    assert await followed_by(db, turn("e1", T, answer=answer), turn("e2", T + 60)) == [("retry", 0.0)]


async def test_an_hour_later_elsewhere_or_of_another_key_the_same_question_is_a_new_one(db):
    answer = await episode_of("42")
    later = [
        turn("e2", T + 4000),
        turn("e3", T + 60, guest="key-2"),
        replace(turn("e4", T + 60), query=asking("how much?", conversation="d")),
        replace(turn("e5", T + 60), followed=False),
    ]
    assert await followed_by(db, turn("e1", T, answer=answer), *later) == []


async def test_who_goes_on_with_another_text_has_changed_the_answer(db):
    answer = await episode_of("42")
    kept, changed = (Turn(query="how much?", answer=text) for text in ("42", "43"))
    assert await followed_by(db, turn("e1", T, answer=answer), turn("e2", T + 9, "why?", history=(kept,))) == []
    later = turn("e3", T + 19, "why?", history=(changed,))
    assert await followed_by(db, turn("e0", T + 10, answer=answer), later) == [("edit", 0.0)]


@pytest.mark.parametrize("as_hash", [False, True], ids=["by name", "by hash"])
@pytest.mark.parametrize("what", ["user", "conversation"])
async def test_who_is_deleted_is_in_no_table_and_what_is_trained_on_the_log_is_told(db, store_url, what, as_hash):
    async with Stored(db, Retention(days=None)) as stored:
        stored.add(entry("e1", at=1.7e9, query=asking("a secret of ann's")))
        stored.add(entry("e2", at=1.7e9, query=asking(user="bob", conversation="d")))
        await written(stored)
        await stored.rate(Feedback(episode="e1", rating=0.0, comment="bad"))
        before = [logged async for logged in read(db)]
        gone = await stored.find("e1")
        name = {"user": "ann", "conversation": "c"}[what]
        hashed = {"user": gone.person, "conversation": gone.conversation}[what]
        assert await stored.forget(what, hashed if as_hash else name) == 1
        assert await stored.find("e1") is None
        assert await stored.find("e2") is not None
        left = await db.do(lambda: all_rows("mar_requests", "mar_details", "mar_outcomes"))
        assert "secret" not in repr(left)
        assert gone.person not in repr(left)
        noted = await deletions(store_url)
        assert [any(note.covers(logged) for note in noted) for logged in before] == [True, False]


async def test_what_was_under_way_while_it_was_deleted_is_removed_when_it_is_written(db):
    async with Stored(db, Retention(days=None)) as stored:
        assert await stored.forget("user", "ann") == 0
        stored.add(entry("e1", at=1.7e9, query=asking()))
        stored.add(entry("e2", at=4e9, query=asking()))
        await written(stored)
        await db.do(lambda: deleted_again(db))
        assert await stored.find("e1") is None
        assert await stored.find("e2") is not None, "what came later is not meant"


async def test_the_log_is_read_in_order_and_by_pages(db, monkeypatch):
    monkeypatch.setattr("mar.serving.store.traffic.PAGE", 2)
    answer = await episode_of("42")
    arms = (Arm(name="a", probability=0.75, usd=0.001), Arm(name="b", probability=0.25))
    async with Stored(db) as stored:
        for n in range(5):
            stored.add(turn(f"e{n}", T + n // 2, answer=answer, arms=arms, version="v", explored=True))
        stored.add(entry("none", at=T, keep="nothing", query=asking()))
        await written(stored)
        await stored.rate(Feedback(episode="e3", rating=0.5, comment="so"))
    log = [logged async for logged in read(db)]
    assert [one.id for one in log] == ["e0", "e1", "e2", "e3", "e4"]
    assert [one.id async for one in read(db, since=T + 1)] == ["e2", "e3", "e4"]
    one = log[3]
    assert (one.text, one.answer, one.arms, one.version, one.explored) == ("how much?", "42", arms, "v", True)
    assert [(o.kind, o.value, o.by, o.note) for o in one.outcomes if o.kind == "rating"] == [
        ("rating", 0.5, one.user, "so")
    ]
    assert one.probabilities == {"a": 0.75, "b": 0.25}


def all_rows(one, *more):
    return (yield Ask(f"SELECT * FROM {one}")) + ((yield from all_rows(*more)) if more else [])
