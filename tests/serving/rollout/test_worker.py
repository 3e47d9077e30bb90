"""A worker's part: it serves what the store says, and carries plans out in shadow, of which no request notices."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import asynccontextmanager

import pytest

from mar.controllers.baselines import single
from mar.errors import ConfigError, ServerFault
from mar.pool import ModelCard, Pool, ScriptedModel
from mar.serving.rollout import keeper
from mar.serving.rollout.store import RolloutStore
from mar.serving.rollout.versions import Version
from mar.serving.state import Places, State
from mar.serving.store.database import Ask
from mar.serving.store.places import database
from tests.asking import HI, served

pytestmark = pytest.mark.anyio


class Always:
    """A controller that is registered in these tests."""

    def __init__(self, model="b"):
        self.made = single(model, "Commonsense")
        self.name = f"always {model}"

    def plan(self, queries, space):
        if self.made.name == "nobody":
            raise ConfigError("there is no model nobody")
        return self.made.plan(queries, space)


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    from mar.controllers.registry import CONTROLLERS

    monkeypatch.setattr(CONTROLLERS, "_known", {**CONTROLLERS._known, "always": Always})
    monkeypatch.setattr(keeper, "LOOK_S", 0.02)


def pool_of(answer=lambda request: f"said by {request.model}", *names):
    cards = [ModelCard(name=n, price_in=1.0, price_out=1.0) for n in names or ("a", "b")]
    return Pool(cards, ScriptedModel(answer), kind="scripted")


@asynccontextmanager
async def gateway(tmp_path, pool=None, **rules):
    """A gateway that serves model a as `mar`, and the rollouts in its store."""
    place = str(tmp_path / "g.sqlite")
    careful = {"shadow": 1.0, "shadow_run": 1.0, "shadow_least": 10**6, **rules}
    told = {"controllers": {"mar": single("a", "Commonsense")}, "rollout": careful}
    state = State(Places(store=place))
    async with (
        asyncio.timeout(60),
        served(pool or pool_of(), state=state, **told) as gateway,
        database(place, durable=True) as db,
    ):
        yield gateway, await RolloutStore.open(db)


async def who(gateway, user="ann"):
    reply = await gateway.post(model="mar", messages=HI, user=user)
    return reply.json()["choices"][0]["message"]["content"][-1]


async def until(done):
    while not (found := await done()):  # noqa: ASYNC110 - the gateway has no event to wait for
        await asyncio.sleep(0.01)
    return found


async def taken_up(store):
    async def found():
        return next((r for r in (await store.known()).under_way if r.base), None)

    return await until(found)


async def shadows(store):
    def work():
        return (yield Ask("SELECT state, reason, label, usd, verdict FROM mar_shadows"))

    return await store.db.do(work)


async def moved(store, rollout, stage, share):
    from mar.traffic.rollout import Verdict

    assert await store.move(rollout, stage, share, Verdict(step="go on", because="a test says so"))
    return (await store.rollouts())[0]


async def test_a_candidate_answers_its_share_then_all_then_nobody(tmp_path):
    async with gateway(tmp_path) as (g, store):
        assert await who(g) == "a"
        await store.start(Version.of('always(model="b")'), "mar")
        rollout = await taken_up(store)
        assert {await who(g, f"u{i}") for i in range(20)} == {"a"}  # in shadow it answers nobody
        rollout = await moved(store, rollout, "canary", 0.5)
        await until(lambda: changed(g, {"a", "b"}))
        first = [await who(g, f"u{i}") for i in range(20)]
        assert [await who(g, f"u{i}") for i in range(20)] == first  # everybody stays where he is
        rollout = await moved(store, rollout, "promoted", 1.0)
        await until(lambda: changed(g, {"b"}))
        await store.take_back("mar", "a test says so")
        await until(lambda: changed(g, {"a"}))


async def changed(g, wanted):
    return {await who(g, f"u{i}") for i in range(20)} == wanted


async def test_a_busy_machine_puts_off_no_further_decision(tmp_path, monkeypatch):
    decided, really = [], keeper.decide

    def slowly(*args):
        time.sleep(2.0)  # it waits for others: that takes nothing of the processor
        decided.append(time.monotonic())
        return really(*args)

    monkeypatch.setattr(keeper, "decide", slowly)
    async with gateway(tmp_path) as (_, store):
        await store.start(Version.of("always"), "mar")
        while len(decided) < 3:  # noqa: ASYNC110 - in a thread of the gateway's
            await asyncio.sleep(0.05)
    assert decided[2] - decided[0] < 20  # a pause for each second that a decision took on the clock would be 40


async def test_a_worker_starts_with_what_was_promoted_unless_its_settings_tell_another(tmp_path):
    async with gateway(tmp_path) as (g, store):
        await store.start(Version.of("always"), "mar")
        await moved(store, await taken_up(store), "promoted", 1.0)
    async with gateway(tmp_path) as (g, store):
        assert await who(g) == "b"
    place = Places(store=str(tmp_path / "g.sqlite"))
    async with served(pool_of(), {"mar": single("a", "Commonsense")}, state=State(place), cost_rate=3.0) as g:
        assert await who(g) == "a"


async def test_what_cannot_plan_on_this_pool_is_rolled_back_with_the_reason(tmp_path):
    async with gateway(tmp_path) as (_, store):
        await store.start(Version.of('always(model="nobody")'), "mar")

        async def over():
            (rollout,) = await store.rollouts()
            return rollout if rollout.over else None

        rollout = await until(over)
        assert rollout.because == "it cannot be used: there is no model nobody"


async def test_in_shadow_plans_are_carried_out_beside_the_answer_and_compared(tmp_path):
    async with gateway(tmp_path, pool_of(lambda r: "the same")) as (g, store):
        await store.start(Version.of("always"), "mar")
        await taken_up(store)
        await g.post(model="mar", messages=HI)
        (row,) = await until(lambda: shadows(store))
        assert row == ("carried out", "", "IO(b)", pytest.approx(3e-6), 0.0)
        assert 'mar_shadows_total{state="carried out"} 1.0' in (await g.http.get("/metrics")).text


def judging(verdict="better"):
    """Models that say their names; `judge` finds the candidate's answer better."""

    def answer(request):
        if request.model != "judge":
            return f"said by {request.model}"
        prompt = request.messages[-1].text
        code = re.search(r"Verdict (\w+):", prompt)[1]
        first = re.search(r"<answer 1 \w+>\n(.*?)\n</answer", prompt, re.DOTALL)[1]
        return f"Verdict {code}: {1 if first == 'said by b' else 2}" if verdict == "better" else verdict

    return pool_of(answer, "a", "b", "judge")


