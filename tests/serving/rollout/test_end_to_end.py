"""Two workers on scripted servers: a good candidate comes through and a poisoned one does not, though a worker dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import httpx
import pytest

from mar.serving.rollout.store import RolloutStore
from mar.serving.rollout.versions import Version
from mar.serving.store.places import database
from mar.testing.chat_server import ChatServer
from tests.stores import free_port

pytestmark = pytest.mark.anyio
PATIENCE_S = 300.0
USERS = 100  # of whom a candidate gets half at the most: enough for its twenty places
REACHES_S = 2.0  # what is promoted or taken back is served by every worker within this time
TEAMS = """
from mar.controllers.baselines import single
from mar.controllers.registry import CONTROLLERS

for model in ("good", "fair", "bad"):
    CONTROLLERS.register(f"always-{model}", lambda model=model: single(model, "Commonsense"))
"""
SETTINGS = """
port = {port}
workers = 2
pool = "{folder}/pool.toml"
router = "always-fair"
extend = ["{folder}/teams.py"]
store = "{folder}/gateway.sqlite"
[limits]
ratings_per_minute = 1000000
[rollout]
shares = [0.3, 0.5]
least = 5
shadow_least = 5
shadow = 1.0
seconds = 1.0
"""
VALUES = {"good": 1.0, "fair": 0.5, "bad": 0.0}  # what users say of an answer


@asynccontextmanager
async def gateway(folder: Path):
    """Two workers on a server with three models, each of which says its name; gives the process and a client."""

    def answer(request):
        return request.body["model"]

    async with ChatServer(answer=answer) as server:
        models = "".join(
            f'[[models]]\nname = "{name}"\nbase_url = "{server.base_url}"\nprice_in = 1.0\nprice_out = 1.0\n'
            for name in VALUES
        )
        (folder / "pool.toml").write_text(models)
        (folder / "teams.py").write_text(TEAMS)
        port = free_port()
        (folder / "serve.toml").write_text(SETTINGS.format(port=port, folder=folder))
        with (folder / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", "from mar.cli import main; main()"),
                *("serve", "--config", str(folder / "serve.toml")),
                stdout=log,
                stderr=log,
                env={**os.environ, "MAR_CACHE": str(folder), "OPENAI_API_KEY": "none"},
            )
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                await until(lambda: ready(client))
                yield process, client
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()


async def until(done):
    """Wait for something that is another process's affair and takes as long as it takes."""
    async with asyncio.timeout(PATIENCE_S):
        while not await done():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.05)


async def ready(client):
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx.HTTPError:
        return False


async def visit(client, user, number, value=None):
    """One question of a user, and what he says of the answer; gives who answered, None where the worker was killed."""
    body = {"model": "mar", "user": user, "messages": [{"role": "user", "content": f"Question {number}?"}]}
    try:
        reply = await client.post("/v1/chat/completions", json=body)
        said = reply.json()["choices"][0]["message"]["content"]
        rating = VALUES[said] if value is None else value(said)
        rated = {"episode": reply.headers["x-mar-episode"], "rating": rating}
        await client.post("/v1/feedback", json=rated)
    except httpx.HTTPError:
        return None
    return said


@asynccontextmanager
async def rollouts(folder):
    async with database(str(folder / "gateway.sqlite"), durable=True) as db:
        yield await RolloutStore.open(db)


async def traffic(client, store, *, until_over=True, liar=None, seconds=PATIENCE_S):
    """Users ask and rate until the rollout under way is over; gives the stages and shares that it went through."""
    numbers, course = count(), []
    async with asyncio.timeout(seconds):
        while True:
            await asyncio.gather(*(visit(client, f"user{n % USERS}", n) for n in (next(numbers) for _ in range(8))))
            if liar is not None:  # every fifth rating is his
                await asyncio.gather(*(visit(client, "liar", next(numbers), liar) for _ in range(2)))
            latest = (await store.rollouts())[0]
            if course[-1:] != [(latest.stage, latest.share)]:
                course.append((latest.stage, latest.share))
            if latest.over:
                return course, latest


def workers_of(process):
    """The workers' process ids: children that listen, not the resource tracker."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]


async def test_a_good_candidate_is_promoted_and_a_poisoned_one_rolled_back_though_a_worker_dies(tmp_path):
    from mar.extensions import use

    async with gateway(tmp_path) as (process, client), rollouts(tmp_path) as store:
        use(str(tmp_path / "teams.py"))
        assert await visit(client, "ann", 0) == "fair"

        # A poisoned candidate, praised by one user who makes every fifth rating.
        await store.start(Version.of("always-bad"), "mar")
        course, ended = await traffic(client, store, liar=lambda said: {"bad": 1.0, "fair": 0.0}[said])
        assert course[-1] == ("rolled back", 0.0)
        assert ("promoted", 1.0) not in course
        assert ended.because.startswith("quality: difference -0.")

        # A good one; in the middle a worker is killed, and another one takes its place.
        await store.start(Version.of("always-good"), "mar")
        begun = asyncio.create_task(traffic(client, store))

        async def tried():
            return (await store.rollouts())[0].stage != "shadow"

        await until(tried)
        os.kill(workers_of(process)[0], signal.SIGKILL)
        course, ended = await begun
        assert course[-1] == ("promoted", 1.0)
        assert ended.because.startswith("quality: difference +0.")
        await asyncio.sleep(REACHES_S)
        assert await visit_all(client) == {"good"}

        events = [(e.subject, e.what) for e in reversed(await store.events())]
        assert [what for subject, what in events if subject == ended.id][:2] == ["shadow", "canary 30%"]
        evidence = (await store.events())[0].evidence["findings"]
        assert evidence[0]["bounds"]["low"] > -0.05

        await store.take_back("mar", "told to by a test")
        await asyncio.sleep(REACHES_S)
        assert await visit_all(client) == {"fair"}
        log = (tmp_path / "log").read_text()
        versions = {json.loads(line)["status"] for line in log.splitlines() if line.startswith("{")}
        assert versions <= {200, 499}


async def visit_all(client):
    """Who answers, asked often enough, over new connections, to have heard of both workers."""
    found = set()
    for n in range(20):
        async with httpx.AsyncClient(base_url=client.base_url, timeout=30) as fresh:
            found.add(await visit(fresh, f"other{n}", n))
    return found
