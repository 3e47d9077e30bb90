"""End to end on the real thing: vLLM's CPU build serves three tiny models that can each do something else."""

from collections import Counter
from functools import partial
from random import Random
from statistics import fmean

import anyio
import pytest

from mar.concurrency import gather, task_group
from mar.controllers.embeddings import CachedEncoder, MiniLM
from mar.learning import outage
from mar.learning.rollouts import Job, Rollouts
from mar.pool.openai_client import RetryPolicy
from mar.runtime import RunIdentity, Runtime
from mar.runtime.modes import MODES
from mar.runtime.sandbox import Sandbox
from mar.testing.tinypool import tiny_prompts
from mar.testing.tinyskills import MixedSkills
from mar.testing.tinytrain import learn_on, train_on
from mar.types import AgentSpec, CallFailed, ChatRequest, Message, ModeSpec, Plan
from tests.vllm.servers import AT_ONCE, CLOSE, engine_stopped, kept_busy, until

pytestmark = [pytest.mark.vllm, pytest.mark.anyio]
QUICK = RetryPolicy(attempts=2, first_wait_s=0.1)


@pytest.mark.parametrize("mode", sorted(MODES))
async def test_every_mode_runs_on_real_servers(tiny, mode):
    """Three agents on three models; the decider is the one that can add."""
    items = MixedSkills(["add"]).items("test")[:4]
    agents = tuple(
        AgentSpec(role=role, model=model)
        for role, model in zip(("MathSolver", "Inspector", "ProgrammingExpert"), tiny.names, strict=True)
    )
    plan = Plan(mode=ModeSpec(name=mode), domain="Math", agents=agents, decider="tiny-adder")
    async with tiny.pool() as pool:
        runtime = Runtime(pool, prompts=tiny_prompts(), temperature=0.0)
        rollouts = Rollouts(runtime=runtime, task=MixedSkills(["add"]), sandbox=Sandbox())
        outcomes = await rollouts.run([Job(item=i, how=plan, identity=RunIdentity()) for i in items])
    bound = runtime.bound(plan)
    for outcome in outcomes:
        assert outcome.episode.failures == ()
        assert outcome.calls == bound.calls
        assert outcome.cost_usd > 0
        assert {c.model for c in outcome.episode.calls()} == set(tiny.names)
    if not MODES[mode].votes:  # three models that can do different things agree on nothing
        assert sum(o.score.solved for o in outcomes) >= 3


async def test_the_cascade_learns_which_model_can_do_what(tiny, tmp_path):
    task = MixedSkills(sizes={"train": 60, "validation": 20, "test": 80})
    encoder = CachedEncoder(MiniLM())
    baselines = ()
    async with tiny.pool(retry=QUICK, memo=tmp_path / "replies.sqlite") as pool:
        for seed in range(3):
            run = await train_on(pool, task, encoder, tmp_path / str(seed), seed=seed, baselines=baselines)
            baselines = run.baselines
            assert run.learned.accuracy.mean >= run.best_single.accuracy.mean + 0.15
            favourite = {kind: Counter(models).most_common(1)[0][0] for kind, models in run.picks.items()}
            assert favourite == {
                "add": "tiny-adder",
                "reverse": "tiny-speller",
                "copy": "tiny-speller",
                "fact": "tiny-atlas",
            }


async def test_the_sequential_controller_learns_it_from_one_question_to_every_model(tiny, tmp_path):
    task = MixedSkills(sizes={"train": 60, "validation": 0, "test": 80})
    async with tiny.pool(retry=QUICK, memo=tmp_path / "replies.sqlite") as pool:
        learned = await learn_on(pool, task, CachedEncoder(MiniLM()), tmp_path / "run", seed=0)
    assert learned.calls <= 60 * 4  # three models and one that reads
    assert learned.row.accuracy.mean >= 0.85  # the best model alone: 0.5
    favourite = {kind: Counter(models).most_common(1)[0][0] for kind, models in learned.asked.items()}
    assert favourite == {
        "add": "tiny-adder",
        "reverse": "tiny-speller",
        "copy": "tiny-speller",
        "fact": "tiny-atlas",
    }


