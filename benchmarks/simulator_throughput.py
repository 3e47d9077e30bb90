# pyright: basic
"""How many simulated calls a second of wall clock the virtual-time pool carries, and what a learned executor adds.

    python benchmarks/simulator_throughput.py [--calls 20000] [--in-flight 4000]

Each of `--in-flight` clients asks one question after another, on models in turn, with a little think time, so that
arrivals and completions interleave as in a load test. The same clients then let a binder choose the model of each call,
first one that chooses nothing and then our executor and the published one, with fresh weights and one pass for all
decisions of an instant; the difference is what the executor costs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial

import anyio
import numpy as np
import torch

from mar import clock
from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import HashEncoder
from mar.controllers.system_aware.controller import SystemSettings, Variant, build
from mar.pool.pool import Pool
from mar.pool.simulated import SimItem, World, simulated_cards, simulated_pool
from mar.runtime import PromptLibrary
from mar.runtime.binders import FixedBinder
from mar.types import (
    AgentSpec,
    Binder,
    Budget,
    CallContext,
    ChatRequest,
    Message,
    ModeSpec,
    Plan,
    Query,
    StepContext,
)

ITEMS = 500
PROMPT = (Message(speaker="user", text="Write a function that returns the sum of a list. " * 8),)


def world() -> World:
    """Items that differ in difficulty only."""
    return World.of(
        (
            f"q{i}",
            SimItem(
                domain="Code",
                benchmark="mbpp",
                difficulty=i / ITEMS * 4 - 2,
                right=("def f(x):\n    return sum(x)",),
                wrong=("def f(x):\n    return max(x)", "def f(x):\n    return len(x)"),
                form="code",
            ),
        )
        for i in range(ITEMS)
    )


def request(client: int, turn: int, model: str) -> ChatRequest:
    """The request of one client's turn."""
    identity = f"{client}/{turn}"
    context = CallContext(item=f"q{(client * 7 + turn) % ITEMS}", message_id=identity, output="code")
    return ChatRequest(model=model, messages=PROMPT, max_tokens=1024, sample=identity, context=context)


def fixed(pool: Pool) -> Binder:
    """A binder that takes what the plan says."""
    return FixedBinder()


def ours(pool: Pool) -> Binder:
    """Our executor."""
    return _executor(pool, "ours")


def published(pool: Pool) -> Binder:
    """The published executor."""
    return _executor(pool, "published")


def _executor(pool: Pool, variant: Variant) -> Binder:
    space = PlanSpace.of(pool, PromptLibrary.load())
    settings = SystemSettings(variant=variant, domain="Code", models=pool.names)
    return build(settings, space, Kept(HashEncoder())).binder


class Kept:
    """Vectors that are computed once, as a cached encoder does it."""

    def __init__(self, encoder: HashEncoder) -> None:
        self.name, self.width, self._encoder = encoder.name, encoder.width, encoder
        self._known: dict[str, np.ndarray] = {}

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """One row per text."""
        for text in texts:
            if text not in self._known:
                self._known[text] = self._encoder.encode([text])[0]
        return np.stack([self._known[text] for text in texts])


async def load(clients: int, turns: int, binder: Callable[[Pool], Binder] | None = None) -> float:
    """Run the load and return the virtual seconds that it took."""
    pool = simulated_pool(world(), cards=simulated_cards("simulated-vllm"))
    chooses = None if binder is None else binder(pool)
    plan = Plan(mode=ModeSpec(name="IO"), domain="Code", agents=(AgentSpec(role="ProgrammingExpert"),))

    def step(number: int, turn: int, model: str) -> StepContext:
        now = anyio.current_time()
        return StepContext(
            query=Query(text=f"question {(number * 7 + turn) % ITEMS}", id=f"{number}/{turn}"),
            plan=plan,
            agent=AgentSpec(role="ProgrammingExpert", model=model),
            kind="agent",
            index=0,
            round=0,
            remaining=Budget(),
            deadline=now + 100.0,
            now=now,
            started=now,
            telemetry=pool.telemetry(),
        )

    async def client(number: int) -> None:
        await anyio.sleep(number * 0.0137)
        for turn in range(turns):
            model = pool.names[(number + turn) % len(pool.names)]
            if chooses is not None:
                await chooses.bind(step(number, turn, model))  # what it chooses is not used: all runs do the same work
            await pool.chat(request(number, turn, model))

    async with pool, anyio.create_task_group() as tasks:
        for number in range(clients):
            tasks.start_soon(client, number)
    return anyio.current_time()


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--in-flight", type=int, default=4_000)
    options = parser.parse_args()
    turns = max(1, options.calls // options.in_flight)
    calls = turns * options.in_flight
    torch.set_num_threads(1)
    took: dict[str, float] = {}
    for name, binder in (("no binder", None), ("fixed", fixed), ("ours", ours), ("published", published)):
        wall, cpu = time.perf_counter(), time.process_time()
        virtual = clock.run(partial(load, options.in_flight, turns, binder), virtual=True)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        took[name] = cpu
        print(
            f"{name}: {calls} calls of {options.in_flight} clients, {virtual:.1f} s of virtual time: "
            f"{calls / wall:.0f} calls/s by the clock, {calls / cpu:.0f} calls per second of CPU time"
        )
    for name in ("ours", "published"):
        print(f"{name}: adds {(took[name] - took['fixed']) / took['fixed']:.2f} times the cost with a fixed binder")


if __name__ == "__main__":
    main()
