"""The engine: carries a plan out on a query, wave by wave, with everything independent at once.

Within a round each agent starts as soon as the agents it reads are done; rounds follow each other. A failing agent is
a recorded Failure and the others go on; a failing decider fails the episode. Budgets stop an episode with what it has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import anyio

from mar.clock import ticks
from mar.concurrency import task_group
from mar.errors import CallError, ConfigError
from mar.pool.pool import Pool
from mar.runtime.agent import Agent, EpisodeState, SpentBudget, as_failure
from mar.runtime.binders import FixedBinder, NeverStop
from mar.runtime.decide import Settled, Utterance, last, vote
from mar.runtime.identity import RunIdentity, plan_digest
from mar.runtime.ledger import Ledger
from mar.runtime.modes import Bound, Round, beyond_reach, decision_of, get_mode, has_decider, plan_bound
from mar.runtime.prompts import PromptLibrary
from mar.runtime.tools import Tools
from mar.runtime.trace import Recorder
from mar.types import (
    AgentSpec,
    Binder,
    Budget,
    Decided,
    Episode,
    EpisodeStarted,
    Failure,
    Plan,
    Query,
    RoundContext,
    Stopped,
    StopRule,
)
from mar.types.events import DecidedHow

FINAL = "Final"  # the folder of the deciders' roles


class Runtime:
    """Everything a run of episodes shares. It holds no state of any single episode, so any number can run at once."""

    def __init__(
        self,
        pool: Pool,
        *,
        prompts: PromptLibrary | None = None,
        tools: Tools | None = None,
        ledger: Ledger | None = None,
        temperature: float = 0.7,
        request_timeout_s: float | None = None,
        max_tokens: int | None = None,
        keep_prompts: bool = True,
    ) -> None:
        self.pool = pool
        self.prompts = PromptLibrary.load() if prompts is None else prompts
        self.tools = Tools() if tools is None else tools
        self.ledger = Ledger() if ledger is None else ledger
        self.temperature = temperature
        self.request_timeout_s = request_timeout_s
        self.max_tokens = max_tokens  # of any reply; None: as strategies and cards say
        self.keep_prompts = keep_prompts

    def bound(self, plan: Plan) -> Bound:
        """Calls and sequential stages that a plan takes at the most, before it is run.

        Raises:
            ConfigError: The plan names an unknown mode or role.
        """
        return plan_bound(plan, [self._revises(plan, a) for a in plan.agents])

    def _revises(self, plan: Plan, agent: AgentSpec) -> bool:
        """Whether an agent makes its role's revise call, which a pool of first answers has none for."""
        return self.prompts.role(plan.domain, agent.role).revise and self.pool.reach == "anything"

    def cost_bound(self, plan: Plan) -> float | None:
        """USD that a plan costs at the most: every call fills its model's context. None where a price is unknown."""
        decider = [AgentSpec(role="", model=plan.decider)] if has_decider(plan) else []
        rounds = get_mode(plan.mode).n_rounds(plan.mode)
        revises = [self._revises(plan, a) and get_mode(plan.mode).revises for a in plan.agents]
        calls = [rounds * (1 + r) for r in revises] + [1] * len(decider)
        total = 0.0
        for agent, n in zip([*plan.agents, *decider], calls, strict=True):
            worst = self._worst_call(agent.model)
            if worst is None:
                return None
            total += n * worst
        return total

    def _worst_call(self, model: str | None) -> float | None:
        cards = self.pool.cards.values() if model is None else [self.pool.card(model)]
        costs = [
            c.cost_usd(
                prompt_tokens=max(0, c.context_tokens - c.max_output_tokens),
                completion_tokens=c.max_output_tokens,
                seconds=c.timeout_s if self.request_timeout_s is None else self.request_timeout_s,
            )
            for c in cards
        ]
        known = [c for c in costs if c is not None]
        return max(known) if len(known) == len(costs) else None

    async def run(
        self,
        query: Query,
        plan: Plan,
        *,
        identity: RunIdentity | None = None,
        binder: Binder | None = None,
        stop_rule: StopRule | None = None,
        budget: Budget | None = None,
        deadline_s: float | None = None,
    ) -> Episode:
        """Carry out a plan.

        Args:
            query: What is asked.
            plan: How agents collaborate on it.
            identity: Where this episode stands in a run; it determines every sample's identity.
            binder: Chooses models just before agents run. None: the plan names them all.
            stop_rule: May leave out rounds.
            budget: What the episode may spend before it has to answer with what it has.
            deadline_s: Seconds after which the answer comes too late. Binders see it, nothing is stopped by it; by
                default the budget's seconds.

        Raises:
            ConfigError: The plan names an unknown mode, role, model or strategy, or asks what the pool cannot answer.
        """
        bound = self._check(query, plan, binder)
        state = EpisodeState(
            runtime=self,
            query=query,
            plan=plan,
            identity=identity or RunIdentity(),
            binder=binder or FixedBinder(),
            budget=budget or Budget(),
            recorder=Recorder(),
            plan_id=plan_digest(plan),
            started=anyio.current_time(),
            ledger=Ledger(None if budget is None else budget.usd, of="the episode", within=self.ledger),
            deadline_s=deadline_s,
        )
        state.recorder.add(
            EpisodeStarted(
                t=0.0, plan=plan, query_id=query.id, query=query.text, call_bound=bound.calls, stage_bound=bound.stages
            )
        )
        failure = await _Run(state, stop_rule or NeverStop()).to_the_end()
        return Episode(
            query_id=query.id,
            plan=plan,
            events=state.recorder.events(),
            latency_s=state.recorder.now(),
            failure=state.unknown_item or failure,
        )

    def _check(self, query: Query, plan: Plan, binder: Binder | None) -> Bound:
        for agent in plan.agents:
            if agent.model is not None:
                self.pool.card(agent.model)
            elif binder is None:
                raise ConfigError(f"the plan leaves the model of role {agent.role} open; give a binder or a model")
            if agent.strategy is not None and agent.strategy not in self.prompts.strategies:
                known = ", ".join(self.prompts.strategies)
                raise ConfigError(f"unknown strategy {agent.strategy!r}; there are: {known}")
        if plan.decider is not None:
            self.pool.card(plan.decider)
        if (why := beyond_reach(plan, self.pool.reach)) is not None:
            raise ConfigError(f"the pool cannot answer this plan: it has {why}")
        bound = self.bound(plan)
        if has_decider(plan):
            self.prompts.role(FINAL, query.answer_format.final_role)
        return bound


