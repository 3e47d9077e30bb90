from collections import Counter

import numpy as np
import pytest
import torch

from mar.controllers.base import PlanSpace
from mar.controllers.belief import Beliefs, Topics
from mar.controllers.masrouter import Choices, PlanOptions
from mar.controllers.masrouter.controller import CandidateNames
from mar.controllers.sequential import Habits, Mind
from mar.controllers.sequential.planner import Case, Planner
from mar.learning.correction import Correction, Errors
from mar.learning.imagination import Imagination, Questions, Worth
from mar.learning.rollouts import Rollouts
from mar.learning.rundir import RunDir
from mar.pool.cards import ModelCard
from mar.runtime import PromptLibrary
from mar.types import DOMAINS, Query
from tests.learning import toy

CARDS = [ModelCard(name=n, price_in=p, price_out=2 * p) for n, p in (("a", 1.0), ("b", 5.0))]

ENOUGH = {"calls": 120, "updates": 30, "questions": 16, "generations": 2}
ACCOUNTANT = 1  # a role of mathematics that makes one call


ONE = Questions(vectors=torch.zeros(1, 4), tokens=torch.tensor([10.0]), choices=torch.tensor([8.0]))


def plans_of(router, space):
    return [p.plan for p in router.plan([toy.ToyTask().query(i) for i in toy.ToyTask().items("test")], space)]


# What is imagined -------------------------------------------------------------------------------------------------


def imagination(form="open", theta=(3.0, -1.0), **tensors):
    """Of two of the tests' models, whose skills are these."""
    names = tuple(c.name for c in CARDS)
    beliefs = Beliefs.vague(names, ("a", "b"), form)
    beliefs.theta = torch.tensor(theta)
    for name, value in tensors.items():
        setattr(beliefs, name, torch.tensor(value))
    mind = Mind(domain="Math", beliefs=beliefs, habits=Habits.unknown(names, (None,)), topics=Topics.none(4))
    space = PlanSpace(cards=tuple(CARDS), prompts=PromptLibrary.load(), modes=("IO", "Vote"), max_agents=3)
    roles = tuple(tuple(r.name for r in space.roles(d)) for d in DOMAINS)
    known = CandidateNames(domains=DOMAINS, modes=space.modes, roles=roles, llms=names)
    return Imagination(mind, space, known, PlanOptions(), Query(id="q", text="what?"), "Math"), beliefs


def alone(*llms):
    n = len(llms)
    zeros = torch.zeros(n, dtype=torch.long)
    agents = torch.tensor([[llm, 0, 0] for llm in llms])
    return Choices(domain=zeros, mode=zeros, count=zeros + 1, roles=torch.full((n, 3), ACCOUNTANT), llms=agents)


def test_one_model_alone_is_right_as_often_as_its_belief_says():
    imagined, beliefs = imagination()
    worlds = imagined.worlds(ONE, 20_000, torch.Generator().manual_seed(1))
    worth = imagined.play(ONE, worlds, alone(0, 1))
    believed = Planner(beliefs).consider([Case(said=(), skill=np.zeros(2))])[0].alone[0]
    # Quadrature and draws differ by the nodes of the one and the chance of the other (.003).
    assert worth.quality[0].tolist() == pytest.approx(believed.tolist(), abs=0.02)


def test_a_call_costs_its_prompt_and_what_its_model_writes():
    imagined, _ = imagination()
    worlds = imagined.worlds(ONE, 2, torch.Generator().manual_seed(1))
    worth = imagined.play(ONE, worlds, alone(0, 1))
    # Before anything was heard a prompt has 200 tokens beside the question's 10, and a reply 250.
    usd = [c.cost_usd(prompt_tokens=210, completion_tokens=250, seconds=5.0) for c in CARDS]
    assert worth.cost[0].tolist() == pytest.approx(usd, rel=1e-4)


# What is put right ------------------------------------------------------------------------------------------------


