"""The system-aware controller: what it sees, how it decides, what it keeps. Figures by hand on two small models."""

import math
from dataclasses import replace

import anyio
import anyio.lowlevel
import numpy as np
import pytest
import torch
from torch import nn

from mar import clock
from mar.controllers import LateController, Moment, PlanSpace
from mar.controllers.embeddings import HashEncoder
from mar.controllers.headers import kind_of
from mar.controllers.system_aware.checkpoint import load_system_aware, save_system_aware, tensors_of
from mar.controllers.system_aware.controller import VARIANTS, SystemSettings, build
from mar.controllers.system_aware.delay import loads
from mar.controllers.system_aware.estimators import CallEstimator, CallRecord
from mar.controllers.system_aware.executor import LateExecutor, Recording, Senses, Step, unit
from mar.controllers.system_aware.goodput import GoodputExecutor, waits
from mar.controllers.system_aware.networks import PublishedExecutor
from mar.controllers.system_aware.observe import KV, RUNNING, STALE, WAITING, Inputs, decide_by, model_rows
from mar.controllers.system_aware.planners import Ask
from mar.controllers.system_aware.shapes import StopOnAgreement, early_shapes, load_aware_shapes, stages
from mar.errors import CheckpointError, ConfigError
from mar.pool import scripted_pool
from mar.pool.cards import ModelCard
from mar.runtime import PlanPolicy, PromptLibrary, Runtime
from mar.tasks.scoring.formats import Number
from mar.types import AgentSpec, Considered, ModelTelemetry, ModeSpec, Move, Plan, Query, View

CARDS = (ModelCard(name="small", concurrency=2), ModelCard(name="large", concurrency=2))
PROMPTS = PromptLibrary.load()
SPACE = PlanSpace(cards=CARDS, prompts=PROMPTS, max_agents=3)
WIDTH = 16
ENCODER = HashEncoder(WIDTH)
PLAN = Plan(mode=ModeSpec(name="IO"), domain="Math", agents=(AgentSpec(role="MathSolver"),))
NUMBER = Query(text="What is 6 times 7?", id="q", answer_format=Number())


def busy(name, running, waiting, *, service=10.0, **more):
    return ModelTelemetry(model=name, running=running, waiting=waiting, e2e_s=service, queue_s=0.0, **more)


def telemetry(small=(0, 0), large=(0, 0), **more):
    return {"small": busy("small", *small), "large": busy("large", *large, **more)}


def step(*, query="q", deadline=100.0, now=0.0, started=0.0, load=None, kind="agent", role="MathSolver"):
    move = Move(agent=AgentSpec(role=role), domain="Math", index=0, kind=kind)
    about = {"deadline": deadline, "now": now, "started": started}
    view = View(query=Query(text=query, id=query), watch=lambda: telemetry() if load is None else load, **about)
    return Step.of(move, view, agents=1)


def bind(executor, at):
    return executor.over(PLAN)(at.move, at.view)


def senses():
    return Senses(CARDS, ENCODER, PROMPTS)


def controller(variant, **more):
    settings = SystemSettings(variant=variant, domain="Math", models=("small", "large"), embedding=WIDTH, **more)
    return build(settings, SPACE, ENCODER)