async def judged(tmp_path, pool, **body):
    """What is said of the answer in shadow to one request: verdict, who says so, the reason; and what metrics count."""
    async with gateway(tmp_path, pool, judge="judge") as (g, store):
        await store.start(Version.of("always"), "mar")
        await taken_up(store)
        await g.post(model="mar", messages=HI, **body)

        def work():
            return (yield Ask("SELECT verdict, judge, reason FROM mar_shadows"))

        (row,) = await until(lambda: store.db.do(work))
        text = (await g.http.get("/metrics")).text
        return tuple(row), re.findall(r'mar_shadow_verdicts_total\{verdict="(.*?)"\} 1.0', text)


async def test_a_model_judges_what_was_carried_out_beside_the_answer(tmp_path):
    assert await judged(tmp_path, judging()) == ((1.0, "judge judge", ""), ["better"])


async def test_a_verdict_that_cannot_be_read_is_kept_and_counted_as_that(tmp_path):
    assert await judged(tmp_path, judging("who knows?")) == ((None, "judge judge", "unreadable"), ["unreadable"])


async def test_a_model_that_a_request_forbids_does_not_judge_it(tmp_path):
    wanted = "this model may not be asked"
    assert await judged(tmp_path, judging(), mar={"deny": ["judge"]}) == ((None, "judge judge", wanted), [wanted])


async def test_a_judge_that_the_pool_does_not_have_is_refused_at_the_start(tmp_path):
    with pytest.raises(ConfigError, match="nobody"):
        async with gateway(tmp_path, judge="nobody"):
            pass


async def test_a_failure_in_shadow_is_a_row_with_its_reason_and_no_error_of_the_clients(tmp_path):
    def answer(request):
        if request.model == "b":
            raise ServerFault("it is ill")
        return "well"

    async with gateway(tmp_path, pool_of(answer)) as (g, store):
        await store.start(Version.of("always"), "mar")
        await taken_up(store)
        reply = await g.post(model="mar", messages=HI, mar={"deny": ["a"]})
        assert reply.status_code == 502
        (row,) = await until(lambda: shadows(store))
        assert row[0] == "failed"
        assert "it is ill" in row[1]


async def test_shadows_stop_at_their_budget_and_say_so(tmp_path):
    async with gateway(tmp_path, shadow_usd_day=1e-9) as (g, store):
        await store.start(Version.of("always"), "mar")
        await taken_up(store)
        assert (await g.post(model="mar", messages=HI)).status_code == 200
        (row,) = await until(lambda: shadows(store))
        assert row[0] == "skipped"
        assert "budget" in row[1]
