"""Pool, quality and money, playground: who sees what, what is said of it, and that nothing a model wrote is HTML."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from contextlib import AsyncExitStack, asynccontextmanager, closing

import pytest

from mar.controllers.baselines import team
from mar.pool import ModelCard, Pool, ScriptedModel
from mar.serving.keys.key import Terms
from mar.serving.state import Places, State, key_store
from tests.asking import served
from tests.serving_ui import HERE, HOSTILE, log_in, token_of, unsafe

TWO = [ModelCard(name="a", price_in=1.0, price_out=2.0), ModelCard(name="b")]


@asynccontextmanager
async def keyed(tmp_path, fn=lambda request: "42", cards=TWO, **terms):
    """A gateway with a key of each name; gives it, and their secrets."""
    places = Places(store=str(tmp_path / "store.sqlite"))
    async with key_store(places.store) as store:
        secrets = {name: (await store.create(name, Terms(**given)))[1] for name, given in terms.items()}
    pool = Pool(cards, ScriptedModel(fn), kind="scripted")
    async with served(pool, {"mar/team": team("Chain", "a", "Math")}, state=State(places)) as gateway:
        yield gateway, secrets


async def asked(gateway, secret, model="a", text="hi"):
    headers = {"authorization": f"Bearer {secret}"}
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    return await gateway.http.post("/v1/chat/completions", json=body, headers=headers)


async def settled(gateway, path, wanted):
    """A page, once something stands in it: what is written, is written a moment later."""
    async with asyncio.timeout(30):
        while wanted not in (page := await gateway.http.get(path)).text:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return page.text


async def play(gateway, **fields):
    token = token_of(await gateway.http.get("/ui/playground"))
    return await gateway.http.post("/ui/playground/ask", data=fields, headers={**HERE, "x-csrf": token})


def events(answer):
    blocks = [block.split("\n") for block in answer.text.split("\n\n") if block]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


# Pool ----------------------------------------------------------------------------------------------------------


def test_the_pool_shows_calls_and_what_they_cost_and_unknown_prices_stand_out(tmp_path):
    async def main():
        async with keyed(tmp_path, admin={"role": "admin"}) as (gateway, secrets):
            for model in ("a", "b"):
                assert (await asked(gateway, secrets["admin"], model)).status_code == 200
            await log_in(gateway.http, secrets["admin"])
            page = await settled(gateway, "/ui/pool", 'title="1 calls of unknown cost"')
            assert "The price of b is not known" in page
            rows = re.findall(r"<tr><th scope=\"row\">(\w).*?</tr>", page, re.DOTALL)
            assert rows == ["a", "b"]
            plots = (await gateway.http.get("/ui/pool/plots")).text
            assert plots.count("data-plot") == 4

    asyncio.run(main())


def test_only_an_admin_takes_a_model_out_and_only_who_may_observe_sees_the_pool(tmp_path):
    async def main():
        roles = {role: {"role": role} for role in ("use", "observe", "admin")}
        async with keyed(tmp_path, **roles) as (gateway, secrets):
            change = {"model": "a", "to": "out"}
            statuses = {}
            for role in roles:
                gateway.http.cookies.clear()
                await log_in(gateway.http, secrets[role])
                token = token_of(await gateway.http.get("/ui/playground"))
                seen = await gateway.http.get("/ui/pool")
                done = await gateway.http.post("/ui/pool/out", data=change, headers={**HERE, "x-csrf": token})
                statuses[role] = (seen.status_code, "Take out" in seen.text, done.status_code)
            assert statuses == {"use": (403, False, 403), "observe": (200, False, 403), "admin": (200, True, 303)}
            async with asyncio.timeout(30):
                while (await asked(gateway, secrets["use"])).status_code != 503:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            shown = (await gateway.http.get("/ui/pool/servers")).text
            assert "taken out" in shown
            assert "Take in" in shown
            other = {"model": "none", "to": "out"}
            refused = await gateway.http.post("/ui/pool/out", data=other, headers={**HERE, "x-csrf": token})
            assert refused.status_code == 404

    asyncio.run(main())


# Quality and money -----------------------------------------------------------------------------------------------


def test_quality_shows_whose_word_accuracy_is_and_to_each_key_its_own_requests(tmp_path):
    async def main():
        async with keyed(tmp_path, mine={}, other={"usd_day": 1.0}, eyes={"role": "observe"}) as (gateway, secrets):
            bearer = {"authorization": f"Bearer {secrets['mine']}"}
            id = (await asked(gateway, secrets["mine"])).headers["x-mar-episode"]
            await gateway.http.post("/v1/feedback", json={"episode": id, "thumb": "up"}, headers=bearer)
            assert (await asked(gateway, secrets["other"], "a")).status_code == 200
            await log_in(gateway.http, secrets["eyes"])
            page = await settled(gateway, "/ui/quality", "<dt>Requests</dt><dd>2</dd>")
            assert "rating, n = 1" in page
            assert "100.0 <small>[20.7, 100.0]</small>" in page  # Wilson's interval of 1 of 1
            assert page.count("of 1.000") == 1  # the budget of a day
            gateway.http.cookies.clear()
            await log_in(gateway.http, secrets["other"])
            own = (await gateway.http.get("/ui/quality")).text
            assert "<dt>Requests</dt><dd>1</dd>" in own
            assert "rating, n" not in own
            assert "mine" not in own

    asyncio.run(main())


def test_quality_says_what_the_log_can_tell_of_other_ways_and_to_observers_alone(tmp_path):
    async def main():
        roles = {"mine": {"log": "features"}, "eyes": {"role": "observe"}}
        async with keyed(tmp_path, **roles) as (gateway, secrets):
            await log_in(gateway.http, secrets["mine"])
            assert (await gateway.http.get("/ui/quality/estimates")).status_code == 403
            for _ in range(3):
                await asked(gateway, secrets["mine"], "mar")
            gateway.http.cookies.clear()
            await log_in(gateway.http, secrets["eyes"])
            page = await settled(gateway, "/ui/quality", "<dt>Requests</dt><dd>3</dd>")
            assert page.count('hx-get="/ui/quality/estimates"') == 1
            found = await settled(gateway, "/ui/quality/estimates", "Nobody has said what these answers were worth")
            assert "(3 requests that were logged)" in found
            assert unsafe(found) == []

    asyncio.run(main())


def test_what_is_only_shown_does_not_wait_for_who_writes(tmp_path):
    async def main():
        async with keyed(tmp_path, admin={"role": "admin"}) as (gateway, secrets), AsyncExitStack() as stack:
            await log_in(gateway.http, secrets["admin"])
            for name in ("store", "store-limits"):
                writer = stack.enter_context(
                    closing(sqlite3.connect(tmp_path / f"{name}.sqlite", isolation_level=None))
                )
                writer.execute("BEGIN IMMEDIATE")
            for view in ("live", "quality", "pool", "playground", "keys"):
                assert (view, (await gateway.http.get(f"/ui/{view}")).status_code) == (view, 200)

    asyncio.run(main())


# Playground ------------------------------------------------------------------------------------------------------


def test_an_answer_is_streamed_with_its_plan_as_it_is_carried_out_and_can_be_rated(tmp_path):
    async def main():
        async with keyed(tmp_path, me={}) as (gateway, secrets):
            await log_in(gateway.http, secrets["me"])
            answer = await play(gateway, model="mar/team", question="What is 6*7?")
            found = events(answer)
            plans = [data["html"] for name, data in found if name == "plan"]
            assert "under way" in plans[1]
            assert "under way" not in plans[-1]
            assert plans[-1].count("<rect") >= 2
            assert "".join(data["text"] for name, data in found if name == "delta") == "42"
            name, end = found[-1]
            assert (name, end["about"]["models"]) == ("end", ["a"])
            token = token_of(await gateway.http.get("/ui/playground"))
            id, thumb = end["about"]["episode"], {"thumb": "down"}
            said = await gateway.http.post(f"/ui/episodes/{id}/rate", data=thumb, headers={**HERE, "x-csrf": token})
            assert said.status_code == 200
            bearer = {"authorization": f"Bearer {secrets['me']}"}
            kept = await gateway.http.get(f"/v1/episodes/{id}", headers=bearer)
            assert [o["value"] for o in kept.json()["outcomes"]] == [0.0]

    asyncio.run(main())


def test_an_answer_is_rated_by_the_key_that_asked_and_by_nobody_who_only_sees_it(tmp_path):
    async def main():
        async with keyed(tmp_path, me={}, eyes={"role": "observe"}) as (gateway, secrets):
            id = (await asked(gateway, secrets["me"])).headers["x-mar-episode"]
            await log_in(gateway.http, secrets["eyes"])
            seen = await settled(gateway, f"/ui/episodes/{id}", "rating")
            assert "/rate" not in seen
            token = token_of(await gateway.http.get("/ui/playground"))
            headers = {**HERE, "x-csrf": token}
            said = await gateway.http.post(f"/ui/episodes/{id}/rate", data={"thumb": "up"}, headers=headers)
            assert said.status_code == 403

    asyncio.run(main())


def test_the_playground_asks_what_the_key_may_and_pays_from_its_budget(tmp_path):
    async def main():
        async with keyed(tmp_path, me={"models": ("a",), "controllers": (), "usd_total": 0.0}) as (gateway, secrets):
            await log_in(gateway.http, secrets["me"])
            page = (await gateway.http.get("/ui/playground")).text
            assert re.findall(r'name="model" value="([^"]+)"', page) == ["a"]
            forbidden = await play(gateway, model="b", question="hi")
            assert (forbidden.status_code, forbidden.json()["error"]["code"]) == (402, "insufficient_quota")
            wrong = await play(gateway, model="a", question="hi", max_usd="much")
            assert wrong.status_code == 400
        async with keyed(tmp_path, you={"models": ("a",)}) as (gateway, secrets):
            await log_in(gateway.http, secrets["you"])
            forbidden = await play(gateway, model="b", question="hi")
            assert (forbidden.status_code, forbidden.json()["error"]["code"]) == (403, "model_not_allowed")
            bare = await gateway.http.post("/ui/playground/ask", data={"model": "a", "question": "hi"}, headers=HERE)
            assert bare.status_code == 403  # without the page's token

    asyncio.run(main())


# Hostile content -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [*HOSTILE, "x" * 2**20], ids=["script", "link", "ansi", "megabyte"])
def test_what_models_and_clients_write_is_text_in_every_view(tmp_path, text):
    async def main():
        cards = [ModelCard(name=f"m{HOSTILE[0]}", description=HOSTILE[0]), *TWO]
        async with keyed(tmp_path, lambda _: text, cards, **{f"k{HOSTILE[0]}": {"role": "admin"}}) as (
            gateway,
            secrets,
        ):
            (secret,) = secrets.values()
            await log_in(gateway.http, secret)
            answer = await play(gateway, model=cards[0].name, question=text[:10_000])
            found = events(answer)
            assert "".join(data["text"] for name, data in found if name == "delta") == text
            assert answer.headers["content-type"].startswith("text/event-stream")
            pages = [data["html"] for name, data in found if name == "plan"]
            pages += [(await gateway.http.get(f"/ui/{view}")).text for view in ("pool", "quality", "playground")]
            for page in pages:
                assert unsafe(page) == []

    asyncio.run(main())
