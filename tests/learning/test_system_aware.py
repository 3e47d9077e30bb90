"""Training under load on the toy of three models: good and dear solve everything, bad nothing."""

import math
from dataclasses import replace
from types import SimpleNamespace

import anyio
import pytest
import torch
from torch import nn

from mar import clock
from mar.controllers import PlanSpace
from mar.controllers.embeddings import HashEncoder
from mar.controllers.system_aware.checkpoint import tensors_of
from mar.controllers.system_aware.controller import VARIANTS, SystemSettings, build
from mar.controllers.system_aware.observe import Inputs, Observation
from mar.errors import CallTimeout, ServerFault
from mar.learning.arrivals import Arrivals
from mar.learning.openloop import open_loop
from mar.learning.progress import Progress
from mar.learning.rollouts import Rollouts
from mar.learning.rundir import RunDir
from mar.learning.system_aware import SystemTrainer, SystemTraining
from mar.learning.system_aware.memory import Ring
from mar.learning.system_aware.ppo import Multiplier, Steps, ppo_loss
from mar.learning.system_aware.settings import early
from mar.learning.system_aware.worth import shrunken
from mar.pool.cards import ModelCard
from mar.pool.pool import Pool
from mar.pool.simulated import SimItem, World, simulated_cards, simulated_pool
from mar.runtime import Runtime
from tests.learning import toy
from tests.learning.busy import BUSY_SHARE, busy_controller, busy_settings, shares_of

WIDTH = 16


class Served:
    """The toy's models behind queues: two calls at once each, `seconds` a call."""

    def __init__(self, seconds=5.0, fails=None):
        self.seconds, self.fails = seconds, fails
        self.slots = {name: anyio.Semaphore(2) for name in toy.PRICES}

    async def chat(self, request, on_delta=None):
        began = anyio.current_time()
        async with self.slots[request.model]:
            await anyio.sleep(self.seconds)
        if self.fails is not None:
            raise self.fails
        return replace(toy.answer(request), latency_s=anyio.current_time() - began)


def simulated():
    """Models that serve calls of one instant in a fixed order, whatever order the event loop runs tasks in."""
    item = SimItem(domain="Math", benchmark="gsm8k", difficulty=0.0, right=("solved",), wrong=("wrong",), form="text")
    task = toy.ToyTask()
    known = {task.query(i).id: item for split in ("train", "validation") for i in task.items(split)}
    return simulated_pool(World.of(known), cards=simulated_cards("simulated-vllm")[2:])


def trainer(folder, variant, *, rates=(0.2, 0.4), episodes=64, model=None, pool=None, **more):
    priced = [ModelCard(name=n, price_in=p, price_out=p, concurrency=2) for n, p in toy.PRICES.items()]
    pool = pool or Pool(priced, model or Served(), kind="scripted", virtual_time=True)
    cards = tuple(pool.cards.values())
    runtime = Runtime(pool, keep_prompts=False)
    space = PlanSpace(cards=cards, prompts=runtime.prompts, modes=("IO", "Chain"), max_agents=2)
    settings = SystemSettings(
        variant=variant, domain="Math", models=pool.names, embedding=WIDTH, estimates=variant == "published"
    )
    training = SystemTraining(
        arrivals=tuple(Arrivals(rate=r) for r in rates),
        episodes=episodes,
        update_every=16,
        pilot=4,
        validation_episodes=6,
        tolls=(0.1,),
        **more,
    )
    task = toy.ToyTask()
    controller = build(settings, space, HashEncoder(WIDTH))
    made = SystemTrainer(
        controller,
        space,
        task.items("train"),
        task.items("validation"),
        early(training) if variant == "early" else training,
        RunDir(folder),
        Progress(quiet=True),
    )
    return made, Rollouts(runtime=runtime, task=task, sandbox=None)


def run(made, rollouts, segments=None):
    while made.next_segment is not None and segments != 0:

        async def main():
            async with rollouts.runtime.pool:
                return await made.segment(rollouts)

        clock.run(main, virtual=True)
        segments = None if segments is None else segments - 1
    return made


def models_bound(made, rollouts):
    controller = made.controller
    controller.greedy = True
    late = replace(rollouts, deadline_s=100.0)

    async def main():
        from mar.learning.rollouts import Job
        from mar.runtime import RunIdentity

        async with rollouts.runtime.pool:
            items = toy.ToyTask().items("test")
            planned = controller.plan([toy.ToyTask().query(i) for i in items], made.space)
            return await late.run(
                [Job(item=i, how=p.how, identity=RunIdentity()) for i, p in zip(items, planned, strict=True)]
            )

    return [c.model for o in clock.run(main, virtual=True) for c in o.episode.calls()]


