"""The engine: asks a policy for the next moves, carries them out at once, and settles the answer when it is told how.

A failing move is a recorded Failure, which the policy sees, and whatever is under way goes on. A spent budget ends an
episode with what it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import anyio
from anyio.abc import TaskGroup

from mar.clock import now, ticks
from mar.concurrency import task_group
from mar.errors import ConfigError
from mar.pool.pool import Pool
from mar.runtime.decide import Settled, last, vote
from mar.runtime.identity import RunIdentity, digest, plan_digest
from mar.runtime.ledger import Ledger, Purse, Purses
from mar.runtime.modes import Bound, beyond_reach, get_mode, has_decider, plan_bound
from mar.runtime.plan_policy import PlanPolicy
from mar.runtime.prompts import FINAL, PromptLibrary
from mar.runtime.state import EpisodeState, Means, MoveKey
from mar.runtime.tools import Tools
from mar.runtime.trace import Recorder
from mar.runtime.turn import Turn
from mar.types import (
    AgentSpec,
    Budget,
    Considered,
    Decided,
    DecidedHow,
    DeltaHandler,
    Episode,
    EpisodeStarted,
    EventHandler,
    Failure,
    How,
    Move,
    Plan,
    Policy,
    Query,
    Said,
    Settle,
    Stopped,
    Why,
)

MOST_MOVES = 10_000  # of one episode: a policy that makes more has lost its way


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
        longest_wait_s: float | None = None,
        max_tokens: int | None = None,
        keep_prompts: bool = True,
    ) -> None:
        self.pool = pool
        self.prompts = PromptLibrary.load() if prompts is None else prompts
        self.tools = Tools() if tools is None else tools
        self.tools.kit.check(self.prompts)
        self.ledger = Ledger() if ledger is None else ledger
        self.temperature = temperature
        self.request_timeout_s = request_timeout_s
        self.longest_wait_s = longest_wait_s  # that a call may be put off before it fails; None: as long as it takes
        self.max_tokens = max_tokens  # of any reply; None: as strategies and cards say
        self.keep_prompts = keep_prompts
        self._checked = lru_cache(maxsize=1024)(self._check)  # few different plans are played, and each often

    def bound(self, plan: Plan) -> Bound:
        """Calls and sequential stages that a plan takes at the most, before it is run.

        Raises:
            ConfigError: The plan names an unknown mode or role.
        """
        return plan_bound(plan, [self._revises(plan, a) for a in plan.agents], self._tool_calls(plan))

    def _tool_calls(self, plan: Plan) -> list[int]:
        """Calls of tools that one message of each agent, and of whichever decider, may be made with."""
        deciders = self.prompts.roles.get(FINAL, {}).values()
        named = [self.prompts.role(plan.domain, agent.role).tools for agent in plan.agents]
        named.append(tuple(name for role in deciders for name in role.tools))
        most = self.tools.kit.limits.calls if self.pool.reach == "anything" else 0
        return [most if names else 0 for names in named]

    def _revises(self, plan: Plan, agent: AgentSpec) -> bool:
        """Whether an agent makes its role's revise call, which a pool of first answers has none for."""
        return self.prompts.role(plan.domain, agent.role).revise and self.pool.reach == "anything"

    def cost_bound(self, plan: Plan) -> float | None:
        """USD that a plan costs at the most: every call fills its model's context. None where a price is unknown."""
        decider = [AgentSpec(role="", model=plan.decider)] if has_decider(plan) else []
        rounds = get_mode(plan.mode).n_rounds(plan.mode)
        revises = [self._revises(plan, a) and get_mode(plan.mode).revises for a in plan.agents]
        *agents, last = [1 + n for n in self._tool_calls(plan)]
        calls = [rounds * (1 + r) * n for r, n in zip(revises, agents, strict=True)] + [last] * len(decider)
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
        how: How,
        *,
        identity: RunIdentity | None = None,
        budget: Budget | None = None,
        deadline_s: float | None = None,
        purse: Purse | None = None,
        on_event: EventHandler | None = None,
        on_delta: DeltaHandler | None = None,
    ) -> Episode:
        """Work on a query.

        Args:
            query: What is asked.
            how: A plan to be carried out as it is, or what makes a policy for this episode.
            identity: Where this episode stands in a run; it determines every sample's identity.
            budget: What the episode may spend before it has to answer with what it has.
            deadline_s: Seconds after which the answer comes too late. Policies see it, nothing is stopped by it; by
                default the budget's seconds.
            purse: What the episode is paid from beside the run's ledger: of whoever asks.
            on_event: Is given every event as it happens.
            on_delta: Is given the answer while it is written, where a move is certain to give it (`Move.final`). Once
                a piece has been given, a call that fails is not made again.

        Raises:
            ConfigError: The plan or a move names an unknown mode, role, model or strategy, or asks what the pool cannot
                answer; or the policy makes moves that no episode can have.
        """
        policy = PlanPolicy(how) if isinstance(how, Plan) else how()
        plan = policy.plan
        bound = None if plan is None else self._checked(plan, open_models=not isinstance(how, Plan))
        if plan is not None and has_decider(plan):
            self.prompts.decider(query.answer_format.final_role)
        state = EpisodeState(
            means=self._means,
            query=query,
            identity=identity or RunIdentity(),
            budget=budget or Budget(),
            recorder=Recorder(on_event),
            policy_id=digest(policy.name, size=6) if plan is None else plan_digest(plan),
            started=now(),
            ledger=Ledger(
                None if budget is None else budget.usd,
                of="the episode",
                within=self.ledger if purse is None else Purses(self.ledger, purse),
            ),
            deadline_s=deadline_s,
            on_delta=on_delta,
        )
        state.recorder.add(
            EpisodeStarted(
                t=0.0,
                plan=plan,
                policy=policy.name,
                query_id=query.id,
                query=query.text,
                call_bound=None if bound is None else bound.calls,
                stage_bound=None if bound is None else bound.stages,
            )
        )
        run = _Run(state, policy)
        failure = await run.to_the_end()
        return Episode(
            query_id=query.id,
            plan=plan,
            policy=policy.name,
            events=state.recorder.events(),
            latency_s=state.recorder.now(),
            failure=state.unknown_item or failure,
            verbatim=run.verbatim,
        )

    @property
    def _means(self) -> Means:
        return Means(
            pool=self.pool,
            prompts=self.prompts,
            tools=self.tools,
            temperature=self.temperature,
            request_timeout_s=self.request_timeout_s,
            longest_wait_s=self.longest_wait_s,
            max_tokens=self.max_tokens,
            keep_prompts=self.keep_prompts,
        )

    def _check(self, plan: Plan, *, open_models: bool) -> Bound:
        """Refuse before the first call what a plan names wrongly; gives its bound."""
        for agent in plan.agents:
            if agent.model is not None:
                self.pool.card(agent.model)
            elif not open_models:
                raise ConfigError(
                    f"the plan leaves the model of role {agent.role} open; name one, or give a policy that chooses it"
                )
            _check_strategy(agent.strategy, self.prompts)
        if plan.decider is not None:
            self.pool.card(plan.decider)
        if (why := beyond_reach(plan, self.pool.reach)) is not None:
            raise ConfigError(f"the pool cannot answer this plan: it has {why}")
        return self.bound(plan)


