"""A gateway on real servers has everything answered by one model, learns from ratings that another one is better, and
brings it in by a rollout, which a poisoned candidate does not come through.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import anyio
import anyio.to_thread
import pytest

from mar.cli.learn import learn_command
from mar.concurrency import gather
from mar.controllers.baselines import single
from mar.serving import beliefs, others
from mar.serving.rollout.store import RolloutStore
from mar.serving.rollout.versions import Version
from mar.serving.state import Places, State
from mar.serving.store.places import database
from mar.serving.store.traffic import logs
from mar.testing.tinyskills import Skill, SkillItem, draw
from mar.traffic.files import write_log
from tests.asking import served

pytestmark = [pytest.mark.vllm, pytest.mark.anyio]
ASKED: tuple[Skill, ...] = ("add",) * 8 + ("reverse", "fact")  # of ten questions
SERVED, BEST = "tiny-speller", "tiny-adder"  # right in one and in eight of ten
WRONG, USERS, AT_ONCE = 0.1, 60, 16  # share of ratings that say the opposite; who asks; how many questions at once
EXPLORE = {"share": 1.0, "by": "belief", "others_usd_day": 1.0}
ROLLOUT = {"shares": [0.5], "least": 20, "shadow": 1.0, "shadow_run": 0.0, "shadow_least": 20, "seconds": 1.0}
TO_LEARN, TO_TEST, AT_MOST = 160, 60, 1500  # questions; those that a rollout may take


class Crowd:
    """Asks a gateway questions and rates answers, one time in ten wrongly."""

    def __init__(self, gateway, seed):
        self._gateway, self._random = gateway, Random(seed)

    async def ask(self, count, *, rated):
        """The share of answers that are right.

        Args:
            count: How many questions.
            rated: Share of the answers that are rated.
        """
        said = []
        for begin in range(0, count, AT_ONCE):
            items = [self._item() for _ in range(min(AT_ONCE, count - begin))]
            draws = [(self._random.randrange(USERS), self._random.random(), self._random.random()) for _ in items]
            said += await gather([partial(self._one, i, *d, rated) for i, d in zip(items, draws, strict=True)])
        return sum(said) / len(said)

    def _item(self) -> SkillItem:
        return draw(self._random.choice(ASKED), "test", self._random)

    async def _one(self, item, user, chance, luck, rated):
        messages = [{"role": "system", "content": "Solve it."}, {"role": "user", "content": item.question}]
        asked = {"messages": messages, "user": f"user{user}", "max_tokens": 16, "temperature": 0}
        reply = await self._gateway.post(model="mar", **asked)
        assert reply.status_code == 200, reply.text
        right = (reply.json()["choices"][0]["message"]["content"] or "").strip() == item.answer
        if chance < rated:
            rating = float(right != (luck < WRONG))
            told = {"episode": reply.headers["x-mar-episode"], "rating": rating}
            assert (await self._gateway.post("/v1/feedback", **told)).status_code == 200
        return right


@asynccontextmanager
async def gateway(pool, store, *, seed, **told):
    """A gateway that has everything answered by one model, unless another one was promoted; gives who asks it."""
    state, limits = State(Places(store=store)), {"ratings_per_minute": 1_000_000}
    controllers = {"mar": single(SERVED, "Commonsense")}
    async with served(pool, controllers, state=state, limits=limits, **told) as found:
        yield Crowd(found, seed)


async def learned(store, out, **told):
    given = {"router": None, "outcomes": None, "cost_rate": 0.0, "embedding": "static", "deleted": None, "seed": 0}
    await anyio.to_thread.run_sync(partial(learn_command, source=str(store), out=out, **given, **told))
    return str(out)


async def poisoned(store, folder):
    """What is learned where every rating of the log says the opposite."""

    async def turned():
        async for logged in logs(store):
            yield replace(logged, outcomes=tuple(replace(o, value=1 - o.value) for o in logged.outcomes), others=())

    path = folder / "turned.jsonl"
    await write_log(path, turned())
    return await learned(path, folder / "poisoned.safetensors")


async def rolled_out(candidate, store, crowd):
    """How a rollout ends that users rate, and why."""
    async with database(store, durable=True) as db:
        rollouts = await RolloutStore.open(db)
        begun = await rollouts.start(Version.of(candidate), "mar")
        for _ in range(0, AT_MOST, 2 * AT_ONCE):
            await crowd.ask(2 * AT_ONCE, rated=1.0)
            latest = next(one for one in await rollouts.rollouts() if one.id == begun.id)
            if latest.over:
                await anyio.sleep(2)  # until every worker has heard of it
                return latest
        return latest


async def learn_from_traffic(pool, folder: Path):
    """The shares right before and after, and how the rollouts of what was learned and of a poisoned candidate ended."""
    store = str(folder / "g.sqlite")
    async with gateway(pool, store, seed=1) as crowd:
        before = await crowd.ask(TO_TEST, rated=0.0)
    async with gateway(pool, store, seed=2, explore=EXPLORE) as crowd:
        await crowd.ask(TO_LEARN, rated=0.5)
        await anyio.sleep(1)  # until the others were asked the last questions, too
    candidate = await learned(store, folder / "candidate.safetensors")
    worse = await poisoned(store, folder)
    async with gateway(pool, store, seed=3, rollout=ROLLOUT) as crowd:
        better = await rolled_out(candidate, store, crowd)
        bad = await rolled_out(worse, store, crowd)
        after = await crowd.ask(TO_TEST, rated=0.0)
    return before, after, better, bad


async def test_ratings_bring_a_better_model_in_and_keep_a_poisoned_candidate_out(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("MAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(beliefs, "EVERY_S", 0.5)
    monkeypatch.setattr(others, "EVERY_S", 0.2)
    before, after, better, bad = await learn_from_traffic(tiny.pool(), tmp_path)
    assert (better.stage, better.because.split(":")[0]) == ("promoted", "quality")
    assert (bad.stage, bad.because.split(":")[0]) == ("rolled back", "quality")
    assert after > before + 0.4
