"""Ratings from the key that asked, a limited number of them; users deleted on request."""

from __future__ import annotations

import anyio
import anyio.to_thread
import pytest

from mar.cli.log import delete_command
from mar.pool import scripted_pool
from mar.serving.errors import Refusal
from mar.serving.keys.key import Terms
from mar.serving.pace import Pace
from mar.serving.state import Places, State, key_store
from tests.asking import HI, ask


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
