"""Ratings from the key that asked, a limited number of them; users deleted on request."""

from __future__ import annotations

import asyncio
from pathlib import Path

import anyio
import anyio.to_thread
import numpy as np
import pytest

from mar import api
from mar.cli.log import delete_command
from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import HashEncoder
from mar.controllers.gmt import GmtRouter, InteractionStore
from mar.controllers.minilm import MiniLM
from mar.controllers.routers import RouterController, save_routed
from mar.controllers.routers.base import Examples
from mar.controllers.routers.registry import make_router
from mar.errors import StoreUnavailable
from mar.pool import scripted_pool
from mar.runtime import Runtime
from mar.serving import app, forgetting
from mar.serving.app import load_controller
from mar.serving.errors import Refusal
from mar.serving.forgetting import Deleted, Forgetting
from mar.serving.graders import Graders
from mar.serving.keeping import hash_of
from mar.serving.keys.key import Terms
from mar.serving.pace import Pace
from mar.serving.settings import ControllerSettings, Settings
from mar.serving.state import Places, State, key_store
from mar.traffic.records import Deletion
from mar.types import Query
from tests.asking import HI, ask, served
from tests.entries import entry
from tests.runtime.episodes import ASK, FREE_TOOLS, PROMPTS, plan_of


def keyed(tmp_path, main, **settings):
    """What comes of asking a gateway with the keys "mine", "other" and "admin"."""
    place = str(tmp_path / "gateway.sqlite")

    async def made():
        async with key_store(place) as keys:
            terms = {"mine": {"log": "text"}, "other": {}, "admin": {"role": "admin"}}
            return {name: (await keys.create(name, Terms(**given)))[1] for name, given in terms.items()}

    secrets = anyio.run(made)

    async def asked(gateway):
        async def send(who, method, path, **body):
            headers = {"authorization": f"Bearer {secrets[who]}"}
            return await gateway.http.request(method, path, headers=headers, json=body or None)

        return await main(send)

    return ask(scripted_pool(lambda _: "x"), asked, state=State(Places(store=place)), **settings)


async def answered(send, **fields):
    reply = await send("mine", "POST", "/v1/chat/completions", model="mar", messages=HI, **fields)
    return reply.headers["x-mar-episode"]


def test_a_rating_is_taken_from_the_key_that_asked_alone(tmp_path):
    async def main(send):
        id = await answered(send)
        rated = [await send(who, "POST", "/v1/feedback", episode=id, rating=1) for who in ("mine", "other", "admin")]
        shown = (await send("mine", "GET", f"/v1/episodes/{id}")).json()["outcomes"]
        return [reply.status_code for reply in rated], [outcome["value"] for outcome in shown]

    assert keyed(tmp_path, main) == ([200, 404, 403], [1.0])


def test_a_key_rates_so_often_a_minute(tmp_path):
    async def main(send):
        id = await answered(send)
        return [await send("mine", "POST", "/v1/feedback", episode=id, rating=1) for _ in range(3)]

    replies = keyed(tmp_path, main, limits={"ratings_per_minute": 2})
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert int(replies[2].headers["retry-after"]) >= 1


