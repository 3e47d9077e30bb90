"""A rated question is put to the other models, in shadow: paid from its own budget, kept by hashes, shown to nobody."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from pydantic import ValidationError

from mar.controllers.baselines import single
from mar.errors import ServerFault
from mar.pool import ModelCard, Pool, ScriptedModel
from mar.serving import app, beliefs, forgetting, others
from mar.serving.settings import Settings
from mar.serving.state import Places, State
from mar.serving.store.traffic import logs
from mar.traffic.estimates.table import table_of
from tests.asking import HI, served

pytestmark = pytest.mark.anyio
SAYS = {"a": "The answer is (B).", "b": "I am sure: the answer is B", "c": "The answer is (C)."}


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(others, "EVERY_S", 0.02)


@asynccontextmanager
async def gateway(tmp_path, reply=lambda request: SAYS[request.model], *, usd_day=1.0, store=None, **told):
    """A gateway that has everything answered by model a."""
    cards = [ModelCard(name=name, price_in=1.0, price_out=1.0) for name in SAYS]
    asked = []

    def heard(request):
        asked.append(request.model)
        return reply(request)

    explore = {"others_usd_day": usd_day, **told.pop("explore", {})}
    controllers = {"mar": single("a", "Commonsense")}
    state = State(Places(store=store or str(tmp_path / "g.sqlite")))
    pool = Pool(cards, ScriptedModel(heard), kind="scripted")
    async with asyncio.timeout(60), served(pool, controllers, state=state, explore=explore, **told) as g:
        yield g, asked


async def answered(g, **fields):
    reply = await g.post(**{"model": "mar", "messages": HI, "user": "ann", **fields})
    return reply.headers["x-mar-episode"], reply


async def rate(g, episode, rating=1.0):
    reply = await g.http.post("/v1/feedback", json={"episode": episode, "rating": rating})
    assert reply.status_code == 200, reply.text


async def log_of(tmp_path, *, heard=True, store=None):
    while True:
        found = [logged async for logged in logs(store or str(tmp_path / "g.sqlite"))]
        if found and (not heard or found[0].others):
            return found[0]
        await asyncio.sleep(0.02)


async def test_once_it_is_rated_the_others_are_asked_and_what_they_say_is_kept_without_its_text(tmp_path, store_url):
    async with gateway(tmp_path, store=store_url) as (g, asked):
        episode, reply = await answered(g)
        await log_of(tmp_path, heard=False, store=store_url)
        await asyncio.sleep(0.1)
        assert asked == ["a"]  # nobody has rated it yet
        await rate(g, episode)
        logged = await log_of(tmp_path, store=store_url)
        assert sorted(asked) == ["a", "b", "c"]
        shown = (await g.http.get(f"/v1/episodes/{episode}")).text + reply.text
        metrics = (await g.http.get("/metrics")).text
    by = {other.model: other for other in logged.others}
    assert by["a"].said == by["b"].said != by["c"].said
    assert all(other.single and other.usd and not other.reason for other in by.values())
    assert "(C)" not in shown
    assert "(C)" not in str(logged.others)
    assert 'mar_others_total{state="answered"} 2.0' in metrics
    table = table_of([logged_with_vector(logged)])
    assert table.others is not None
    assert table.others.single.all()


async def test_programs_are_compared_by_what_they_do(tmp_path):
    says = {
        "a": "```python\ndef twice(x):\n    return 2 * x\nprint(twice(4))\n```",
        "b": "```python\ndef double(n):\n    result = n + n\n    return result\n```",
        "c": "```python\ndef square(x):\n    return x * x\n```",
    }
    async with gateway(tmp_path, lambda request: says[request.model]) as (g, _):
        episode, _ = await answered(g)
        await rate(g, episode)
        logged = await log_of(tmp_path)
    by = {other.model: other for other in logged.others}
    assert by["a"].said == by["b"].said != by["c"].said
    assert all(other.single for other in by.values())


def logged_with_vector(logged):
    return replace(logged, embedding=(1.0, 0.0))


async def test_a_model_that_fails_is_kept_with_its_reason_and_counted(tmp_path):
    def reply(request):
        if request.model == "c":
            raise ServerFault("c is ill")
        return SAYS[request.model]

    async with gateway(tmp_path, reply) as (g, _):
        episode, _ = await answered(g)
        await rate(g, episode)
        logged = await log_of(tmp_path)
        metrics = (await g.http.get("/metrics")).text
    by = {other.model: other for other in logged.others}
    assert by["c"].said == ""
    assert "c is ill" in by["c"].reason
    assert 'mar_others_total{state="failed"} 1.0' in metrics


async def test_an_error_of_ours_beside_requests_ends_none_of_them_and_is_begun_again(tmp_path, monkeypatch):
    monkeypatch.setattr(app, "LOOK_S", 0.05)
    failed = []

    async def broken(texts, sandbox):
        failed.append(texts)
        raise TypeError("ours")

    monkeypatch.setattr(others, "sayings_of", broken)
    async with gateway(tmp_path) as (g, asked):
        for _ in range(2):
            count = len(failed)
            await rate(g, (await answered(g))[0])
            while len(failed) == count:  # noqa: ASYNC110 - of the gateway
                await asyncio.sleep(0.02)
        assert (await answered(g))[1].status_code == 200
    assert set(asked) == {"a", "b", "c"}


async def test_no_more_is_spent_than_the_budget(tmp_path):
    async with gateway(tmp_path, usd_day=1e-9) as (g, asked):
        episode, _ = await answered(g)
        await rate(g, episode)
        logged = await log_of(tmp_path)
        metrics = (await g.http.get("/metrics")).text
    assert asked == ["a"]
    assert {other.reason for other in logged.others} == {"", others.UNPAID}
    assert 'mar_others_total{state="unpaid"}' in metrics


async def test_who_is_deleted_is_deleted_there_too(tmp_path):
    async with gateway(tmp_path) as (g, _):
        episode, _ = await answered(g)
        await rate(g, episode)
        await log_of(tmp_path)
        assert (await g.http.delete("/v1/users/ann")).status_code == 200

        rows = sqlite3.connect(tmp_path / "g.sqlite").execute("SELECT count(*) FROM mar_others").fetchone()
        assert rows == (0,)


async def test_who_is_deleted_is_remembered_for_no_rating(tmp_path, monkeypatch):
    monkeypatch.setattr(forgetting, "EVERY_S", 0.02)
    made = []

    class Watched(others.Others):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr(app, "Others", Watched)
    async with gateway(tmp_path) as (g, _):
        episodes = [(await answered(g, user=user))[0] for user in ("ann", "bob")]
        assert list(made[0]._known) == episodes
        await g.http.delete("/v1/users/ann")
        while len(made[0]._known) > 1:  # noqa: ASYNC110 - of another task
            await asyncio.sleep(0.02)
        assert list(made[0]._known) == episodes[1:]


@pytest.mark.parametrize(("fields", "told"), [({"model": "b"}, {}), ({}, {"episodes": {"keep": "nothing"}})])
async def test_nothing_is_asked_of_what_nobody_planned_or_is_not_logged(tmp_path, fields, told):
    async with gateway(tmp_path, **told) as (g, asked):
        episode, _ = await answered(g, **fields)
        await rate(g, episode)
        await asyncio.sleep(0.2)
        assert len(asked) == 1


def test_a_budget_below_nothing_is_refused():
    with pytest.raises(ValidationError):
        Settings(explore={"others_usd_day": -1.0})


async def test_by_belief_requests_go_where_ratings_and_others_point(tmp_path, monkeypatch):
    monkeypatch.setattr(beliefs, "EVERY_S", 0.02)
    says = {"a": "The answer is (C).", "b": "The answer is (B).", "c": "The answer is (C)."}
    told = {"share": 1.0, "by": "belief", "max_loss": 0.2}
    async with gateway(tmp_path, lambda request: says[request.model], explore=told) as (g, _):
        served_by = []
        for _ in range(40):
            episode, reply = await answered(g)
            served_by.append(reply.headers["x-mar-models"])
            await rate(g, episode, float(served_by[-1] == "b"))
            await asyncio.sleep(0.03)
    assert served_by[0] == "a"
    assert served_by[-15:].count("b") >= 10
