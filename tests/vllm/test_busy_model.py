"""The executor on real servers: it learns to leave a model that others keep busy."""

from dataclasses import replace

import httpx
import pytest

from mar.concurrency import task_group
from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.learning.progress import Progress
from mar.learning.rollouts import Rollouts
from mar.learning.rundir import RunDir
from mar.pool import WatchSettings
from mar.runtime import Runtime
from mar.runtime.sandbox import Sandbox
from mar.tasks.task import Score
from mar.testing.tinypool import tiny_prompts
from mar.testing.tinyskills import MixedSkills
from tests.learning.busy import BUSY_SHARE, busy_controller, busy_settings, shares_of

pytestmark = [pytest.mark.vllm, pytest.mark.anyio]
CLOSE = WatchSettings(interval_s=0.1, timeout_s=10.0, stale_after_s=15.0, window_s=10.0)


class AnyAnswer(MixedSkills):
    """Every reply solves the question, so that models differ in nothing but their load."""

    async def score(self, item, answer, sandbox):
        return Score(value=1.0, solved=True)


async def outside_traffic(card):
    """Requests of others, one after the other, as fast as they are answered."""
    body = {"model": card.name, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 300, "ignore_eos": True}
    # A slow server may close a connection that is about to be used again, so none is.
    async with httpx.AsyncClient(timeout=600, limits=httpx.Limits(max_keepalive_connections=0)) as client:
        while True:
            (await client.post(f"{card.base_url}/chat/completions", json=body)).raise_for_status()


async def test_work_moves_away_from_a_model_that_is_kept_busy(tiny, tmp_path):
    task, busy = AnyAnswer(sizes={"train": 60, "validation": 0, "test": 0}), tiny.cards()[0]
    encoder = CachedEncoder(MiniLM(), tmp_path / "embeddings.sqlite")
    async with tiny.pool(watch=CLOSE) as pool, task_group() as tasks:
        for _ in range(24):  # three times what the server computes at once
            tasks.start_soon(outside_traffic, busy)
        runtime = Runtime(pool, prompts=tiny_prompts(), temperature=0.0, max_tokens=24)
        space = replace(PlanSpace.of(pool, runtime.prompts, max_agents=1), modes=("IO",))
        trainer = busy_controller(
            space, encoder, task.items("train"), busy_settings(rate=4.0, budget_s=20.0), RunDir(tmp_path), Progress()
        )
        samples = await trainer.segment(Rollouts(runtime=runtime, task=task, sandbox=Sandbox()))
        tasks.cancel_scope.cancel()
    first, last = shares_of(samples, busy.name, trainer.controller)
    assert last < BUSY_SHARE * first
