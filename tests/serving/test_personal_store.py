"""What users of a personal controller say, in a file and in PostgreSQL: one behaviour, known to every worker."""

from __future__ import annotations

import time
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from mar.cli.log import delete_command
from mar.controllers.embeddings import HashEncoder
from mar.controllers.gmt import GmtRouter, InteractionStore
from mar.errors import DataError, StoreUnavailable
from mar.pool import scripted_pool
from mar.serving import forgetting
from mar.serving.keeping import Keeper
from mar.serving.state import Places, State
from mar.serving.store.places import interactions
from mar.traffic.redaction import Redaction
from tests.asking import HI, served

pytestmark = pytest.mark.anyio


def opened(place):
    return interactions(place, simulated=False) or InteractionStore(Path(place).with_name("said.sqlite"))


@pytest.fixture
def kept(store_url):
    store = opened(store_url)
    yield store
    store.close()


def said(store, user="ann", turn=0, query="q", rating=None, model="m0", conversation="c", created=None):
    number = store.record(
        user,
        conversation=conversation,
        turn=turn,
        model=model,
        opening="q",
        query=query,
        response="answer \0 of a model",
        episode=f"ep_{turn}",
        created=created,
    )
    if rating is not None:
        store.rate(number, rating)
    return number


async def test_what_is_said_is_read_by_another_worker_only_as_far_as_it_is_new(kept, store_url):
    other = opened(store_url)
    said(kept, rating=0.5)
    revision = other.standing("ann").revision
    said(kept, turn=1, query="more", rating=1.0)
    assert [(i.turn, i.rating) for i in other.since("ann", revision)] == [(1, 1.0)]
    assert [i.response for i in other.since("ann", 0)] == ["answer \ufffd of a model"] * 2
    assert (other.rated("ann"), other.users(), other.last_of("ann", "c").turn) == (2, ["ann"], 1)
    assert other.standing("bob").revision == 0
    other.close()


async def test_an_answer_is_found_by_its_episode_and_the_same_again_replaces_it(kept):
    first = said(kept, rating=1.0)
    assert kept.said("ep_0") == first
    assert kept.said("ep_1") is None
    assert said(kept) == first
    assert kept.rated("ann") == 0  # another answer is not rated yet


async def test_changes_together_are_one_and_one_that_fails_leaves_the_others(kept):
    with kept.together():
        first = said(kept)
        with pytest.raises(DataError, match="expected 0 to 1"):
            kept.rate(first, 2.0)
        with pytest.raises(DataError, match="no interaction"):
            kept.rate(first + 1000, 1.0)
        said(kept, turn=1, query="more")
    with pytest.raises(DataError), kept.together():
        undone(kept)
    assert [i.query for i in kept.since("ann", 0)] == ["q", "more"]


def undone(store):
    said(store, turn=2, query="never")
    raise DataError("whatever goes wrong meanwhile")


async def test_whoever_is_forgotten_and_comes_back_is_somebody_new(kept):
    said(kept, rating=1.0)
    before = kept.standing("ann").incarnation
    assert kept.forget("ann") == 1
    assert kept.users() == []
    said(kept)
    assert kept.standing("ann").incarnation not in ("", before)


async def test_a_deletion_that_comes_late_leaves_what_was_asked_since(kept):
    for turn, created in enumerate((1.0, 3.0)):
        said(kept, turn=turn, query=f"at {created}", created=created)
        said(kept, user="bob", conversation="d", turn=turn, query=f"at {created}", created=created)
    kept.set_margin("ann", 0.3)
    before = [kept.standing(user) for user in ("ann", "bob")]
    assert (kept.forget("ann", before=2.0), kept.forget_conversation("d", before=2.0)) == (1, 1)
    assert [[i.query for i in kept.since(user, 0)] for user in ("ann", "bob")] == [["at 3.0"]] * 2
    after = [kept.standing(user) for user in ("ann", "bob")]
    assert all(a.incarnation != b.incarnation for a, b in zip(before, after, strict=True))
    assert after[0].margin != 0.3  # it may be from before
    assert kept.forget("ann", before=2.0) == 0
    assert kept.standing("ann") == after[0]  # it is nobody new once more


