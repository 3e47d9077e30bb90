"""A gateway with keys and stores: what clients are told, to the last cent, in every worker."""

from __future__ import annotations

import logging

import anyio
import httpx
import pytest

from mar.concurrency import gather
from mar.errors import ConfigError
from mar.pool import ModelCard, Pool
from mar.pool.scripted import ScriptedModel
from mar.serving.keys.key import Terms
from mar.serving.state import Places, State, key_store, spent
from mar.serving.store.places import database
from mar.serving.store.standing import Standings
from tests.asking import HI, served

pytestmark = pytest.mark.anyio
# A request of one token and its answer cost a cent, whatever they are: only what is written costs anything.
CARD = ModelCard(name="a", price_in=0.0, price_out=10_000.0, max_output_tokens=1, context_tokens=1000)


def pool():
    return Pool([CARD], ScriptedModel(lambda _: "42"), kind="scripted")


@pytest.fixture
def store(tmp_path):
    return str(tmp_path / "gateway.sqlite")


async def made(store, name="app", **terms):
    async with key_store(store) as keys:
        return await keys.create(name, Terms(**terms))


def bearer(secret):
    return {"authorization": f"Bearer {secret}"}


async def post(gateway, secret):
    return await gateway.http.post("/v1/chat/completions", json={"model": "a", "messages": HI}, headers=bearer(secret))


async def outcome(gateway, secret):
    """The status, and the code of an error in the shape in which OpenAI's clients read it."""
    answer = await post(gateway, secret)
    return answer.status_code, None if answer.status_code == 200 else answer.json()["error"]["code"]


async def test_of_200_requests_over_two_workers_exactly_those_that_the_budget_is_enough_for_are_answered(store):
    key, secret = await made(store, usd_total=0.5)
    places = Places(store=store)
    async with served(pool(), state=State(places)) as one, served(pool(), state=State(places)) as two:
        done = await gather([lambda g=(one, two)[i % 2]: outcome(g, secret) for i in range(200)], limit=100)
    assert done.count((200, None)) == 50
    assert {status for status, _ in done} == {200, 402}
    assert await spent(places, [key.id]) == {key.id: 500_000_000}


async def test_a_client_without_a_good_key_is_refused_in_openais_shape_and_its_key_is_nowhere(store, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    _, secret = await made(store, models=["b"])
    async with served(pool(), state=State(Places(store=store))) as gateway:
        assert await outcome(gateway, "sk-mar-wrong-but-long-enough") == (401, "invalid_api_key")
        answer = await gateway.post(model="a", messages=HI)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "missing_api_key")
        assert await outcome(gateway, secret) == (403, "model_not_allowed")
        models = (await gateway.http.get("/v1/models", headers=bearer(secret))).json()["data"]
        assert [m["id"] for m in models] == ["mar"]  # b is not here, and a is not for this key
    everything = caplog.text + "".join(capfd.readouterr())
    assert secret.removeprefix("sk-mar-") not in everything
    assert "wrong-but-long-enough" not in everything


