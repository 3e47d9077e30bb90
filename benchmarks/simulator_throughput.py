# pyright: basic
"""How many simulated calls a second of wall clock the virtual-time pool carries, and what a learned executor adds.

    python benchmarks/simulator_throughput.py [--calls 20000] [--in-flight 4000]

Each of `--in-flight` clients asks one question after another, on models in turn, with a little think time, so that
arrivals and completions interleave as in a load test. The same clients then have the model of each call chosen, first
by what the plan says, then by our executor and the published one, with fresh weights and one pass for all decisions of
an instant; the difference is what the executor costs. At last each question is an episode of one agent.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
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
from mar.runtime import PromptLibrary, RunIdentity, Runtime
from mar.types import (
    AgentSpec,
    Bind,
    Binding,
    CallContext,
    ChatRequest,
    Message,
    ModeSpec,
    Move,
    Plan,
    Query,
    View,
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


AGENT = AgentSpec(role="AlgorithmDesigner")  # makes one call
PLAN = Plan(mode=ModeSpec(name="IO"), domain="Code", agents=(AGENT,))


def named(pool: Pool) -> Bind:
    """Takes what the plan says."""

    async def bind(move: Move, view: View) -> Binding:
        return Binding(model=move.agent.model or "")

    return bind


def ours(pool: Pool) -> Bind:
    """Our executor."""
    return _executor(pool, "ours")


def published(pool: Pool) -> Bind:
    """The published executor."""
    return _executor(pool, "published")


def _executor(pool: Pool, variant: Variant) -> Bind:
    space = PlanSpace.of(pool, PromptLibrary.load())
    settings = SystemSettings(variant=variant, domain="Code", models=pool.names)
    return build(settings, space, Kept(HashEncoder())).executor.over(PLAN)


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


async def load(clients: int, turns: int, choose: Callable[[Pool], Bind] | None = None, *, episodes: bool) -> float:
    """Run the load and return the virtual seconds that it took."""
    pool = simulated_pool(world(), cards=simulated_cards("simulated-vllm"))
    bind = None if choose is None else choose(pool)
    runtime = Runtime(pool, max_tokens=1024, keep_prompts=False)

    async def ask(number: int, turn: int, model: str) -> None:
        if episodes:
            plan = replace(PLAN, agents=(replace(AGENT, model=model),))
            question = Query(text=PROMPT[0].text, id=f"q{(number * 7 + turn) % ITEMS}")
            await runtime.run(question, plan, identity=RunIdentity(epoch=f"{number}/{turn}"))
            return
        if bind is not None:  # what is chosen is not used: all runs do the same work
            now = anyio.current_time()
            query = Query(text=f"question {(number * 7 + turn) % ITEMS}", id=f"{number}/{turn}")
            view = View(query=query, deadline=now + 100.0, now=now, started=now, watch=pool.telemetry)
            await bind(Move(agent=replace(AGENT, model=model), domain="Code", index=0), view)
        await pool.chat(request(number, turn, model))

    async def client(number: int) -> None:
        await anyio.sleep(number * 0.0137)
        for turn in range(turns):
            await ask(number, turn, pool.names[(number + turn) % len(pool.names)])

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
    rows: list[tuple[str, Callable[[Pool], Bind] | None]] = [
        ("calls alone", None),
        ("named", named),
        ("ours", ours),
        ("published", published),
        ("episodes", None),
    ]
    for name, choose in rows:
        wall, cpu = time.perf_counter(), time.process_time()
        run = partial(load, options.in_flight, turns, choose, episodes=name == "episodes")
        virtual = clock.run(run, virtual=True)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        took[name] = cpu
        print(
            f"{name}: {calls} calls of {options.in_flight} clients, {virtual:.1f} s of virtual time: "
            f"{calls / wall:.0f} calls/s by the clock, {calls / cpu:.0f} calls per second of CPU time"
        )
    for name in ("ours", "published"):
        print(f"{name}: adds {(took[name] - took['named']) / took['named']:.2f} times the cost with named models")


if __name__ == "__main__":
    main()