class Counting(nn.Module):
    """Prefers the second model's first strategy; counts its passes."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def forward(self, seen):
        self.batches.append(len(seen.query))
        logits = torch.zeros(len(seen.query), 2, 3)
        logits[:, 1, 0] = 1.0
        return logits, torch.zeros(len(seen.query))


# What is seen ---------------------------------------------------------------------------------------------------


def test_a_silent_server_is_seen_as_flooded_and_an_unknown_figure_as_nothing():
    rows = model_rows(CARDS, {"small": busy("small", 0, 0, stale=True)})
    assert rows[0, [RUNNING, WAITING, KV, STALE]].tolist() == [2, 16, 1, 1]
    assert rows[1, [RUNNING, WAITING, KV, STALE]].tolist() == [0, 0, 0, 0]  # a server without figures


@pytest.mark.parametrize(
    ("times", "left"),
    [
        ({"deadline": 30.0, "started": 10.0, "now": 15.0}, 15.0),
        ({"deadline": 30.0, "started": 10.0, "now": 99.0}, 0.0),  # too late
        ({"deadline": 30.0, "started": 10.0, "now": 3.0}, 20.0),  # the clock went backwards
        ({"deadline": 10.0, "started": 10.0, "now": 10.0}, 0.0),  # a budget of zero
        ({"deadline": None}, 1000.0),
    ],
)
def test_the_time_left_lies_between_zero_and_the_budget(times, left):
    assert senses().step(step(**times)).remaining_s == left


def test_the_decider_is_known_by_its_final_role():
    seen = senses().step(step(kind="decider", role="Plain"))
    assert not np.allclose(seen.role, senses().step(step()).role)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("deadline", [0.0, 1e-9, 1e9])
def test_every_network_is_finite_at_every_budget(variant, deadline):
    made = controller(variant)
    logits, value = made.executor.network(Inputs.stack([made.executor.senses.step(step(deadline=deadline))]).tensors())
    assert torch.isfinite(logits).all()
    assert torch.isfinite(value).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_silent_server_is_not_chosen_while_another_answers(variant):
    made = controller(variant)
    load = telemetry(large=(0, 0), stale=True)

    async def main():
        return [await bind(made.executor, step(query=f"q{i}", load=load)) for i in range(20)]

    assert {b.model for b in clock.run(main, virtual=True)} == {"small"}


# Deciding -------------------------------------------------------------------------------------------------------


def decide_together(network, names):
    executor = LateExecutor(network, senses(), ("Flash", "Concise", "DeepThink"))
    recordings = [Recording(executor, 1, name) for name in names]

    async def main():
        async with anyio.create_task_group() as tasks:
            for recording in recordings:
                tasks.start_soon(recording.bind, step().move, step().view)

    clock.run(main, virtual=True)
    return {r.key: r.decisions[0] for r in recordings}


def test_decisions_of_one_instant_are_one_pass_and_do_not_depend_on_their_order():
    network = Counting()
    made = decide_together(network, ["a", "b", "c"])
    assert network.batches == [3]
    again = decide_together(Counting(), ["c", "a", "b"])
    assert {k: d.action for k, d in made.items()} == {k: d.action for k, d in again.items()}


def test_a_decision_is_recorded_with_its_probability_and_the_version_of_the_weights():
    made = decide_together(Counting(), ["a"])["a"]
    mass = 5 + math.e
    assert math.exp(made.log_prob) == pytest.approx((math.e if made.action == 3 else 1) / mass)
    assert made.version == 0


def test_draws_follow_the_probabilities():
    actions = [d.action for d in decide_together(Counting(), [str(i) for i in range(600)]).values()]
    assert actions.count(3) / 600 == pytest.approx(math.e / (5 + math.e), abs=0.06)
    assert 0 < unit("x") < 1


def test_the_one_who_leads_a_batch_may_be_cut_off_and_the_others_are_served():
    executor = LateExecutor(Counting(), senses(), ("Flash", "Concise", "DeepThink"))
    bound = []

    async def follow():
        await anyio.lowlevel.checkpoint()
        bound.append(await bind(executor, step(query="b")))

    async def main():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            with anyio.move_on_after(0):
                await bind(executor, step(query="a"))

    clock.run(main, virtual=True)
    assert len(bound) == 1


def test_an_error_in_a_batch_reaches_everybody_in_it():
    class Broken(nn.Module):
        def forward(self, seen):
            raise ValueError("broken")

    executor = LateExecutor(Broken(), senses(), ("Flash",))
    heard = []

    async def one(name):
        try:
            await bind(executor, step(query=name))
        except ValueError:
            heard.append(name)

    async def main():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one, "a")
            tasks.start_soon(one, "b")

    clock.run(main, virtual=True)
    assert sorted(heard) == ["a", "b"]


# Worth ----------------------------------------------------------------------------------------------------------


def inputs(load, *, budget=100.0):
    return Inputs.stack([senses().step(step(deadline=budget, load=load))]).tensors()


def informed(toll=1.0):
    """Ten seconds a call for both models; the large one solves nine of ten, the small one half."""
    network = GoodputExecutor(WIDTH, 2, 4, toll=toll)
    network.prior[0], network.prior[1] = 0.0, math.log(9)
    network.estimator.seconds_weight[:2] = math.log(10)
    return network


def test_a_wait_is_the_calls_ahead_over_the_slots():
    assert waits(inputs(telemetry(large=(2, 3))))[0].tolist() == [0.0, 20.0]  # 4 ahead, 2 slots, 10 s each


def test_worth_is_solved_in_time_minus_pressure_times_work():
    worth = informed().worth(inputs(telemetry(large=(2, 3))))
    assert worth.solved.sigmoid()[0, :, 0].tolist() == pytest.approx([0.5, 0.9])
    assert worth.work[0, :, 0].tolist() == pytest.approx([0.0, 0.2])  # a fifth of the budget, an average call
    # (0.5 * 10 + 0.15 * 20) / 30 is the spread of the large model's delay, log(100 / 30) its slack
    assert worth.in_time[0, 1, 0].item() == pytest.approx(1.7 * math.log(100 / 30) / (8 / 30), rel=1e-4)
    assert worth.value(1.0)[0, :, 0].tolist() == pytest.approx([0.5, 0.7], abs=0.01)


def test_work_moves_to_the_idle_model_as_the_queue_of_the_better_one_grows():
    network = informed()
    chosen = [network(inputs(telemetry(large=(2, n))))[0].flatten(1).argmax().item() // 4 for n in (0, 3, 9, 60)]
    assert chosen == [1, 1, 0, 0]


def test_the_worth_of_a_model_does_not_depend_on_how_many_others_there_are():
    cards = (*CARDS, ModelCard(name="third", concurrency=2))
    seen = Senses(cards, ENCODER, PROMPTS).step(step(load=telemetry(large=(2, 3))))
    wide = GoodputExecutor(WIDTH, 3, 4)
    narrow = informed()
    wide.load_state_dict(
        {k: v for k, v in narrow.state_dict().items() if not k.startswith(("estimator", "prior"))}, strict=False
    )
    wide.prior[:2] = narrow.prior
    wide.estimator.seconds_weight[:3] = math.log(10)
    two = narrow.worth(inputs(telemetry(large=(2, 3)))).value(1.0)[0]
    assert torch.allclose(wide.worth(Inputs.stack([seen]).tensors()).value(1.0)[0, :2], two)


# Estimators -----------------------------------------------------------------------------------------------------


def calls(n=400):
    rng = np.random.default_rng(0)
    for _ in range(n):
        model, strategy = int(rng.integers(2)), int(rng.integers(3))
        tokens = (100, 300)[model] * (0.5, 1, 2)[strategy] * math.exp(0.1 * rng.standard_normal())
        share, queue = float(rng.random()), float(rng.exponential())
        seconds = tokens / 50 * (1 + queue) * math.exp(0.2 * share)
        yield CallRecord(
            model=model,
            strategy=strategy,
            log_query_tokens=3.0,
            decider=False,
            share=share,
            queue=queue,
            tokens=round(tokens),
            seconds=seconds,
        )


def test_estimators_learn_lengths_and_latencies_and_say_how_far_they_are_off():
    error = CallEstimator(2, 3).fit(list(calls()))
    assert error.tokens_error < 0.12 < error.tokens_error_of_a_constant
    assert error.seconds_error < 0.15 < error.seconds_error_of_a_constant


def test_calls_of_no_duration_teach_nothing_and_too_few_are_refused():
    good = list(calls(20))
    fitted, same = CallEstimator(2, 3), CallEstimator(2, 3)
    backwards = CallRecord(
        model=0, strategy=0, log_query_tokens=3, decider=False, share=0, queue=0, tokens=5, seconds=-1
    )
    fitted.fit(good)
    same.fit([*good, backwards])
    assert torch.equal(fitted.seconds_weight, same.seconds_weight)
    with pytest.raises(ConfigError, match="3 calls are too few"):
        fitted.fit(good[:3])


def test_the_published_executor_takes_estimates_as_inputs():
    network = PublishedExecutor(WIDTH, 2, 3, estimates=True)
    before = network(inputs(telemetry()))[0]
    network.estimator.fit(list(calls()))
    assert not torch.equal(before, network(inputs(telemetry()))[0])


# Planners -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", ["Math", "Code", "Commonsense"])
def test_every_shape_is_a_plan_that_can_be_run(domain):
    for shapes in (load_aware_shapes(domain), early_shapes(domain)):
        assert all(s >= 1 for s in stages(shapes, domain, PROMPTS))
        assert all(a.model is None for shape in shapes for a in shape.plan(domain).agents)


def test_our_planner_shrinks_to_one_agent_while_calls_wait():
    made = controller("ours")
    made.greedy = True
    made.planner.network.for_load[-1].bias.data[3] = 9.0  # a vote of three solves most
    query = Query(text="q", id="q")
    idle = made.plan_at(query, SPACE, Moment(budget_s=100.0, telemetry=telemetry()))
    full = made.plan_at(query, SPACE, Moment(budget_s=100.0, telemetry=telemetry(large=(2, 1))))
    assert (len(idle.plan.agents), len(full.plan.agents)) == (3, 1)


def test_the_published_planner_leaves_the_models_open_and_says_how_likely_its_plan_was():
    made = controller("published")
    query = senses().arrival(Query(text="q", id="q"), 100.0, {})
    (drawn,) = made.planner.draw([Ask(seen=query, key="k")], SPACE, greedy=False)
    assert all(a.model is None for a in drawn.plan.agents)
    assert drawn.log_prob < 0


def test_a_vote_stops_once_everybody_agrees():
    def calls(*answers, mode="Debate", decision="vote", rounds=3):
        agents = tuple(AgentSpec(role="MathSolver", model="a") for _ in answers)
        plan = Plan(mode=ModeSpec(name=mode, rounds=rounds), domain="Math", agents=agents, decision=decision)
        pool = scripted_pool(lambda request: answers[request.context.index])
        episode = clock.run(lambda: Runtime(pool).run(NUMBER, lambda: StopOnAgreement(PlanPolicy(plan))), virtual=True)
        return episode.usage.calls

    assert calls("42", "42.0") == 2  # one round, two answers
    assert calls("42", "41") == 6
    assert calls("42", "I do not know") == 6
    assert calls("42") == 3  # a lone agent agrees with nobody
    assert calls("42", "42", decision="last") == 6  # nobody votes
    assert calls("42", "42", mode="Chain") == 2  # not in the middle of the first round, but after it


def test_what_ends_a_vote_early_is_written_down():
    plan = load_aware_shapes("Math")[4].plan("Math")
    agents = tuple(replace(agent, model="a") for agent in plan.agents)
    pool = scripted_pool(lambda request: "42")

    def policy():
        return StopOnAgreement(PlanPolicy(replace(plan, agents=agents)))

    episode = clock.run(lambda: Runtime(pool).run(NUMBER, policy), virtual=True)
    (considered,) = (e for e in episode.events if isinstance(e, Considered))
    assert considered.why.because == "all agents give the same answer"
    assert (episode.answer, episode.plan.agents) == ("42", agents)


# Checkpoints ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_checkpoint_gives_back_the_controller(variant, tmp_path):
    made, path = controller(variant), tmp_path / "c.safetensors"
    save_system_aware(path, made, trained_on={"task": "toy"}, simulated=True)
    again = load_system_aware(path, ENCODER, SPACE)
    assert kind_of(path) == "system_aware"
    assert isinstance(again, LateController)
    assert again.greedy
    assert "simulated" in again.name
    assert all(torch.equal(a, b) for a, b in zip(tensors_of(made).values(), tensors_of(again).values(), strict=True))


def test_a_checkpoint_for_other_models_or_another_encoder_is_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    save_system_aware(path, controller("ours"), trained_on={}, simulated=False)
    with pytest.raises(ConfigError, match="made for model 'large'"):
        load_system_aware(path, ENCODER, PlanSpace(cards=CARDS[:1], prompts=PROMPTS))
    path.write_bytes(b"no tensors")
    assert kind_of(path) != "system_aware"
    with pytest.raises(CheckpointError, match="no checkpoint of a system-aware controller"):
        load_system_aware(path, ENCODER, SPACE)


@pytest.mark.parametrize("part", ["executor", "planner"])
def test_deciding_on_arrays_is_the_formula_that_learns_on_tensors(part):
    made = controller("ours")
    network = getattr(made, part).network
    by_arrays = decide_by(network)
    with torch.no_grad():  # in place, as a swap of weights does it
        for weight in network.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    seen = [senses().step(step(deadline=d, load=telemetry(large=(2, n)))) for d, n in ((5, 0), (50, 3), (500, 40))]
    (a, of_arrays), (t, of_tensors) = by_arrays(Inputs.stack(seen)), network(Inputs.stack(seen).tensors())
    assert np.allclose(a, t.detach().numpy(), atol=1e-5)
    assert np.allclose(of_arrays, of_tensors.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("running", "waiting", "slots"),
    [
        (0, 0, 2),  # as the card says
        (2, 0, 2),
        (5, 0, 5),  # the server evidently takes more than the card says
        (1, 3, 1),  # and here less: calls wait
    ],
)
def test_a_servers_slots_are_those_it_is_seen_to_have(running, waiting, slots):
    assert loads(CARDS, telemetry(large=(running, waiting)))[1].slots == slots