def errors(n, quality, cost, seed=0):
    """Of n real episodes whose every other plan has the one feature: quality and cost differ by so much there."""
    has = torch.arange(n) % 2
    known = torch.stack([torch.ones(n), has.float()], 1)
    noise = torch.randn(2, n, generator=torch.Generator().manual_seed(seed))
    real = 0.5 + has * quality + 0.3 * noise[0]
    found = Errors(2)
    found.add(
        known, Worth(quality=torch.full((n, 1), 0.5), cost=torch.ones(n, 1)), real, cost**has * (0.1 * noise[1]).exp()
    )
    return found


def test_costs_are_put_right_after_a_few_episodes_and_qualities_after_many():
    few, many = errors(60, -0.2, 1.5).correction(), errors(20_000, -0.2, 1.5).correction()
    assert few.log_cost[1].exp().item() == pytest.approx(1.5, abs=0.1)
    assert -0.1 < few.quality[1].item() < 0
    assert many.quality[1].item() == pytest.approx(-0.2, abs=0.02)


def test_without_real_episodes_nothing_is_put_right():
    worth = Worth(quality=torch.tensor([[0.4]]), cost=torch.tensor([[2.0]]))
    assert Errors(2).correction()(worth, torch.ones(1, 2)) == worth


def test_a_corrected_quality_stays_a_probability_and_costs_are_multiplied():
    correction = Correction(torch.tensor([0.3]), torch.tensor([2.0]).log())
    put_right = correction(Worth(quality=torch.tensor([[0.9, 0.1]]), cost=torch.tensor([[1.0, 3.0]])), torch.ones(2, 1))
    assert put_right.quality[0].tolist() == pytest.approx([1.0, 0.4])
    assert put_right.cost[0].tolist() == pytest.approx([2.0, 6.0])


# Training ---------------------------------------------------------------------------------------------------------


def test_the_controller_learns_from_few_calls_to_avoid_the_model_that_fails_and_the_one_that_is_dear(
    tmp_path, monkeypatch
):
    ran, run = Counter(), Rollouts.run

    async def counted(self, jobs, **how):
        outcomes = await run(self, jobs, **how)
        ran.update({str(j.identity.epoch): o.calls for j, o in zip(jobs, outcomes, strict=True)})
        return outcomes

    monkeypatch.setattr(Rollouts, "run", counted)
    router, result, space = toy.train(tmp_path, epochs=4, cost_rate=20.0, imagined=ENOUGH)
    models = [a.model for p in plans_of(router, space) for a in p.agents]
    assert models.count("good") / len(models) > 0.9
    assert (result.steps, result.stopped) == (4 * 30, "all epochs done")
    metrics = RunDir(tmp_path).metrics()
    assert sum("real_utility" in m for m in metrics) == 4


def test_no_more_calls_are_made_than_were_allowed(tmp_path, monkeypatch):
    calls = []

    def answer(request):
        calls.append(request)
        return toy.answer(request)

    cards = list(toy.toy_pool().cards.values())
    pool = toy.Pool(cards, toy.ScriptedModel(answer), kind="scripted", virtual_time=True)
    toy.train(tmp_path, epochs=2, pool=pool, imagined=ENOUGH)
    assert 60 < len(calls) <= 120


def test_without_any_call_cards_are_all_that_is_known(tmp_path):
    _, result, _ = toy.train(tmp_path, epochs=1, imagined=toy.FEW | {"calls": 0})
    assert result.steps == 3
    assert not any("real_utility" in m for m in RunDir(tmp_path).metrics())


def test_a_finished_training_is_not_done_again(tmp_path):
    first, result, space = toy.train(tmp_path, epochs=1, imagined=toy.FEW)
    second, again, _ = toy.train(tmp_path, epochs=1, imagined=toy.FEW)
    assert again == result
    assert plans_of(second, space) == plans_of(first, space)


def test_questions_of_several_domains_are_imagined_each_with_its_own_roles(tmp_path):
    router, _, space = toy.train(tmp_path, epochs=1, task=toy.TwoDomains(), imagined=toy.FEW)
    queries = [toy.TwoDomains().query(i) for i in toy.TwoDomains().items("train")]
    assert [p.plan.domain for p in router.plan(queries, space)] == [q.domain for q in queries]
    assert "belief.safetensors" in {p.name for p in tmp_path.iterdir()}