async def test_whoever_is_deleted_by_command_is_deleted_there_too_by_name_and_by_hash(kept, store_url, tmp_path):
    for user, conversation in (("ann", "c"), ("ann", "d"), ("bob", "e"), ("cid", "f")):
        kept.record(user, conversation=conversation, turn=0, model="m", opening="q", query="q", response="a")
    async with State(Places(store=store_url)) as state:
        hashed = Keeper(secret=state._kept.secret, redaction=Redaction()).user("bob")

    def delete(**whom):
        told = {"user": None, "conversation": None, "limits": None, "interactions": None, **whom}
        if isinstance(kept, InteractionStore):
            told["interactions"] = kept.path
        delete_command(store=store_url, **told)

    await anyio.to_thread.run_sync(lambda: delete(conversation="c"))
    assert (kept.users(), kept.conversations()) == (["ann", "bob", "cid"], ["d", "e", "f"])
    await anyio.to_thread.run_sync(lambda: delete(user="ann"))
    await anyio.to_thread.run_sync(lambda: delete(user=hashed))
    assert (kept.users(), kept.conversations()) == (["cid"], ["f"])


async def test_what_reaches_a_store_after_its_user_was_deleted_elsewhere_is_deleted_there(kept, store_url, monkeypatch):
    """Another worker's deletion, which this one hears of, while it was still about to write an answer down."""
    monkeypatch.setattr(forgetting, "EVERY_S", 0.02)
    dropped = []
    monkeypatch.setattr(forgetting, "forget_all", lambda: dropped.append(True))
    router, places = {"mar/own": GmtRouter(kept, HashEncoder(8), exploration="none")}, Places(store=store_url)
    async with served(scripted_pool(lambda _: "x"), router, state=State(places)), State(places) as other:
        await anyio.sleep(0.2)  # what was deleted before it started is not deleted again
        asked = time.time() - 1
        await other.forget("user", "ann")
        said(kept, created=asked)
        with anyio.fail_after(60):
            while kept.users():  # noqa: ASYNC110 - of another task
                await anyio.sleep(0.02)
        said(kept)
        await anyio.sleep(0.2)
        assert kept.users() == ["ann"]  # who comes back is somebody new
    assert dropped == [True]


async def test_what_nobody_really_answered_lies_apart(own_postgres):
    real, made_up = (interactions(own_postgres, simulated=s) for s in (False, True))
    said(made_up)
    assert (real.users(), made_up.users()) == ([], ["ann"])
    real.close()
    made_up.close()


async def test_a_database_that_is_not_there_is_one_line_without_its_password():
    with pytest.raises(StoreUnavailable) as refused:
        interactions("postgresql://me:secret-9@127.0.0.1:1/x", simulated=False)
    assert "secret-9" not in str(refused.value)
    assert "127.0.0.1:1/x" in str(refused.value)


async def test_a_rating_given_to_one_worker_moves_the_choice_of_the_other(store_url):
    """m answers are alike until ann likes b's, given to the first worker and rated through the second."""
    stores = [opened(store_url) for _ in range(2)]
    routers = [{"mar/own": GmtRouter(store, HashEncoder(8), exploration="none")} for store in stores]
    pool, places = scripted_pool(lambda _: "x"), Places(store=store_url)
    async with (
        served(pool, routers[0], state=State(places)) as one,
        served(pool, routers[1], state=State(places)) as two,
    ):
        first = await one.post(model="mar/own", messages=HI, user="ann", mar={"allow": ["b"]})
        id = first.headers["x-mar-episode"]
        with anyio.fail_after(60):
            while (await two.post("/v1/feedback", episode=id, thumb="up")).status_code != 200:  # noqa: ASYNC110
                await anyio.sleep(0.02)  # until the first has written it down
            while not stores[0].rated("ann"):  # noqa: ASYNC110
                await anyio.sleep(0.02)
        after = [(await one.post(model="mar/own", messages=HI, user=u, temperature=0.5)) for u in ("ann", "bob")]
    assert [reply.headers["x-mar-models"] for reply in after] == ["b", "a"]
    for store in stores:
        store.close()


async def test_while_the_store_gives_no_answer_the_cards_decide(own_postgres):
    store = interactions(own_postgres, simulated=False)
    store.close()
    router = {"mar/own": GmtRouter(store, HashEncoder(8))}
    async with served(scripted_pool(lambda _: "x"), router) as gateway:
        reply = await gateway.post(model="mar/own", messages=HI, user="ann", mar={"explain": True})
    assert reply.status_code == 200
    assert "GMT router does not decide" in str(reply.json()["mar"]["why"])