def test_a_pace_fills_evenly_and_is_each_ones_own(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("mar.serving.pace.time.monotonic", lambda: now[0])
    pace = Pace(2)
    for who in ("a", "a", "b"):
        pace.step(who)
    now[0] = 29.0
    with pytest.raises(Refusal) as refused:
        pace.step("a")
    assert refused.value.retry_after_s == pytest.approx(1.0)
    now[0] = 30.0
    pace.step("a")


def test_a_deletion_empties_the_response_cache(tmp_path):
    async def main(send):
        body = {"model": "a", "messages": HI}
        said = [(await send("mine", "POST", "/v1/chat/completions", **body)).headers["x-mar-cache"] for _ in range(2)]
        await send("admin", "DELETE", "/v1/users/nobody-known")
        again = await send("mine", "POST", "/v1/chat/completions", **body)
        return [*said, again.headers["x-mar-cache"]]

    assert keyed(tmp_path, main, cache={"seconds": 60}) == ["miss", "hit", "miss"]


def test_a_deletion_by_command_empties_the_response_cache(tmp_path):
    def delete():
        place, nowhere = str(tmp_path / "gateway.sqlite"), tmp_path / "none.sqlite"
        delete_command(user="nobody-known", conversation=None, store=place, interactions=nowhere, limits=None)

    async def main(send):
        body = {"model": "a", "messages": HI}
        said = [(await send("mine", "POST", "/v1/chat/completions", **body)).headers["x-mar-cache"] for _ in range(2)]
        await anyio.to_thread.run_sync(delete)
        again = await send("mine", "POST", "/v1/chat/completions", **body)
        return [*said, again.headers["x-mar-cache"]]

    assert keyed(tmp_path, main, cache={"seconds": 60}) == ["miss", "hit", "miss"]


def test_what_waits_to_be_graded_of_who_is_deleted_is_not_graded():
    async def main():
        told = []

        async def tell(id, outcome):
            told.append(id)

        settings = Settings(outcomes={"grader": "builtins:len"}).outcomes
        graders = Graders(settings, scripted_pool(lambda _: "x"), tell)
        graders._grade = lambda question, answer: 1.0
        pool = scripted_pool(lambda _: "42")
        async with pool:
            episode = await Runtime(pool, prompts=PROMPTS, tools=FREE_TOOLS).run(ASK, plan_of("IO", 1))
        for number, (user, at) in enumerate([("ann", 1.0), ("bob", 1.0), ("ann", 3.0)]):
            query = Query(text="q", id="q", user_id=user)
            graders.add(entry(f"e{number}", at=at, query=query, episode=episode))
        hashed = hash_of(b"secret", "user", "ann")
        graders.drop(Deleted(deletion=Deletion(what="user", hash=hashed, at=2.0), secret=b"secret"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(graders.run)
            while len(told) < 2:  # noqa: ASYNC110 - of another task
                await anyio.sleep(0.01)
            graders.close()
        return told

    assert anyio.run(main) == ["e1", "e2"]


@pytest.mark.parametrize("kind", ["gmt", "router"])
def test_vectors_of_questions_reach_no_disk(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("MAR_CACHE", str(tmp_path / "cache"))
    place, pool = "gmt", scripted_pool(lambda _: "x")
    if kind == "router":
        place, encoder = str(tmp_path / "r.safetensors"), MiniLM()
        knn, vectors = make_router("knn", k=1), encoder.encode(["a", "b"])
        knn.fit(*[Examples(vectors=vectors, texts=("a", "b"), scores=np.eye(2, dtype=np.float32))] * 2)
        ties = np.zeros(2, np.float32)
        save_routed(
            Path(place), RouterController(router=knn, models=("a", "b"), ties=ties, encoder=encoder), trained_on={}
        )
    space = PlanSpace.of(pool, PROMPTS)
    found = tmp_path / "cache" / "embeddings.sqlite"
    load_controller(ControllerSettings(name="own", router=place), pool).plan([Query(text="mine", id="q")], space)
    assert not found.exists()
    api.load_controller(Path(place) if kind == "router" else place).plan([Query(text="mine", id="q")], space)
    assert found.exists()


def test_an_admin_deletes_a_user_and_nobody_else_does(tmp_path):
    async def main(send):
        id = await answered(send, user="ann/1")
        other = await answered(send, user="bob")
        refused = await send("mine", "DELETE", "/v1/users/ann/1")
        done = await send("admin", "DELETE", "/v1/users/ann/1")
        found = [(await send("mine", "GET", f"/v1/episodes/{each}")).status_code for each in (id, other)]
        return refused.status_code, done.json(), found

    status, deletion, found = keyed(tmp_path, main)
    assert status == 403
    assert deletion["object"] == "mar.deletion"
    assert found == [404, 200]


@pytest.mark.parametrize("stored", [True, False])
def test_what_is_under_way_at_a_deletion_is_kept_nowhere(tmp_path, monkeypatch, stored):
    """Of ann, whose stream began before she was deleted and ends after; bob's is as slow, and ann's next is her own."""
    monkeypatch.setattr(forgetting, "EVERY_S", 0.02)
    own = GmtRouter(InteractionStore(tmp_path / "said.sqlite"), HashEncoder(8), exploration="none")
    begun, go, looked, added = [], asyncio.Event(), asyncio.Event(), {"graders": [], "others": []}
    monkeypatch.setattr(forgetting, "forget_all", looked.set)
    monkeypatch.setattr(app.Graders, "add", lambda _, entry: added["graders"].append(entry.query.user_id))
    monkeypatch.setattr(app.Others, "add", lambda _, exchange, entry: added["others"].append(entry.query.user_id))

    async def slow(_):
        begun.append(True)
        await go.wait()
        return "x"

    async def main():
        place = Places(store=str(tmp_path / "gateway.sqlite"))
        settings = {"explore": {"others_usd_day": 1.0}, "episodes": {"keep": "text"}}
        state = State(place) if stored else None
        async with served(scripted_pool(slow), {"mar/own": own}, state=state, **settings) as gateway:

            async def said(user, **fields):
                messages = [{"role": "user", "content": f"hi of {user}"}]
                body = {"model": "mar/own", "messages": messages, "user": user, **fields}
                return (await gateway.post(**body)).headers["x-mar-episode"]

            async with asyncio.TaskGroup() as tasks:
                early = [tasks.create_task(said(user)) for user in ("ann", "bob")]
                while len(begun) < 2:  # noqa: ASYNC110 - of another task
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.1)  # a look at what was deleted before
                if stored:
                    async with State(place) as other:
                        await other.forget("user", "ann")
                else:
                    await gateway.http.delete("/v1/users/ann")
                await looked.wait()
                go.set()
            ids = [*(task.result() for task in early), await said("ann", seed=1)]
            return [(await gateway.http.get(f"/v1/episodes/{id}")).status_code for id in ids]

    assert asyncio.run(asyncio.wait_for(main(), 20)) == [404, 200, 200]
    asked = {user: len(own.store.since(user, 0)) for user in own.store.users()}
    assert asked == {"ann": 1, "bob": 1}
    assert {who: sorted(users) for who, users in added.items()} == {who: ["ann", "bob"] for who in added}


def test_a_store_that_was_down_is_told_of_a_deletion_once_it_answers(monkeypatch):
    monkeypatch.setattr(forgetting, "EVERY_S", 0.01)
    gone, old = (Deleted.now("user", name) for name in ("ann", "old"))
    found, told, dropped = [old], [], []
    monkeypatch.setattr(forgetting, "forget_all", lambda: dropped.append(True))

    async def deleted():
        return found

    async def stores(one):
        told.append(one)
        if len(told) < 3:
            raise StoreUnavailable("it is down")

    async def main():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Forgetting((), stores).run, deleted)
            await anyio.sleep(0.1)
            found.append(gone)
            with anyio.move_on_after(60):
                while len(told) < 3:  # noqa: ASYNC110 - of another task
                    await anyio.sleep(0.01)
            await anyio.sleep(0.1)
            tasks.cancel_scope.cancel()

    anyio.run(main)
    assert told == [gone] * 3
    assert dropped == [True]


def test_without_a_store_a_deletion_reaches_what_the_worker_holds_in_memory(monkeypatch):
    dropped, graders = [], []
    monkeypatch.setattr(forgetting, "forget_all", lambda: dropped.append(True))
    monkeypatch.setattr(app.Graders, "drop", lambda _, gone: graders.append((gone.named("ann"), gone.named("bob"))))

    async def main(gateway):
        return (await gateway.http.delete("/v1/users/ann")).status_code

    assert ask(scripted_pool(lambda _: "x"), main) == 200
    assert (dropped, graders) == ([True], [(True, False)])
