"""Rollouts on the page: who sees them, what they say, who may decide, and that a hostile name is only text."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from markupsafe import escape

from mar.controllers.baselines import single
from mar.evaluation.report.formats import clean
from mar.pool import ModelCard, Pool, ScriptedModel
from mar.serving.keys.key import Terms
from mar.serving.rollout import keeper
from mar.serving.rollout.store import RolloutStore
from mar.serving.rollout.versions import Version
from mar.serving.state import Places, State, key_store
from mar.serving.store.database import Ask, Tell
from mar.serving.store.places import database
from tests.asking import served
from tests.serving_ui import HERE, HOSTILE, log_in, token_of, unsafe


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(keeper, "LOOK_S", 0.02)


@asynccontextmanager
async def gateway(tmp_path, *roles):
    """A gateway with a key of each role and a candidate in shadow; gives it, its rollouts, and the keys' secrets."""
    place = str(tmp_path / "store.sqlite")
    async with key_store(place) as store:
        secrets = {role: (await store.create(f"the {role}", Terms(role=role)))[1] for role in roles}
    pool = Pool(
        [ModelCard(name=n, price_in=1.0, price_out=1.0) for n in ("a", "b")],
        ScriptedModel(lambda request: "42"),
        kind="scripted",
    )
    told = {"rollout": {"shadow_least": 10**6}}
    controllers = {"mar": single("a", "Commonsense")}
    async with (
        asyncio.timeout(120),
        served(pool, controllers, state=State(Places(store=place)), **told) as running,
        database(place, durable=True) as db,
    ):
        rollouts = await RolloutStore.open(db)
        await rollouts.start(Version.of("cards", cost_rate=3.0), "mar")
        while not (await rollouts.rollouts())[0].base:  # noqa: ASYNC110 - the gateway has no event to wait for
            await asyncio.sleep(0.02)
        yield running, rollouts, secrets


async def kept(rollouts, *rows):
    """Requests in shadow: state, reason, served USD, USD, verdict, judge."""

    def work():
        id = (yield Ask("SELECT id FROM mar_rollouts"))[0][0]
        for i, (state, reason, old, new, verdict, judge) in enumerate(rows):
            row = (f"e{i}", id, 1e10 + i, state, reason, "IO(b)", 0, old, 1.0, new, 2.0, verdict, judge)
            yield Tell(f"INSERT INTO mar_shadows VALUES ({', '.join('?' * 13)})", [row])

    await rollouts.db.do(work)


def renamed(label):
    """Give every version another name: a file may have any."""
    yield Tell("UPDATE mar_versions SET label = ?", [(label,)])


async def press(running, to, **fields):
    token = token_of(await running.http.get("/ui/rollouts"))
    return await running.http.post(f"/ui/rollouts/{to}", data=fields, headers={**HERE, "x-csrf": token})


def test_a_candidate_stands_beside_what_serves_with_what_was_said_in_shadow_and_why_it_failed(tmp_path):
    async def main():
        async with gateway(tmp_path, "observe") as (running, rollouts, secrets):
            await kept(
                rollouts,
                ("carried out", "", 0.001, 0.002, 1.0, "judge large"),
                ("carried out", "", 0.003, 0.002, -1.0, "judge large"),
                ("carried out", "unreadable", 0.002, 0.002, None, "judge large"),
                ("carried out", "by the order", 0.002, 0.002, 0.0, "judge large"),
                ("failed", HOSTILE[0], 0.002, None, None, ""),
                ("planned", "", 0.002, None, None, ""),
            )
            await log_in(running.http, secrets["observe"])
            page = (await running.http.get("/ui/rollouts")).text
            (row,) = [line for line in page.splitlines() if "judge large" in line]
            assert '"better">1<' in row
            assert '"alike">1<' in row
            assert '"worse">1<' in row
            assert "1 by the order, 1 unreadable" in row
            assert "answered by both: 4. Failures are of the 5" in page
            assert page.count("2.000 <small>") == 3  # USD per 1,000: of 1, 3, 2, 2 and of 2, 2, 2, 2; seconds in shadow
            assert "6 of 1000000 plans" in page
            assert unsafe(page) == []
            assert "Promote" not in page  # that is for an admin

    asyncio.run(main())


def test_only_an_admin_decides_and_the_event_says_who_did(tmp_path):
    async def main():
        async with gateway(tmp_path, "use", "observe", "admin") as (running, rollouts, secrets):
            (rollout,) = await rollouts.rollouts()
            meant = {"controller": "mar", "rollout": rollout.id}
            for role, status in (("use", 403), ("observe", 403)):
                running.http.cookies.clear()
                await log_in(running.http, secrets[role])
                token = token_of(await running.http.get("/ui/playground"))
                headers = {**HERE, "x-csrf": token}
                done = await running.http.post("/ui/rollouts/promote", data=meant, headers=headers)
                assert done.status_code == status
            assert (await running.http.get("/ui/rollouts")).status_code == 200  # observe sees it
            running.http.cookies.clear()
            await log_in(running.http, secrets["admin"])
            assert (await running.http.post("/ui/rollouts/promote", data=meant, headers=HERE)).status_code == 403
            assert (await rollouts.rollouts())[0].stage == "shadow"  # there was no token
            assert (await press(running, "promote", **meant)).status_code == 303
            assert (await rollouts.rollouts())[0].stage == "promoted"
            assert (await press(running, "promote", **meant)).status_code == 409  # nothing is on its way
            assert (await press(running, "rollback", controller="mar", rollout="ro-other")).status_code == 409
            assert (await rollouts.rollouts())[0].stage == "promoted"
            assert (await press(running, "rollback", **meant)).status_code == 303
            assert (await rollouts.rollouts())[0].stage == "rolled back"
            page = (await running.http.get("/ui/rollouts")).text
            assert "<caption>Ended</caption>" in page
            assert "Roll back" not in page  # there is nothing to take back
            events = [(e.what, e.because) for e in await rollouts.events()]
            assert [what for what, _ in events] == ["rolled back", "promoted", "shadow"]
            assert all(because.startswith("told to on the page by the admin (") for _, because in events[:2])

    asyncio.run(main())


@pytest.mark.parametrize("label", HOSTILE)
def test_a_hostile_name_is_text_in_every_place(tmp_path, label):
    async def main():
        async with gateway(tmp_path) as (running, rollouts, _):
            await rollouts.db.do(lambda: renamed(label))
            await rollouts.noticed(label, label, label, {"seen": 30})
            page = (await running.http.get("/ui/rollouts")).text
            assert unsafe(page) == []
            assert page.count("Noticed after 30 more") == 1
            assert page.count(str(escape(clean(label)[:20]))) >= 3

    asyncio.run(main())
