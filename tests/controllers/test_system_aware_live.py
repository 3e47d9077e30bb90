"""The system-aware executor over servers that show no figures of themselves."""

import anyio
import pytest

from mar.concurrency import task_group
from mar.controllers.system_aware.executor import LateExecutor
from mar.pool import Pool, TelemetryWatcher, WatchedModel, WatchSettings
from mar.pool.cards import ModelCard
from mar.pool.openai_client import OpenAIModel
from mar.testing import ChatServer
from mar.types import ChatRequest, Message
from tests.controllers.test_system_aware import bind, informed, senses, step

pytestmark = pytest.mark.anyio
CALLS = 60


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_servers_without_metrics_are_judged_by_the_calls_under_way():
    async with ChatServer(delay_s=30.0) as server:
        cards = [ModelCard(name=n, base_url=server.base_url, concurrency=2) for n in ("small", "large")]
        watched = WatchedModel(OpenAIModel(cards), TelemetryWatcher(cards, settings=WatchSettings(interval_s=0.01)))
        executor = LateExecutor(informed(), senses(), (None, "Flash", "Concise", "DeepThink"), greedy=True)
        async with Pool(cards, watched, kind="live") as pool:

            async def chosen():
                return (await bind(executor, step(load=pool.telemetry()))).model

            def under_way():
                seen = pool.telemetry()["large"]
                return (seen.running or 0) + (seen.waiting or 0)

            assert await chosen() == "large"
            async with task_group() as tasks:
                for _ in range(CALLS):
                    request = ChatRequest(model="large", messages=(Message(speaker="user", text="why"),))
                    tasks.start_soon(pool.chat, request)
                with anyio.fail_after(10):
                    while under_way() < CALLS:  # noqa: ASYNC110 - of calls that have begun
                        await anyio.sleep(0.01)
                assert not pool.telemetry()["large"].stale
                assert await chosen() == "small"
                tasks.cancel_scope.cancel()
