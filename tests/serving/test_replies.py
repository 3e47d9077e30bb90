"""Answers given before, over workers: to the same key, for a while, to others only where that was said."""

from __future__ import annotations

import pytest

from mar.errors import StoreUnavailable
from mar.pool import CachedModel, ModelCard, Pool, ScriptedModel
from mar.serving.keys.key import Terms
from mar.serving.replies import ShelfReplies
from mar.serving.state import Places, State, key_store
from mar.types import ChatReply, ChatRequest, Message
from tests.asking import HI, served

pytestmark = pytest.mark.anyio
CARD = ModelCard(name="a", price_in=0.0, price_out=1.0, max_output_tokens=10, context_tokens=1000)


class Counting:
    """A model whose answers are numbered."""

    def __init__(self) -> None:
        self.asked = 0

    def pool(self):
        def answer(_):
            self.asked += 1
            return f"answer {self.asked}"

        return Pool([CARD], ScriptedModel(answer), kind="scripted")


async def said(gateway, secret=None, **body):
    headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
    reply = await gateway.http.post(
        "/v1/chat/completions", json={"model": "a", "messages": HI, **body}, headers=headers
    )
    assert reply.status_code == 200, reply.text
    return reply.headers.get("x-mar-cache"), reply.json()["choices"][0]["message"]["content"]


async def two_keys(store):
    async with key_store(store) as keys:
        return [(await keys.create(name, Terms()))[1] for name in ("one", "other")]


async def test_what_one_worker_was_answered_the_other_gives_again_whatever_the_store_of_limits(tmp_path, limits_url):
    models, places = (Counting(), Counting()), Places(store=str(tmp_path / "g.sqlite"), limits=limits_url)
    cache = {"seconds": 60.0}
    async with (
        served(models[0].pool(), state=State(places), cache=cache) as one,
        served(models[1].pool(), state=State(places), cache=cache) as two,
    ):
        assert await said(one) == ("miss", "answer 1")
        assert await said(two) == ("hit", "answer 1")
        assert await said(two, temperature=0.5) == ("miss", "answer 1")  # the other model's first
    assert [model.asked for model in models] == [1, 1]


async def test_one_keys_answers_are_given_to_no_other_unless_they_are_shared(tmp_path):
    store = str(tmp_path / "g.sqlite")
    one, other = await two_keys(store)
    model = Counting()
    async with served(model.pool(), state=State(Places(store=store)), cache={"seconds": 60.0}) as gateway:
        assert await said(gateway, one) == ("miss", "answer 1")
        assert await said(gateway, other) == ("miss", "answer 2")
        assert await said(gateway, one) == ("hit", "answer 1")
    shared = {"seconds": 60.0, "shared": True}
    async with served(model.pool(), state=State(Places(store=store)), cache=shared) as gateway:
        assert await said(gateway, one) == ("miss", "answer 3")  # what was kept for a key alone stays its own
        assert await said(gateway, other) == ("hit", "answer 3")


async def test_an_answer_given_again_costs_the_key_nothing(tmp_path):
    """10 tokens at 1 USD per million: the budget of .00001 USD is enough for one answer."""
    store = str(tmp_path / "g.sqlite")
    async with key_store(store) as keys:
        _, secret = await keys.create("app", Terms(usd_total=0.000015))
    async with served(Counting().pool(), state=State(Places(store=store)), cache={"seconds": 60.0}) as gateway:
        assert [(await said(gateway, secret))[0] for _ in range(3)] == ["miss", "hit", "hit"]


async def test_without_seconds_nothing_is_given_again(tmp_path):
    async with served(Counting().pool(), state=State(Places(store=str(tmp_path / "g.sqlite")))) as gateway:
        assert [await said(gateway) for _ in range(2)] == [(None, "answer 1"), (None, "answer 2")]


class Shelved:
    """A shelf of a dictionary, that remembers for how long things lie there."""

    def __init__(self) -> None:
        self.there: dict[bytes, bytes] = {}
        self.lives: list[float] = []
        self.away = False

    async def get(self, key):
        if self.away:
            raise StoreUnavailable("the store gives no answer")
        return self.there.get(key)

    async def put(self, key, value, ttl_s):
        if self.away:
            raise StoreUnavailable("the store gives no answer")
        self.there[key] = value
        self.lives.append(ttl_s)


async def test_a_reply_lies_there_for_its_seconds_and_too_long_ones_do_not():
    shelf = Shelved()
    replies = ShelfReplies(lambda: shelf, 30.0)
    await replies.put(b"k", ChatReply(text="short", model="a"))
    await replies.put(b"long", ChatReply(text="x" * 2**20, model="a"))
    assert (await replies.get(b"k")).text == "short"
    assert shelf.lives == [30.0]


async def test_a_shelf_that_is_away_or_holds_something_else_costs_a_call_and_no_answer(caplog):
    shelf = Shelved()
    model = CachedModel(ScriptedModel(lambda _: "42"), ShelfReplies(lambda: shelf, 30.0))
    request = ChatRequest(model="a", messages=(Message(speaker="user", text="q"),))
    async with model:
        shelf.away = True
        assert (await model.chat(request)).text == "42"
        shelf.away = False
        await model.chat(request)
        shelf.there = dict.fromkeys(shelf.there, b"{}")
        assert not (await model.chat(request)).cached
    assert "could not be read" in caplog.text