async def test_telemetry_sees_queues_rise_and_fall(tiny):
    card = tiny.cards()[0]
    seen = []
    async with tiny.pool(watch=CLOSE) as pool:

        def look():
            seen.append(pool.telemetry()[card.name])
            return seen[-1]

        await until(lambda: pool.telemetry()[card.name].running == 0)
        async with kept_busy(card, 3 * AT_ONCE):
            await until(lambda: look().running == AT_ONCE and seen[-1].waiting > AT_ONCE)
            await until(lambda: look().e2e_s is not None)  # the first are done
        await until(lambda: (look().running, seen[-1].waiting, seen[-1].stale) == (0, 0, False))
        assert max(t.running for t in seen) == AT_ONCE
        assert AT_ONCE < max(t.waiting for t in seen) < 3 * AT_ONCE
        assert max(t.kv_cache_usage for t in seen) > 0
        last = seen[-1]
        assert 0 < last.inter_token_s < last.ttft_s < last.e2e_s  # the later ones waited for the earlier
        assert last.queue_s > 0
        others = [t for name, t in pool.telemetry().items() if name != card.name]
        assert all((t.running, t.waiting) == (0, 0) for t in others)


async def test_priorities_reorder_a_saturated_queue(tiny):
    """Requests that wait together are answered by priority, not as they came."""
    card, answered = tiny.cards()[0], []
    priorities = Random(0).sample(range(5 * AT_ONCE), k=5 * AT_ONCE)

    async def ask(pool, priority):
        messages = (Message(speaker="user", text="What is 20+30?"),)
        await pool.chat(ChatRequest(model=card.name, messages=messages, priority=priority))
        answered.append(priority)

    async with tiny.pool() as pool, task_group() as tasks:
        with engine_stopped(tiny.state.read()[card.name]):
            for priority in priorities:
                tasks.start_soon(ask, pool, priority)
            await anyio.sleep(4)  # for all to arrive
    assert sorted(answered) == sorted(priorities)
    queued = answered[AT_ONCE:]  # the first may have begun before the others were seen
    # In any other order a request would be some ten places from where its priority puts it.
    assert fmean(abs(place - sorted(queued).index(p)) for place, p in enumerate(queued)) < AT_ONCE / 2


async def test_a_server_that_is_killed_costs_its_calls_and_nothing_else(tiny, monkeypatch):
    """In the middle of a run one server goes: its calls fail, the run completes; started again, it is used again."""
    monkeypatch.setattr(outage, "IN_A_ROW", 1000)  # a run would stop, and this one is to go on
    monkeypatch.setattr(outage, "AT_THE_END", 1000)
    task, victim = MixedSkills(sizes={"train": 0, "validation": 0, "test": 90}), "tiny-atlas"
    others = [name for name in tiny.names if name != victim]
    async with tiny.pool(retry=QUICK, watch=CLOSE) as pool:
        runtime = Runtime(pool, prompts=tiny_prompts(), temperature=0.0)
        rollouts = Rollouts(runtime=runtime, task=task, sandbox=Sandbox(), concurrency=6)
        agents = tuple(AgentSpec(role="MathSolver", model=name) for name in tiny.names)
        plan = Plan(mode=ModeSpec(name="IO"), domain="Math", agents=agents, decider=others[0])
        jobs = [Job(item=i, how=plan, identity=RunIdentity()) for i in task.items("test")]
        done = 0

        def count():
            nonlocal done
            done += 1
            if done == len(jobs) // 3:
                tiny.kill(victim)

        outcomes = await rollouts.run(jobs, on_done=count)
        assert len(outcomes) == len(jobs)
        assert all(o.failure is None for o in outcomes)  # two agents and the decider are left
        # (A tiny model that is asked what it cannot do sometimes says nothing, which is a failure of another kind.)
        failed = [e for o in outcomes for e in o.episode.events if isinstance(e, CallFailed)]
        lost = [e.model for e in failed if e.failure.kind == "connection"]
        assert set(lost) == {victim}
        assert len(jobs) // 3 <= len(lost) <= len(jobs) - len(jobs) // 3 + 6
        assert victim not in {c.model for c in outcomes[-1].episode.calls()}
        await until(lambda: pool.telemetry()[victim].stale)
        assert not any(pool.telemetry()[name].stale for name in others)
        await anyio.to_thread.run_sync(tiny.start)
        await until(lambda: not pool.telemetry()[victim].stale)
        again = await gather([partial(rollouts.run, [job]) for job in jobs[:4]])
        assert all(victim in {c.model for c in o.episode.calls()} for (o,) in again)