def _check_strategy(strategy: str | None, prompts: PromptLibrary) -> None:
    if strategy is not None and strategy not in prompts.strategies:
        raise ConfigError(f"unknown strategy {strategy!r}; there are: {', '.join(prompts.strategies)}")


class _Run:
    """One episode under way."""

    def __init__(self, state: EpisodeState, policy: Policy) -> None:
        self.state, self.policy = state, policy
        self._waves: dict[str, int] = {}  # by id of the message
        self._made: set[MoveKey] = set()
        self._ended: list[Said] = []  # moves that have ended since the policy was asked
        self._news = anyio.Event()  # set when a move has ended
        self.verbatim: Mapping[str, Any] | None = None  # of the answer, once it is settled

    async def to_the_end(self) -> Failure | None:
        """Ask for moves and carry them out until the answer is settled. Returns why there is none."""
        seconds = self.state.budget.seconds
        settle: Settle | None = None
        if seconds is None:
            settle = await self._play()
        else:
            with anyio.move_on_after(ticks(seconds)):
                settle = await self._play()
        if settle is None:
            self.state.over = "seconds"
            self.state.under_way.clear()  # all was cut off
            wanted = await self._ask()
            settle = wanted if isinstance(wanted, Settle) else self._majority()
        return self._settle(settle)

    async def _play(self) -> Settle:
        wanted = await self._ask()
        while not isinstance(wanted, Settle) and len(wanted) == 1:  # nothing is under way beside it: no task is needed
            await self._take(self._begun(wanted[0]))
            wanted = await self._ask()
        return wanted if isinstance(wanted, Settle) else await self._play_at_once(wanted)

    async def _play_at_once(self, wanted: Sequence[Move] | Settle) -> Settle:
        """Go on with moves beside each other."""
        async with task_group() as tasks:
            while not isinstance(wanted, Settle):
                self._begin(wanted, tasks)
                await self._news.wait()
                self._news = anyio.Event()
                wanted = await self._ask()
            self.state.settled = True
            tasks.cancel_scope.cancel()
        return wanted

    async def _ask(self) -> Sequence[Move] | Settle:
        """What the policy wants now. What ended together is shown in the order of its rounds and agents."""
        self._ended.sort(key=lambda said: (said.move.round, said.move.index))
        self.state.said |= {said.id: said for said in self._ended}
        self._ended.clear()
        return await self.policy.next(self.state.view())

    # Moves -----------------------------------------------------------------------------------------------------

    def _begin(self, moves: Sequence[Move], tasks: TaskGroup) -> None:
        if not moves and not self.state.under_way and not self._ended:  # while it thought, some may have ended
            raise self._wrong("it makes no move while none is under way; a move or Settle is expected")
        for move in moves:
            tasks.start_soon(self._take, self._begun(move))

    def _begun(self, move: Move) -> Turn:
        turn = self._turn(move)
        self._consider(move.why, move)
        self.state.under_way[MoveKey.of(move)] = move
        return turn

    def _turn(self, move: Move) -> Turn:
        """A move that can be made."""
        state, prompts = self.state, self.state.means.prompts
        if not isinstance(move, Move):  # pyright: ignore[reportUnnecessaryIsInstance]  # whoever wrote it may not check types
            raise self._wrong(f"it returns {move!r} where a move is expected")
        key = MoveKey.of(move)
        if key in self._made:
            raise self._wrong(f"it makes two {move.kind} moves of index {move.index} in round {move.round}")
        if len(self._made) == MOST_MOVES:
            raise self._wrong(f"it has made {MOST_MOVES:,} moves without settling")
        self._made.add(key)
        if move.bind is None:
            if move.agent.model is None:
                raise self._wrong(
                    f"a move leaves the model of role {move.agent.role} open and has nothing to choose it"
                )
            state.means.pool.card(move.agent.model)
        _check_strategy(move.agent.strategy, prompts)
        read = [*move.reads, *([] if move.own is None else [move.own])]
        for identity in read:
            if self._said(identity).text is None:
                raise self._wrong(f"a move reads {identity}, which says nothing")
        self._check_reach(move, read)
        decides = move.kind == "decider"
        role = prompts.decider(move.agent.role) if decides else prompts.role(move.domain, move.agent.role)
        wave = 1 + max((self._waves[i] for i in read), default=-1) if move.wave is None else move.wave
        return Turn(state=state, move=move, role=role, wave=wave)

    def _check_reach(self, move: Move, read: Sequence[str]) -> None:
        reach = self.state.means.pool.reach
        if reach == "anything":
            return
        if read or move.round or move.kind == "decider":
            raise self._wrong("a move reads messages or comes in a later round; of this pool, first answers are known")
        if reach == "single" and len(self._made) > 1:
            raise self._wrong("it asks a second agent; of this pool, only scores are known, so answers do not compare")

    async def _take(self, turn: Turn) -> None:
        said = await turn.take()
        self._waves[said.id] = turn.wave
        del self.state.under_way[MoveKey.of(turn.move)]
        self._ended.append(said)
        self._news.set()

    def _said(self, identity: str) -> Said:
        if identity not in self.state.said:
            raise self._wrong(f"it names message {identity!r}, which there is not")
        return self.state.said[identity]

    def _consider(self, why: Why | None, move: Move | None) -> None:
        if why is not None:
            recorder = self.state.recorder
            index, round = (None, None) if move is None else (move.index, move.round)
            recorder.add(Considered(t=recorder.now(), index=index, round=round, why=why))

    def _wrong(self, what: str) -> ConfigError:
        return ConfigError(f"policy {self.policy.name!r}: {what}")

    # The end ---------------------------------------------------------------------------------------------------

    def _majority(self) -> Settle:
        return Settle(how="vote", messages=tuple(s.id for s in self.state.said.values() if s.text is not None))

    def _settle(self, settle: Settle) -> Failure | None:
        state = self.state
        messages = [self._said(identity) for identity in settle.messages]
        if state.over is not None:
            round = max((key.round for key in self._made), default=0)
            state.recorder.add(Stopped(t=state.recorder.now(), why=state.over, round=round))
        self._consider(settle.why, None)
        said = [m for m in messages if m.text is not None]
        form = state.query.answer_format
        if not said:
            self._decided(Settled(text=None, answer=None), settle.how)
            return self._nothing_said(messages)
        settled = vote(said, form, settle.tie_break) if settle.how == "vote" else last(said, form)
        self.verbatim = None if settled.said is None else settled.said.verbatim
        self._decided(settled, settle.how)
        if settled.answer is None:
            return Failure(kind="unreadable", reason="no answer could be read from the final text")
        return None

    def _decided(self, settled: Settled, how: DecidedHow) -> None:
        recorder = self.state.recorder
        recorder.add(Decided(t=recorder.now(), text=settled.text, answer=settled.answer, how=how))

    def _nothing_said(self, messages: Sequence[Said]) -> Failure:
        over = self.state.over
        if over is not None:
            reason = self.state.refused or f"the episode's budget of {over} was spent before anybody answered"
            return Failure(kind="limit", reason=reason)
        failed = next((m.failure for m in reversed(messages) if m.failure is not None), None)
        return failed or Failure(kind="no_answer", reason="no agent produced anything")