async def test_a_rate_that_is_reached_is_429_and_says_when_to_come_again(store):
    _, secret = await made(store, requests_per_minute=1, at_once=5)
    async with served(pool(), state=State(Places(store=store))) as gateway:
        answers = [await post(gateway, secret) for _ in range(3)]  # a minute may end between two, not twice
    last = next(a for a in answers if a.status_code == 429)
    assert last.json()["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(last.headers["retry-after"]) <= 60


async def test_an_episode_is_shown_by_every_worker_to_its_own_key_and_to_who_may_observe(store):
    secrets = {name: (await made(store, name, role=role))[1] for name, role in ROLES.items()}
    places = Places(store=store)
    async with served(pool(), state=State(places)) as one:
        id = (await post(one, secrets["mine"])).headers["x-mar-episode"]
        async with served(pool(), state=State(places)) as two:
            await until_written(two, secrets["mine"], id)
            assert (await shown(two, secrets["watching"], id)).json()["cost_usd"] == 0.01
            assert (await shown(two, secrets["other"], id)).status_code == 404
            for who, status in (("other", 404), ("mine", 200)):
                said = await two.http.post(
                    "/v1/feedback", json={"episode": id, "thumb": "up"}, headers=bearer(secrets[who])
                )
                assert said.status_code == status
            assert [f["value"] for f in (await shown(one, secrets["mine"], id)).json()["outcomes"]] in ([], [1.0])


ROLES = {"mine": "use", "other": "use", "watching": "observe"}


async def until_written(gateway, secret, id):
    with anyio.fail_after(20):
        while (await shown(gateway, secret, id)).status_code != 200:  # noqa: ASYNC110 - by another worker
            await anyio.sleep(0.02)


async def shown(gateway, secret, id) -> httpx.Response:
    return await gateway.http.get(f"/v1/episodes/{id}", headers=bearer(secret))


async def test_gateways_that_run_without_keys_ask_for_one_as_soon_as_the_first_is_made(store):
    places = Places(store=store)
    async with served(pool(), state=State(places)) as one, served(pool(), state=State(places)) as two:
        assert [(await gateway.post(model="a", messages=HI)).status_code for gateway in (one, two)] == [200, 200]
        _, secret = await made(store, usd_total=0.02)
        for gateway in (one, two):
            with anyio.fail_after(60):  # it takes them a second to look again
                while (await gateway.post(model="a", messages=HI)).status_code != 401:  # noqa: ASYNC110 - by another
                    await anyio.sleep(0.02)
            assert (await gateway.http.get("/metrics")).status_code == 401
        assert [await outcome(gateway, secret) for gateway in (one, two, one)] == [
            (200, None),
            (200, None),
            (402, "insufficient_quota"),  # its budget is one over both
        ]


async def test_a_store_whose_last_key_was_revoked_is_not_open_to_everybody(store):
    key, _ = await made(store)
    async with key_store(store) as keys:
        await keys.revoke(key.id)
    async with State(Places(store=store)) as state:
        assert not state.open


async def test_a_file_of_keys_that_is_not_there_is_one_clear_line_and_no_file(tmp_path):
    places = Places(store=str(tmp_path / "s.sqlite"), keys=str(tmp_path / "no.sqlite"))
    with pytest.raises(ConfigError, match=r"no\.sqlite: no such file; `mar keys create NAME --keys "):
        async with State(places):
            pass
    assert not list(tmp_path.iterdir())


async def test_a_place_of_keys_that_holds_none_lets_nobody_in(store, tmp_path):
    async with key_store(str(tmp_path / "keys.sqlite")):
        pass
    async with served(pool(), state=State(Places(store=store, keys=str(tmp_path / "keys.sqlite")))) as gateway:
        assert (await gateway.post(model="a", messages=HI)).status_code == 401


async def test_figures_are_for_keys_that_may_observe_unless_a_setting_opens_them(store):
    secrets = {name: (await made(store, name, role=role))[1] for name, role in ROLES.items()}
    async with served(pool(), state=State(Places(store=store))) as gateway:
        shown = {who: await gateway.http.get("/metrics", headers=bearer(secret)) for who, secret in secrets.items()}
        nobody = await gateway.http.get("/metrics")
    assert {who: answer.status_code for who, answer in shown.items()} == {"mine": 403, "other": 403, "watching": 200}
    assert "observe or admin" in shown["mine"].json()["error"]["message"]
    assert nobody.status_code == 401
    async with served(pool(), state=State(Places(store=store)), metrics_open=True) as gateway:
        assert (await gateway.http.get("/metrics")).status_code == 200


async def test_a_key_in_place_of_a_name_is_repeated_in_no_error_and_no_log(store, caplog):
    caplog.set_level(logging.DEBUG)
    _, secret = await made(store)
    async with served(pool(), state=State(Places(store=store))) as gateway:
        said = [
            await gateway.http.post(path, json=body, headers=bearer(secret))
            for path, body in (
                ("/v1/chat/completions", {"model": secret, "messages": HI}),
                ("/v1/chat/completions", {"model": "mar", "messages": HI, "mar": {"deny": [secret]}}),
                ("/v1/chat/completions", {"model": "mar", "messages": HI, "mar": {secret: 1}}),
                ("/v1/embeddings", {"model": secret, "input": "x"}),
                ("/v1/feedback", {"episode": secret, "thumb": "up"}),
                (f"/{secret}", {}),
            )
        ]
    assert [answer.status_code for answer in said] == [404, 400, 400, 404, 404, 404]
    logged = [r.getMessage() for r in caplog.records if not r.name.startswith("http")]  # not what the client logs
    assert secret[12:] not in "".join([*logged, *(answer.text + str(answer.headers) for answer in said)])


async def test_a_model_that_is_taken_out_is_asked_by_no_worker_and_a_restarted_one_knows_at_once(store):
    places = Places(store=store)
    cards = [CARD, ModelCard(name="b", price_in=0.0, price_out=1.0)]
    both = Pool(cards, ScriptedModel(lambda request: f"said by {request.model}"), kind="scripted")

    async def said(gateway, model):
        answer = await gateway.post(model=model, messages=HI)
        return (
            answer.json()["choices"][0]["message"]["content"] if answer.status_code == 200 else answer.json()["error"]
        )

    async with served(both, state=State(places)) as one:
        assert await said(one, "a") == "said by a"
        async with database(store, durable=False) as db:
            standings = await Standings.open(db)
            await standings.take_out("a", "key-1")
            async with served(both, state=State(places)) as two:
                assert (await said(two, "a"))["code"] == "model_out"
                assert await said(two, "mar") == "said by b"
                await standings.take_out("b", "key-1")
                await until_out(one, said, "b")
                assert (await said(one, "mar"))["message"].startswith("model: all models that may answer are taken out")


async def until_out(gateway, said, model):
    with anyio.fail_after(20):
        while not isinstance(await said(gateway, model), dict):  # noqa: ASYNC110 - by another worker
            await anyio.sleep(0.02)
