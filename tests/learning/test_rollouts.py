import pytest

from mar import clock
from mar.learning import outage
from mar.learning.rollouts import OUTSIDE, Job, Outcome, Rollouts
from mar.pool.cards import ModelCard
from mar.pool.openai_client import OpenAIModel, RetryPolicy
from mar.pool.pool import Pool
from mar.runtime import Ledger, RunIdentity, Runtime
from mar.tasks.task import Score
from mar.testing import ChatServer, evenly
from mar.types import AgentSpec, Episode, Failure, ModeSpec, Plan
from tests.learning import toy

FAULTS = ("rate_limited", "server_error", "garbage", "no_choices", "empty", "truncated", "closed")


def plan(agents=3, mode="Debate", model="good"):
    return Plan(
        mode=ModeSpec(name=mode),
        domain="Math",
        agents=tuple(AgentSpec(role="MathSolver", model=model) for _ in range(agents)),
    )


def jobs(n, **how):
    items = [toy.ToyItem(f"i{k}") for k in range(n)]
    return [Job(item=item, how=plan(**how), identity=RunIdentity()) for item in items]


def test_a_run_completes_when_a_third_of_all_calls_fail_and_every_item_is_accounted_for(monkeypatch):
    monkeypatch.setattr(outage, "AT_THE_END", 20)  # the last three calls may fail by chance

    async def main():
        async with ChatServer(answer=lambda request: "solved", faults=evenly(0.3, FAULTS), models=("good",)) as server:
            card = ModelCard(name="good", base_url=server.base_url, price_in=1.0, price_out=1.0)
            retry = RetryPolicy(attempts=2, first_wait_s=0.01)
            async with Pool([card], OpenAIModel([card], retry=retry), kind="live") as pool:
                rollouts = Rollouts(runtime=Runtime(pool), task=toy.ToyTask(), sandbox=None, concurrency=8)
                return await rollouts.run(jobs(30)), len(server.injected)

    outcomes, injected = clock.run(main, virtual=False)
    assert [o.query_id for o in outcomes] == [f"i{k}" for k in range(30)]
    assert injected > 30
    for outcome in outcomes:
        assert outcome.score.solved == (outcome.failure is None)  # whoever answered was right; nobody else is
    hit = [o for o in outcomes if o.episode.failures]
    assert hit
    assert all(not o.learnable for o in hit)  # a missing agent says nothing about the plan
    assert any(o.score.solved for o in hit)  # and the others went on


def test_a_run_at_its_limit_counts_every_item_and_says_why():
    async def main():
        async with toy.toy_pool() as pool:
            runtime = Runtime(pool, ledger=Ledger(limit_usd=0.0))
            rollouts = Rollouts(runtime=runtime, task=toy.ToyTask(), sandbox=None)
            return await rollouts.run(jobs(4)), rollouts.limit_reached

    outcomes, reached = clock.run(main, virtual=True)
    assert [o.failure.kind for o in outcomes] == ["limit"] * 4
    assert all(o.calls == 0 and o.cost_usd == 0 for o in outcomes)
    assert "the run may cost 0 USD" in reached


def test_jobs_start_when_they_arrive():
    late = [Job(item=j.item, how=j.how, identity=j.identity, start_s=10.0 * k) for k, j in enumerate(jobs(3))]
    began = []

    async def main():
        async with toy.toy_pool() as pool:
            rollouts = Rollouts(runtime=Runtime(pool), task=toy.ToyTask(), sandbox=None)
            await rollouts.run(late, on_done=lambda: began.append(clock.virtual_clock().current_time()))

    clock.run(main, virtual=True)
    assert [round(b - began[0]) for b in began] == [0, 10, 20]


@pytest.mark.parametrize(("kind", "learnable"), [("timeout", False), ("unreadable", True), ("lookup", True)])
def test_only_failures_of_the_outside_world_teach_nothing(kind, learnable):
    failure = Failure(kind=kind, reason="")
    episode = Episode(query_id="q", plan=plan(), events=(), latency_s=0.0, failure=failure)
    score = Score(value=0.0, solved=False)
    outcome = Outcome(query_id="q", score=score, cost_usd=0.0, calls=0, latency_s=0.0, failure=failure, episode=episode)
    assert outcome.learnable is learnable
    assert (kind in OUTSIDE) is not learnable
