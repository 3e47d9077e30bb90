"""The survey of simple plans: which it finds, at which price, and what it makes of plans that were run on few items."""

import json
from dataclasses import dataclass
from random import Random

import anyio
import numpy as np
import pytest

from mar.controllers import PlanSpace
from mar.learning.survey import FINALISTS, GROWTH, Seen, SimplePlans, Survey, first_round, most_episodes, survey
from mar.pool.cards import ModelCard
from mar.runtime import PromptLibrary
from mar.types import Plan, Query
from tests.learning.toy import train

QUALITY = {"dear": 0.95, "good": 0.8, "cheap": 0.5, "bad": 0.05}
COST = {"dear": 0.01, "good": 0.001, "cheap": 0.00001, "bad": 0.001}


@dataclass
class Result:
    score: object
    cost_usd: float
    learnable: bool = True


@dataclass
class Value:
    value: float


def space(max_agents=1, modes=("IO",)):
    cards = tuple(ModelCard(name=n, description=n) for n in QUALITY)
    return PlanSpace(cards=cards, prompts=PromptLibrary.load(), modes=modes, max_agents=max_agents)


def ask(trials):
    """Items with higher numbers are harder; a team costs three times as much and is a little better."""
    found = []
    for t in trials:
        model, n = t.plan.agents[0].model, len(t.plan.agents)
        p = min(1.0, QUALITY[model] + 0.02 * (n - 1)) * (1 - t.item / 200)
        right = Random(f"{t.item}/{t.draw}/{model}/{n}/{t.plan.mode.name}").random() < p
        found.append(Result(Value(float(right)), COST[model] * n))
    return found


def look(run, **how):
    how = {"space": space(), "domain": "Math", "items": list(range(60)), "first": 24, "rate": 30.0} | how

    async def main():
        async def as_async(trials):
            return run(trials)

        return await survey(
            as_async, how["space"], how["domain"], how["items"], first=how["first"], rate=how["rate"], seed=0
        )

    return anyio.run(main)


def best_llm(found, rate):
    return found.plans[found.best(np.array([rate]))[0]].agents[0].model


def test_every_price_has_its_best_plan():
    found = look(ask)
    assert best_llm(found, 0.0) == "dear"
    assert best_llm(found, 30.0) == "good"
    assert best_llm(found, 10_000.0) == "cheap"


def test_better_plans_are_run_on_more_items():
    runs = {}
    found = look(ask, rate=0.0)
    for plan, *_ in found.seen:
        name = found.plans[plan].agents[0].model
        runs[name] = runs.get(name, 0) + 1
    assert runs["dear"] == 24 + 24 * GROWTH + 24 * GROWTH**2
    assert runs["bad"] == 24 + 24 * GROWTH  # four of four reach the second round, two the third
    assert len(found.seen) == most_episodes(space(), "Code", 24)[0]


def test_items_come_again_with_other_draws_where_they_run_out():
    seen = []

    def note(trials):
        seen.extend((t.item, t.draw, t.plan.agents[0].model) for t in trials)
        return ask(trials)

    look(note, items=[3, 7])
    assert len(seen) == len(set(seen))
    assert {item for item, _, _ in seen} == {3, 7}


def test_teams_are_made_of_the_best_two():
    found = look(ask, space=space(max_agents=6, modes=("IO", "Chain")), rate=0.0)
    teams = found.plans[len(QUALITY) : found.simple]
    assert [(p.agents[0].model, p.mode.name) for p in teams] == [
        ("dear", "IO"),
        ("dear", "Chain"),
        ("good", "IO"),
        ("good", "Chain"),
    ]
    assert all(len({a.model for a in p.agents}) == 1 < len(p.agents) for p in teams)


def test_generations_of_small_changes_find_what_simple_plans_lack():
    """Two different LLMs are right more often than any alone or two of one kind, in a space of thousands of plans."""

    def complementary(trials):
        found = ask(trials)
        for t, o in zip(trials, found, strict=True):
            o.score.value = 0.5 * o.score.value + 0.5 * (len({a.model for a in t.plan.agents}) >= 2)
        return found

    found = look(complementary, space=space(max_agents=6, modes=("IO", "Chain")), rate=1.0)
    best = found.plans[found.best(np.array([1.0]))[0]]
    assert len({a.model for a in best.agents}) >= 2
    assert len(set(found.plans)) == len(found.plans)  # no plan is run twice
    assert all(1 <= len(p.agents) <= 6 for p in found.plans)
    simple = SimplePlans.of([found], 1.0).plans["Math"]
    assert len({a.model for a in simple.agents}) == 1  # what nobody had to search for
    again = [look(complementary, space=space(max_agents=6)).plans for _ in range(2)]
    assert again[0] == again[1]


def test_a_plan_that_was_run_on_easy_items_only_is_not_taken_for_better():
    found = Survey(domain="Math", plans=list(look(ask).plans[:2]))
    easy, hard = range(20), range(20, 40)
    found.seen = [Seen(0, i, float(i % 5 != 0), 0.0) for i in easy]  # 80% of easy ones
    found.seen += [Seen(1, i, 1.0, 0.0) for i in easy] + [Seen(1, i, float(i % 2), 0.0) for i in hard]  # 75%
    assert found.best(np.array([1.0]))[0] == 1


def test_a_plan_that_nothing_is_known_of_is_never_the_best():
    def silent(trials):
        outcomes = ask(trials)
        for t, o in zip(trials, outcomes, strict=True):
            o.learnable = t.plan.agents[0].model != "dear"
        return outcomes

    found = look(silent)
    assert best_llm(found, 0.0) == "good"


def test_a_survey_that_is_cut_off_finds_nothing():
    assert look(lambda trials: []) is None


def test_nothing_is_learnt_from_failures_of_the_world():
    def broken(trials):
        return [Result(Value(0.0), 0.0, learnable=False) for _ in trials]

    assert look(broken) is None


@pytest.mark.parametrize(("episodes", "items"), [(0, 4), (1000, 5), (100_000, 24)])
def test_small_trainings_have_small_surveys(episodes, items):
    assert first_round(episodes) == items


def test_at_most_so_many_finalists():
    alone, _ = most_episodes(space(), "Code", 10)
    assert alone == 10 * (4 + FINALISTS * GROWTH + FINALISTS // 2 * GROWTH**2)


def test_training_begins_at_the_best_plan_and_keeps_it_unless_there_is_a_better_one(tmp_path):
    router, result, where = train(tmp_path, epochs=1)
    (plan,) = {p.plan for p in router.plan([Query(id="q", text="toy question x")], where)}
    assert [a.model for a in plan.agents] == ["good"]
    stored = json.loads((tmp_path / "survey.json").read_text())
    assert Plan.from_json(stored["Math"]) == result.simple.plans["Math"]
    assert result.simple.plans["Math"].agents[0].model == "good"


def test_simple_plans_answer_for_every_domain(tmp_path):
    plans = SimplePlans.of([look(ask)], 0.0)
    plans.write(tmp_path / "survey.json")
    again = SimplePlans.read(tmp_path / "survey.json")
    asked = [Query(id="1", text="?", domain=d) for d in ("Math", "Code", None)]
    assert {p.plan.agents[0].model for p in again.plan(asked, space())} == {"dear"}
