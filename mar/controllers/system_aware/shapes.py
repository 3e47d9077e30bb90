"""Shapes of collaboration: plans whose models are open, for planners that choose among a short list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mar.controllers.baselines import team_of
from mar.runtime.modes import PUBLISHED_MODES, plan_bound
from mar.runtime.prompts import PromptLibrary
from mar.types import AgentSpec, Decision, Domain, ModeSpec, Move, Plan, Policy, Said, Settle, View, Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A mode, who takes part, and how the answer is settled."""

    name: str
    mode: str
    roles: tuple[str, ...]
    decision: Decision = "final"

    def plan(self, domain: Domain) -> Plan:
        """The plan, every model left open."""
        agents = tuple(AgentSpec(role=role) for role in self.roles)
        return Plan(mode=ModeSpec(name=self.mode), domain=domain, agents=agents, decision=self.decision)


def load_aware_shapes(domain: Domain) -> tuple[Shape, ...]:
    """From one agent to debates: what can be shrunk under load.

    In a relay the next agent works on what the one before wrote; code that passes the shown tests is passed on without
    a call, so a relay of two costs little more than one agent. Debates end early when their agents agree.
    """
    team = team_of(domain)
    first = team[0]
    return (
        Shape(name="alone", mode="IO", roles=(first,)),
        Shape(name="relay of 2", mode="Chain", roles=(first,) * 2, decision="last"),
        Shape(name="relay of 3", mode="Chain", roles=(first,) * 3, decision="last"),
        Shape(name="vote of 3", mode="Vote", roles=(first,) * 3),
        Shape(name="debate of 2", mode="Debate", roles=(first,) * 2, decision="vote"),
        Shape(name="debate of 3", mode="Debate", roles=(first,) * 3, decision="vote"),
        Shape(name="team", mode="Chain", roles=team),
    )


def early_shapes(domain: Domain) -> tuple[Shape, ...]:
    """The first release's choices: every topology with every role set of a fixed list."""
    team = team_of(domain)
    sets = (team[:1], team[:2], team)
    return tuple(
        Shape(name=f"{mode} {'-'.join(roles)}", mode=mode, roles=roles) for mode in PUBLISHED_MODES for roles in sets
    )


def stages(shapes: Sequence[Shape], domain: Domain, prompts: PromptLibrary) -> tuple[int, ...]:
    """Calls of each shape that must follow each other, at the most."""
    plans = [shape.plan(domain) for shape in shapes]
    return tuple(plan_bound(p, [prompts.role(domain, a.role).revise for a in p.agents]).stages for p in plans)


class StopOnAgreement:
    """Carries a plan out, but leaves out the remaining rounds once all agents of a vote give the same answer.

    Args:
        policy: Carries the plan out.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy, self.name, self.plan = policy, policy.name, policy.plan

    async def next(self, view: View) -> Sequence[Move] | Settle:
        """What the plan does next, unless another round would begin although all agree."""
        wanted = await self._policy.next(view)
        plan = self.plan
        if isinstance(wanted, Settle) or plan is None or plan.decision != "vote" or not _begins_round(wanted, view):
            return wanted
        latest = {said.move.index: said for said in view.messages}
        if len(latest) < len(plan.agents) or not _agree(list(latest.values()), view):
            return wanted
        ids = tuple(latest[i].id for i in sorted(latest))
        why = Why(because="all agents give the same answer")
        return Settle(how="vote", messages=ids, tie_break=plan.tie_break, why=why)


def _begins_round(moves: Sequence[Move], view: View) -> bool:
    """Whether these moves are the first of another round."""
    latest = max((said.move.round for said in view.said), default=None)
    return latest is not None and bool(moves) and all(move.round > latest for move in moves)


def _agree(messages: Sequence[Said], view: View) -> bool:
    """Whether everybody answered, and all the same; a lone agent agrees with nobody."""
    answers = [view.answer(said) for said in messages]
    first = answers[0]
    if len(answers) < 2 or first is None:
        return False
    return all(a is not None and view.query.answer_format.equivalent(first, a) for a in answers[1:])