# The loop -------------------------------------------------------------------------------------------------------


def test_an_open_loop_begins_work_on_time_and_turns_away_what_is_too_much():
    began = []

    async def work(i):
        began.append(anyio.current_time())
        await anyio.sleep(10)
        return i

    async def main():
        return await open_loop([0, 1, 2, 11], work, most=2)

    assert clock.run(main, virtual=True) == [0, 1, None, 3]
    assert began == [0, 1, 11]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_killed_run_goes_on_to_the_same_weights(variant, tmp_path):
    (tmp_path / "whole").mkdir()
    whole, rollouts = trainer(tmp_path / "whole", variant, pool=simulated())
    run(whole, rollouts)
    (tmp_path / "killed").mkdir()
    run(*trainer(tmp_path / "killed", variant, pool=simulated()), segments=whole.segments // 2)
    killed, again = trainer(tmp_path / "killed", variant, pool=simulated())  # another process would begin like this
    assert killed.next_segment == whole.segments // 2
    run(killed, again)
    one, other = tensors_of(whole.controller), tensors_of(killed.controller)
    assert all(torch.equal(one[k], other[k]) for k in one)
    assert whole.run.metrics() == killed.run.metrics()


def test_our_variant_leaves_the_model_that_never_solves_anything(tmp_path):
    made, rollouts = trainer(tmp_path, "ours")
    bound = models_bound(run(made, rollouts), rollouts)
    assert bound.count("bad") == 0


def test_the_published_variant_learns_to_use_it_less(tmp_path):
    made, rollouts = trainer(tmp_path, "published", episodes=400, rates=(0.2,), lr=5e-3, entropy_weight=0.01)
    bound = models_bound(run(made, rollouts), rollouts)
    assert bound.count("bad") / len(bound) < 0.15


def test_updates_of_policy_gradients_wait_for_slow_episodes_so_that_they_count_too(tmp_path):
    made, rollouts = trainer(tmp_path, "early", rates=(5.0,), episodes=100, model=Served(seconds=20.0))
    run(made, rollouts)
    (last,) = [m for m in made.run.metrics() if "stale_steps" in m]
    assert last["episodes"] == 100
    assert last["stale_episodes"] == 0
    assert made.state.step >= 1


def test_decisions_more_than_one_version_old_are_dropped(tmp_path):
    made, _ = trainer(tmp_path, "early")
    made.controller.executor.version = 3
    steps = tuple(SimpleNamespace(decision=SimpleNamespace(version=v)) for v in (0, 1, 2, 3))
    fresh = made._fresh(SimpleNamespace(steps=steps))
    assert [s.decision.version for s in fresh] == [2, 3]


def test_arrivals_beyond_capacity_are_shed_and_the_run_ends(tmp_path):
    made, rollouts = trainer(tmp_path, "ours", rates=(1000.0,), episodes=300, most_in_flight=20)
    run(made, rollouts)
    (metrics,) = [m for m in made.run.metrics() if "shed" in m]
    assert metrics["shed"] >= 270
    assert metrics["episodes"] + metrics["shed"] == 300


@pytest.mark.parametrize(("error", "counted"), [(ServerFault("down"), 64), (CallTimeout("slow"), 0)])
def test_faults_of_servers_teach_nothing_but_time_outs_are_the_policys_own(error, counted, tmp_path):
    made, rollouts = trainer(tmp_path, "early", rates=(0.2,), model=Served(fails=error))
    run(made, rollouts)
    (metrics,) = [m for m in made.run.metrics() if "failed_outside" in m]
    assert metrics["failed_outside"] == counted


def test_on_the_wall_clock_learning_does_not_block_the_event_loop(tmp_path):
    made, rollouts = trainer(tmp_path, "early", rates=(500.0,), episodes=32, model=Served(seconds=0.001))
    threads = set()
    learn = made.learner.learn

    def noted(*args):
        import threading

        threads.add(threading.current_thread() is threading.main_thread())
        return learn(*args)

    made.learner.learn = noted

    async def main():
        await made.segment(rollouts)

    clock.run(main, virtual=False)
    assert threads == {False}


def test_a_budget_of_zero_is_refused():
    with pytest.raises(ValueError, match="positive seconds are expected"):
        SystemTraining(arrivals=(Arrivals(rate=1.0),), budgets_s=(0.0,))


def test_work_moves_away_from_a_model_that_others_keep_busy(tmp_path):
    class OneIsBusy(Served):
        """Others have a minute's work before every call to `good`."""

        async def chat(self, request, on_delta=None):
            wait = 60.0 if request.model == "good" else 0.0
            await anyio.sleep(wait)
            reply = await super().chat(request, on_delta)
            return replace(reply, latency_s=reply.latency_s + wait)

    class AnyAnswer(toy.ToyTask):
        async def score(self, item, answer, sandbox):
            return toy.Score(value=1.0, solved=True)

    made, rollouts = trainer(tmp_path / "unused", "early", model=OneIsBusy(seconds=1.0))
    settings = busy_settings(rate=1.0, budget_s=60.0)
    task = AnyAnswer()
    (tmp_path / "run").mkdir()
    learns = busy_controller(
        made.space, HashEncoder(WIDTH), task.items("train"), settings, RunDir(tmp_path / "run"), Progress(quiet=True)
    )
    samples = clock.run(lambda: learns.segment(replace(rollouts, task=task)), virtual=True)
    first, last = shares_of(samples, "good", learns.controller)
    assert last < BUSY_SHARE * first


# The rules of learning ------------------------------------------------------------------------------------------


class Fixed(nn.Module):
    """Logits and a value that are parameters."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([logits]))
        self.worth = nn.Parameter(torch.zeros(1))

    def forward(self, seen):
        n = len(seen.query)
        return self.logits.expand(n, -1), self.worth.expand(n)


def steps(action, log_prob, reward):
    zeros = torch.zeros(1, 4).numpy()
    seen = Observation(query=zeros[0], role=zeros[0], remaining_s=1.0, budget_s=1.0, models=zeros[:, :1], step=zeros[0])
    return Steps(
        seen=Inputs.stack([seen]).tensors(),
        action=torch.tensor([action]),
        log_prob=torch.tensor([log_prob]),
        value=torch.zeros(1),
        reward=torch.tensor([reward]),
    )


def test_the_loss_of_a_step_is_clipped_policy_gain_plus_value_error_minus_entropy():
    settings = SystemTraining(arrivals=(Arrivals(rate=1.0),))
    # Two equal choices: pi = 0.5. It was 0.25 when the choice was made, so the ratio is 2, clipped to 1.2.
    loss, entropy = ppo_loss(Fixed([0.0, 0.0]), steps(0, math.log(0.25), 1.0), torch.tensor([1.0]), settings)
    assert entropy.item() == pytest.approx(math.log(2))
    assert loss.item() == pytest.approx(-1.2 + 0.5 * 1.0 - 0.1 * math.log(2))
    # A worse choice than expected is not clipped on that side: -min(2 * -1, 1.2 * -1) = 2.
    loss, _ = ppo_loss(Fixed([0.0, 0.0]), steps(0, math.log(0.25), 1.0), torch.tensor([-1.0]), settings)
    assert loss.item() == pytest.approx(2 + 0.5 - 0.1 * math.log(2))


def test_the_multiplier_follows_the_constraint_between_its_bounds():
    price = Multiplier(value=0.2, step=0.1, most=1.0)
    price.move(2.0)
    assert price.value == pytest.approx(0.4)
    price.move(-9.0)
    assert price.value == 0.0
    price.move(99.0)
    assert price.value == 1.0
    again = Multiplier(value=0.0, step=0.1, most=1.0)
    again.load(price.state())
    assert again.value == 1.0


def test_a_ring_keeps_the_latest_rows_and_gives_them_back_after_saving():
    ring = Ring(3)
    for x in range(5):
        ring.add({"x": torch.tensor([float(x)])})
    drawn = set(ring.draw(50, torch.Generator().manual_seed(0))["x"].tolist())
    assert (len(ring), drawn) == (3, {2.0, 3.0, 4.0})
    again = Ring(3)
    again.load(ring.state())
    assert set(again.draw(50, torch.Generator().manual_seed(0))["x"].tolist()) == drawn


def test_shares_of_few_trials_are_drawn_to_what_model_and_strategy_do_on_the_whole():
    trials = {(0, 0): [1.0, 1.0], (0, 1): [1.0, 1.0], (1, 0): [0.0, 0.0], (1, 1): [1.0, 1.0]}
    # Mean 0.75; model 1 is 0.25 below it, strategy 1 0.25 above: 0.75 is expected of the pair, and (2 + 4 * 0.75) / 6.
    assert shrunken(trials)[1, 1] == pytest.approx(5 / 6)
    assert shrunken(trials)[1, 0] == pytest.approx((0 + 4 * 0.25) / 6)