class _Run:
    """One episode under way."""

    def __init__(self, state: EpisodeState, stop_rule: StopRule) -> None:
        self.state = state
        self.stop_rule = stop_rule
        self.mode = get_mode(state.plan.mode)
        self.rounds = self.mode.graph(len(state.plan.agents), state.plan.mode)
        self.latest: list[Utterance | None] = [None] * len(state.plan.agents)
        self.number = 0  # of the round under way, or the last one that was
        self.wave = 0
        self.decision = decision_of(state.plan)

    async def to_the_end(self) -> Failure | None:
        """Run all rounds and settle the answer. Returns why there is none."""
        seconds = self.state.budget.seconds
        failure = None
        with anyio.move_on_after(None if seconds is None else ticks(seconds)) as scope:
            await self._all_rounds()
            failure = None if self.state.spent else await self._decide()
        if scope.cancelled_caught:
            self.state.spent = "seconds"
        return self._stop(self.state.spent) if self.state.spent else failure

    async def _all_rounds(self) -> None:
        for number, graph in enumerate(self.rounds):
            self.number = number
            await self._one_round(number, graph)
            if self.state.spent:
                return
            if number + 1 < len(self.rounds) and self.stop_rule.should_stop(self._after(number)):
                self.state.recorder.add(Stopped(t=self.state.recorder.now(), why="stop_rule", round=number))
                return

    async def _one_round(self, number: int, graph: Round) -> None:
        before = list(self.latest)
        done = [anyio.Event() for _ in before]
        waves = graph.waves()

        async def one(i: int) -> None:
            for j in graph.reads_now[i]:
                await done[j].wait()
            peers = [before[j] for j in graph.reads_before[i] if j != i] + [self.latest[j] for j in graph.reads_now[i]]
            own = before[i] if i in graph.reads_before[i] else None
            said = await self._agent(i, number, graph, self.wave + waves[i]).speak([u for u in peers if u], own)
            if said is not None:  # else the agent is still represented by what it said before, if anything
                self.latest[i] = said
            done[i].set()

        async with task_group() as tasks:
            for i in range(len(before)):
                tasks.start_soon(one, i)
        self.wave += 1 + max(waves)

    def _agent(self, index: int, number: int, graph: Round, wave: int) -> Agent:
        plan = self.state.plan
        last = index == len(plan.agents) - 1
        return Agent(
            state=self.state,
            index=index,
            round=number,
            wave=wave,
            spec=plan.agents[index],
            role=self.state.runtime.prompts.role(plan.domain, plan.agents[index].role),
            instruction=graph.instruction,
            revises=self.mode.revises and self.state.runtime.pool.reach == "anything",
            answers=len(plan.agents) == 1 or self.decision == "vote" or (self.decision == "last" and last),
        )

    def _after(self, number: int) -> RoundContext:
        return RoundContext(
            query=self.state.query,
            plan=self.state.plan,
            round=number,
            outputs=tuple(None if u is None else u.text for u in self.latest),
            remaining=self.state.remaining(),
        )

    @property
    def _said(self) -> list[Utterance]:
        return [u for u in self.latest if u is not None]

    async def _decide(self) -> Failure | None:
        if self._said and self.decision == "final" and len(self.latest) > 1:
            return await self._ask_decider()
        return self._settle_for_what_there_is(Failure(kind="no_answer", reason="no agent produced anything"))

    def _settle_for_what_there_is(self, otherwise: Failure) -> Failure | None:
        """Settle without another call. Returns why there is no answer; `otherwise` when nobody said anything."""
        form = self.state.query.answer_format
        if not self._said:
            self._settle(Settled(text=None, answer=None), "last")
            return otherwise
        if len(self.latest) == 1:
            return self._settle(last(self._said, form), "single")
        if self.decision == "last":
            return self._settle(last(self._said, form), "last")
        return self._settle(vote(self._said, form, self.state.plan.tie_break), "vote")

    async def _ask_decider(self) -> Failure | None:
        state = self.state
        role = state.runtime.prompts.role(FINAL, state.query.answer_format.final_role)
        model = state.plan.decider or _most_frequent(self._said, state.plan)
        decider = Agent(
            state=state,
            index=len(self.latest),
            round=self.number,
            wave=self.wave,
            spec=AgentSpec(role=role.name, model=model),
            role=role,
            kind="decider",
        )
        try:
            text = await decider.decide(self._said)
        except CallError as error:
            failure = as_failure(error, prefix="the decider failed: ")
            decider.fail(failure)
            self._settle(Settled(text=None, answer=None), "final")
            return failure
        if text is None:  # the budget is spent; the caller settles for what there is
            return None
        return self._settle(Settled(text=text, answer=state.query.answer_format.extract(text)), "final")

    def _settle(self, settled: Settled, how: DecidedHow) -> Failure | None:
        recorder = self.state.recorder
        recorder.add(Decided(t=recorder.now(), text=settled.text, answer=settled.answer, how=how))
        if settled.answer is None:
            return Failure(kind="unreadable", reason="no answer could be read from the final text")
        return None

    def _stop(self, what: SpentBudget) -> Failure | None:
        """A budget is spent: answer with what there is, without another call."""
        recorder = self.state.recorder
        recorder.add(Stopped(t=recorder.now(), why=what, round=self.number))
        why = self.state.ledger.reached or self.state.runtime.ledger.reached if what == "usd" else None
        reason = why or f"the episode's budget of {what} was spent before anybody answered"
        return self._settle_for_what_there_is(Failure(kind="limit", reason=reason))


def _most_frequent(said: Sequence[Utterance], plan: Plan) -> str | None:
    """The model that most agents ran on; of several, the one that comes first."""
    models = [u.model for u in said if u.model is not None] or [a.model for a in plan.agents if a.model is not None]
    return Counter(models).most_common(1)[0][0] if models else None
