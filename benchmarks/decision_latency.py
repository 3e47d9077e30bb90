# pyright: basic
"""How long controllers take to decide, with embeddings already computed: one query, and 64 at once.

    uv run python benchmarks/decision_latency.py

MasRouter decides once for a query; its published code takes 1,400 ms and 2,900 ms, nearly all of it encoding texts that
never change. The sequential controller decides before every call: after so many calls of the models that it would ask,
whose answers agree or not. The last line runs 64 episodes at once on a scripted pool and says what the longest stretch
of the event loop was, everything included. Times are of the processor, since other work may be under way.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from unittest import mock

import numpy as np
import torch
from _shared import machine

from mar.clock import run
from mar.concurrency import gather
from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import HashEncoder, Vectors
from mar.controllers.masrouter import MasRouter, NetworkSettings
from mar.controllers.sequential import Mind, Planner, Said, Sequential, Terms
from mar.controllers.sequential.planner import Case
from mar.pool import Pool
from mar.pool.scripted import ScriptedModel
from mar.pool.simulated import EMPTY_WORLD, simulated_pool
from mar.runtime import PromptLibrary, Runtime
from mar.tasks.scoring.formats import Choice
from mar.types import Query

REPEATS = 100
CALLS = (0, 1, 2, 4)  # after which steps are timed


class Remembered(HashEncoder):
    """Vectors that are there already, as after the first decision: meaning does not matter for the time."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[tuple[str, ...], Vectors] = {}

    def encode(self, texts: Sequence[str]) -> Vectors:
        key = tuple(texts)
        if key not in self._known:
            self._known[key] = super().encode(texts)
        return self._known[key]


def timed(work: Callable[[], object], what: str, target_ms: float) -> None:
    """Time something many times and print it."""
    for _ in range(20):
        work()
    times: list[float] = []
    for _ in range(REPEATS):
        began = time.thread_time()
        work()
        times.append(1e3 * (time.thread_time() - began))
    p50, p95 = statistics.median(times), sorted(times)[int(0.95 * len(times))]
    print(f"{what}: p50 {p50:.2f} ms, p95 {p95:.2f} ms (aim: under {target_ms:g} ms)")


def masrouter(space: PlanSpace) -> None:
    """Whole plans."""
    router = MasRouter(NetworkSettings(), Remembered(), cost_rate=20.0)
    for n, target in ((1, 2.0), (64, 5.0)):
        queries = [Query(text=f"question {i}") for i in range(n)]
        timed(partial(router.plan, queries, space), f"MasRouter, {n:2d} at once", target)


def sequential(space: PlanSpace) -> None:
    """Steps of episodes, by what was said so far."""
    mind = Mind.vague(space.cards, "Commonsense", "options", strategies=(None, "Flash"), embedding=384)
    planner = Planner(mind.beliefs, telling=0.5)
    asked = np.argsort(-mind.beliefs.theta.numpy())
    rng = random.Random(0)
    for n in CALLS:
        cases = [_case(mind, [int(m) for m in asked[:n]], rng) for _ in range(64)]
        timed(partial(planner.consider, cases[:1]), f"sequential after {n} calls,  1 at once", 3.0)
        timed(partial(planner.consider, cases), f"sequential after {n} calls, 64 at once", 15.0)


def _case(mind: Mind, models: Sequence[int], rng: random.Random) -> Case:
    """Three of four say the same."""
    given: list[int] = []
    said: list[Said] = []
    for model in models:
        answer = 0 if not given or rng.random() < 0.75 else max(given) + 1
        given.append(answer)
        said.append(Said(model=model, answer=answer, surer=rng.uniform(-1, 1)))
    skill = np.array([rng.gauss(0, 0.3) for _ in mind.beliefs.models])
    return Case(said=tuple(said), skill=skill, options=10, reading=True)


def stretch(pool: Pool, prompts: PromptLibrary) -> None:
    """The longest time that the event loop has no turn while 64 episodes run."""
    mind = Mind.vague(list(pool.cards.values()), "Commonsense", "options", strategies=(None, "Flash"), embedding=384)
    controller = Sequential([mind], Remembered(), Terms(cost_rate=0.0, most_calls=6))
    form = Choice(options=("Paris", "Rome", "Oslo", "Bern"))
    queries = [Query(text=f"question {i}", id=f"q/{i}", answer_format=form) for i in range(64)]
    rng = random.Random(0)
    scripted = ScriptedModel(lambda _: f"The answer is ({rng.choice('AAAB')}).")
    live = Pool(list(pool.cards.values()), scripted, kind="scripted", virtual_time=False)
    runtime = Runtime(live, prompts=prompts)
    planned = controller.plan(queries, PlanSpace.of(live, prompts))
    stretches: list[float] = []
    once = asyncio.Handle._run  # pyright: ignore[reportPrivateUsage]

    def timed_once(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        once(handle)
        stretches.append(1e3 * (time.thread_time() - began))

    async def episodes() -> int:
        done = await gather([partial(runtime.run, q, p.how) for q, p in zip(queries, planned, strict=True)])
        return sum(len(list(e.calls())) for e in done)

    with mock.patch.object(asyncio.Handle, "_run", timed_once):
        calls = run(episodes, virtual=False)
    longest, p99 = max(stretches), sorted(stretches)[int(0.99 * len(stretches))]
    print(f"64 episodes at once, {calls} calls: longest stretch {longest:.1f} ms, p99 {p99:.2f} ms (aim: under 5 ms)")


def main() -> None:
    """Print everything."""
    torch.set_num_threads(1)
    pool, prompts = simulated_pool(EMPTY_WORLD), PromptLibrary.load()
    space = PlanSpace.of(pool, prompts)
    print(f"{machine()}; {len(space.cards)} models, {len(space.modes)} modes, up to {space.max_agents} agents")
    masrouter(space)
    sequential(space)
    stretch(pool, prompts)


if __name__ == "__main__":
    main()
