"""Controllers without learning: fixed plans are fixed, random plans are uniform and repeat themselves."""

from collections import Counter

import pytest

from mar.controllers import PlanSpace
from mar.controllers.baselines import DEFAULT_TEAM, Constant, RandomPlans, simple_teams, single, team
from mar.pool import Recording, RecordingKey, replay_pool
from mar.pool.cards import ModelCard
from mar.runtime import get_mode
from mar.runtime.modes import beyond_reach, has_decider
from mar.runtime.prompts import PromptLibrary
from mar.types import DOMAINS, AgentSpec, ModeSpec, Plan, Query

PROMPTS = PromptLibrary.load()
SPACE = PlanSpace(
    cards=tuple(ModelCard(name=n, price_in=1.0, price_out=1.0) for n in "abc"), prompts=PROMPTS, max_agents=4
)
QUERIES = [Query(text="t", id=f"q/{n}") for n in range(2400)]


def plans_of(controller, queries=QUERIES, space=SPACE):
    return [p.plan for p in controller.plan(queries, space)]


@pytest.mark.parametrize("domain", DOMAINS)
def test_default_teams_are_of_roles_that_the_domain_has(domain):
    assert set(DEFAULT_TEAM[domain]) <= set(PROMPTS.roles[domain])
    assert len(DEFAULT_TEAM[domain]) == 3


def test_a_constant_is_the_same_plan_for_every_query():
    plan = Plan(mode=ModeSpec(name="IO"), domain="Math", agents=(AgentSpec(role="MathSolver"),))
    constant = Constant(plan, name="mine")
    assert plans_of(constant, QUERIES[:3]) == [plan] * 3
    assert constant.name == "mine"
    assert plans_of(constant, []) == []


def test_a_single_llm_is_one_agent_without_a_decider():
    (plan,) = plans_of(single("b", "Code"), QUERIES[:1])
    assert plan.agents == (AgentSpec(role="ProgrammingExpert", model="b"),)
    assert plan.mode.name == "IO"
    assert not has_decider(plan)


@pytest.mark.parametrize("mode", SPACE.modes)
def test_a_team_is_the_default_one_on_one_model(mode):
    controller = team(mode, "c", "Code")
    (plan,) = plans_of(controller, QUERIES[:1])
    assert {a.model for a in plan.agents} == {"c"}
    assert tuple(a.role for a in plan.agents) == DEFAULT_TEAM["Code"]
    assert get_mode(plan.mode) is not None
    assert controller.name == f"{mode} x 3"


def test_random_plans_repeat_by_query_and_seed_whatever_else_is_asked():
    drawn = plans_of(RandomPlans("Code", seed=1))
    assert plans_of(RandomPlans("Code", seed=1), QUERIES[5:6]) == [drawn[5]]
    assert plans_of(RandomPlans("Code", seed=2), QUERIES[:50]) != drawn[:50]


def test_random_plans_draw_every_choice_evenly():
    drawn = plans_of(RandomPlans("Code"))
    # 2,400 draws over k values: 2,400 / k each, standard deviation below sqrt(2,400 / k); five of them are allowed
    for counts, k in (
        (Counter(len(p.agents) for p in drawn), 4),
        (Counter(p.mode.name for p in drawn), len(SPACE.modes)),
        (Counter(p.agents[0].model for p in drawn), 3),
        (Counter(p.agents[0].role for p in drawn), len(PROMPTS.roles["Code"])),
    ):
        assert len(counts) == k
        assert all(abs(n - 2400 / k) < 5 * (2400 / k) ** 0.5 for n in counts.values())


def test_random_plans_can_be_carried_out():
    for plan in plans_of(RandomPlans("Commonsense"), QUERIES[:200]):
        assert 1 <= len(plan.agents) <= 4
        assert {a.role for a in plan.agents} <= set(PROMPTS.roles["Commonsense"])
        get_mode(plan.mode).graph(len(plan.agents), plan.mode)


def recorded(reach, models="abcdef"):
    """The space of a pool that replays recordings."""
    known = {RecordingKey(item="i", model=m): Recording(text="t") for m in models}
    return PlanSpace.of(replay_pool(known, reach=reach), PROMPTS, max_agents=5)


def test_where_nobody_reads_anybody_plans_are_votes():
    space = recorded("alone")
    assert (space.modes, space.max_agents, space.alone, space.single_mode) == (("Vote",), 5, True, "Vote")
    drawn = plans_of(RandomPlans("Code"), QUERIES[:50], space)
    assert all(beyond_reach(plan, "alone") is None for plan in drawn)
    teams = simple_teams(space, tuple("fedcba"), "Code", llms=2)
    assert [t.name for t in teams] == ["vote of the 3 best", "vote of the 5 best"]
    assert [a.model for a in teams[0].fixed.agents] == ["f", "e", "d"]
    assert all(beyond_reach(t.fixed, "alone") is None for t in teams)


def test_a_vote_needs_as_many_llms_and_agents():
    assert [t.name for t in simple_teams(recorded("alone", "abc"), tuple("abc"), "Code", llms=2)] == [
        "vote of the 3 best"
    ]
    space = recorded("single")
    assert (space.max_agents, simple_teams(space, tuple("abcdef"), "Code", llms=2)) == (1, [])


def test_elsewhere_simple_teams_are_every_mode_on_the_best_llms():
    teams = simple_teams(SPACE, tuple("cab"), "Code", llms=2)
    assert [(t.fixed.mode.name, t.fixed.agents[0].model) for t in teams] == [
        (m, llm) for llm in "ca" for m in SPACE.modes
    ]
