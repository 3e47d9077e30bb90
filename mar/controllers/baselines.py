"""Controllers without learning: what every learned one is measured against."""

from __future__ import annotations

import random
from collections.abc import Sequence

from mar.controllers.base import Planned, PlanSpace
from mar.types import AgentSpec, Domain, ModeSpec, Plan, Query

ASSISTANT = "Assistant"  # fit for any domain; one of one's own may have a role of that name, which is then taken
# A plausible team per domain for fixed plans: who proposes, who checks, who repairs.
DEFAULT_TEAM: dict[Domain, tuple[str, str, str]] = {
    "Code": ("ProgrammingExpert", "TestAnalyst", "BugFixer"),
    "Math": ("MathSolver", "Inspector", "ProgrammingExpert"),
    "Commonsense": ("KnowledgeExpert", "Critic", "Reflector"),
}
VOTES = (3, 5)  # LLMs of a vote among the best


def team_of(domain: Domain) -> tuple[str, str, str]:
    """The default team's roles; of a domain of one's own three times the Assistant."""
    return DEFAULT_TEAM.get(domain, (ASSISTANT, ASSISTANT, ASSISTANT))


class Constant:
    """The same plan for every query."""

    def __init__(self, plan: Plan, *, name: str) -> None:
        self.name = name
        self.fixed = plan

    def plan(self, queries: Sequence[Query], space: PlanSpace) -> list[Planned]:
        """The constant plan."""
        return [Planned(plan=self.fixed) for _ in queries]


def single(model: str, domain: Domain, *, mode: str = "IO") -> Constant:
    """One agent on one model, in the first role of the domain's default team."""
    agents = (AgentSpec(role=team_of(domain)[0], model=model),)
    return Constant(Plan(mode=ModeSpec(name=mode), domain=domain, agents=agents), name=model)


def team(mode: str, model: str, domain: Domain) -> Constant:
    """The domain's default team in one mode, all on one model."""
    agents = tuple(AgentSpec(role=role, model=model) for role in team_of(domain))
    return Constant(Plan(mode=ModeSpec(name=mode), domain=domain, agents=agents), name=f"{mode} x {len(agents)}")


def vote(models: Sequence[str], domain: Domain) -> Constant:
    """One agent on each of some models; the majority's answer, of several that of the model that comes first."""
    agents = tuple(AgentSpec(role=team_of(domain)[0], model=model) for model in models)
    return Constant(
        Plan(mode=ModeSpec(name="Vote"), domain=domain, agents=agents), name=f"vote of the {len(models)} best"
    )


def simple_teams(space: PlanSpace, best: Sequence[str], domain: Domain, *, llms: int) -> list[Constant]:
    """What a team can be without learning: each mode on a good LLM, or where nobody reads anybody a vote of good ones.

    Args:
        space: What plans can be made of.
        best: Models, the best first.
        domain: Whose default team is taken.
        llms: How many of the best LLMs each mode is tried with.
    """
    if space.alone:  # recorded answers: of one LLM all are the same
        return [vote(best[:n], domain) for n in VOTES if n <= min(len(best), space.max_agents)]
    return [team(mode, llm, domain) for llm in best[:llms] for mode in space.modes]


class RandomPlans:
    """Every choice drawn uniformly; a query gets the same plan for the same seed."""

    name = "random plans"

    def __init__(self, domain: Domain, *, seed: int = 0) -> None:
        self.domain: Domain = domain
        self.seed = seed

    def plan(self, queries: Sequence[Query], space: PlanSpace) -> list[Planned]:
        """A random plan per query."""
        return [Planned(plan=self._draw(q, space)) for q in queries]

    def _draw(self, query: Query, space: PlanSpace) -> Plan:
        rng = random.Random(f"{self.seed}/{query.id}")
        roles, models = [r.name for r in space.roles(self.domain)], [c.name for c in space.cards]
        agents = tuple(
            AgentSpec(role=rng.choice(roles), model=rng.choice(models)) for _ in range(rng.randint(1, space.max_agents))
        )
        return Plan(mode=ModeSpec(name=rng.choice(space.modes)), domain=self.domain, agents=agents)
