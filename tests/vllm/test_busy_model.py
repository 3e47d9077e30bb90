"""Our executor on real servers: it learns which model is best, and to leave it while others keep it busy."""

import time
from dataclasses import replace
from statistics import median

import pytest

from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.controllers.system_aware.controller import SystemSettings, build
from mar.learning.arrivals import Arrivals
from mar.learning.progress import Progress
from mar.learning.rollouts import Rollouts
from mar.learning.rundir import RunDir
from mar.learning.system_aware import SystemTrainer, SystemTraining
from mar.runtime import Runtime
from mar.runtime.sandbox import Sandbox
from mar.tasks.task import Score
from mar.testing.tinypool import tiny_prompts
from mar.testing.tinyskills import MixedSkills
from mar.types import AgentSpec, ChatRequest, Message, ModeSpec, Move, Plan, Query, View
from tests.learning.busy import BUSY_SHARE
from tests.vllm.servers import AT_ONCE, CLOSE, kept_busy, soon, until

pytestmark = [pytest.mark.vllm, pytest.mark.anyio]
PLAN = Plan(mode=ModeSpec(name="IO"), domain="Math", agents=(AgentSpec(role="MathSolver"),))


class Lenient(MixedSkills):
    """Additions, half of which any answer solves: one model is best, and the others are worth asking."""

    async def score(self, item, answer, sandbox):
        if int(item.answer[-1]) % 2:
            return Score(value=1.0, solved=True)
        return await super().score(item, answer, sandbox)


async def seconds_of_a_call(pool, model):
    """The median of three."""
    took = []
    for _ in range(3):
        began = time.perf_counter()
        messages = (Message(speaker="user", text="Capital of Peru?"),)
        await pool.chat(ChatRequest(model=model, messages=messages, priority=soon(), max_tokens=24))
        took.append(time.perf_counter() - began)
    return median(took)


async def share_of(model, controller, pool, budget_s):
    """The share of thirty queries of the moment whose single agent goes to the model."""
    controller.greedy = True
    bound = []
    for i in range(30):
        query = Query(text=f"What is {i}+{2 * i}?", id=str(i))
        view = View(query=query, deadline=budget_s, watch=pool.telemetry)
        move = Move(agent=PLAN.agents[0], domain=PLAN.domain, index=0)
        bound.append((await controller.executor.over(PLAN)(move, view)).model)
    return bound.count(model) / len(bound)


async def test_work_moves_away_from_a_model_that_is_kept_busy(tiny, tmp_path):
    task, adder = Lenient(["add"], sizes={"train": 60, "validation": 0, "test": 0}), tiny.cards()[0]
    encoder = CachedEncoder(MiniLM(), tmp_path / "embeddings.sqlite")
    async with tiny.pool(watch=CLOSE) as pool:

        def waiting():
            return pool.telemetry()[adder.name].waiting or 0

        async with kept_busy(adder, 16 * AT_ONCE, reading=True):
            await until(lambda: waiting() > AT_ONCE)
            # Whatever this machine's speed: an answer of the busy model takes twice the budget.
            budget = await seconds_of_a_call(pool, adder.name) / 2
        settings = SystemTraining(
            arrivals=(Arrivals(rate=4.0),), episodes=160, budgets_s=(budget,), update_every=16, pilot=10
        )
        runtime = Runtime(pool, prompts=tiny_prompts(), temperature=0.0, max_tokens=24)
        rollouts = Rollouts(runtime=runtime, task=task, sandbox=Sandbox())
        space = replace(PlanSpace.of(pool, runtime.prompts, max_agents=1), modes=("IO",))
        make = SystemSettings(variant="ours", domain="Math", models=pool.names, embedding=encoder.width)
        controller = build(make, space, encoder)
        trainer = SystemTrainer(
            controller, space, task.items("train"), (), settings, RunDir(tmp_path), Progress(quiet=True)
        )
        await until(lambda: waiting() == 0)
        await trainer.segment(rollouts)  # the pilot, while all are idle
        idle = await share_of(adder.name, controller, pool, budget)
        async with kept_busy(adder, 16 * AT_ONCE, reading=True):
            await until(lambda: waiting() > AT_ONCE)
            await trainer.segment(rollouts)
            busy = await share_of(adder.name, controller, pool, budget)
    assert idle > 0.9
    assert busy < BUSY_SHARE * idle
