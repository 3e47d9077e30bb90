"""A plan as a policy: the rounds of its mode, then its decision.

Within a round each agent starts as soon as the agents it reads are done; rounds follow each other. An agent that fails
is represented by what it said before, if anything. When a budget is spent, the round is ended without calls, and the
answer is settled from what there is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from mar.runtime.decide import agreed
from mar.runtime.modes import DECIDERS, Round, decision_of, get_mode
from mar.types import AgentSpec, Bind, Move, Plan, Said, Settle, View, Why


class PlanPolicy:
    """Carries a plan out.

    Args:
        plan: The plan.
        bind: Chooses the model of every move, whatever the plan says; None: the plan names them all.
        name: What the policy is called.
        why: Why this plan was chosen, told with its first move.
    """

    def __init__(self, plan: Plan, *, bind: Bind | None = None, name: str = "plan", why: Why | None = None) -> None:
        self.plan, self.name = plan, name
        self._bind, self._why = bind, why
        self._mode = get_mode(plan.mode)
        self._rounds = self._mode.graph(len(plan.agents), plan.mode)
        self._decision = decision_of(plan)
        self._heard = 0  # of the moves that have ended
        self._latest: list[Said | None] = [None] * len(plan.agents)
        self._final: Said | None = None  # the decider's, once its move has ended
        self._number = -1  # of the round under way
        self._wave = 0  # of the first agents of the round under way
        self._next_round()

    async def next(self, view: View) -> Sequence[Move] | Settle:
        """Whoever can start now, then the next round, then the decision."""
        self._hear(view.said)
        if view.over == "seconds":
            return self._settle_for_what_there_is()
        if self._final is not None:
            return self._settle_by_decider(self._final, view)
        moves = self._due()
        if moves or view.under_way:
            return moves
        if view.over is None and self._number + 1 < len(self._rounds):
            self._next_round()
            return self._due()
        messages = self._messages
        if view.over is None and messages and self._decision in DECIDERS and len(self._latest) > 1:
            settled = self._decision == "agreed" and agreed(messages, view.query.answer_format)
            return self._settle_for_what_there_is() if settled else [self._decider(messages, view)]
        return self._settle_for_what_there_is()

    # Rounds ----------------------------------------------------------------------------------------------------

    def _next_round(self) -> None:
        if self._number >= 0:
            self._wave += 1 + max(self._waves)
        self._number += 1
        self._graph: Round = self._rounds[self._number]
        self._waves = self._graph.waves()
        self._before = list(self._latest)
        self._idle = list(range(len(self._latest)))  # agents that have not started in this round
        self._done: set[int] = set()

    def _hear(self, said: tuple[Said, ...]) -> None:
        for message in said[self._heard :]:
            if message.move.kind == "decider":
                self._final = message
                continue
            self._done.add(message.move.index)
            if message.text is not None:
                self._latest[message.move.index] = message
        self._heard = len(said)

    def _due(self) -> list[Move]:
        ready = [i for i in self._idle if self._done.issuperset(self._graph.reads_now[i])]
        self._idle = [i for i in self._idle if i not in ready]
        moves = [self._move(i) for i in ready]
        if moves and self._why is not None:
            moves[0], self._why = replace(moves[0], why=self._why), None
        return moves

    def _move(self, i: int) -> Move:
        plan, graph, before = self.plan, self._graph, self._before
        peers = [before[j] for j in graph.reads_before[i] if j != i] + [self._latest[j] for j in graph.reads_now[i]]
        own = before[i] if i in graph.reads_before[i] else None
        last, alone = i == len(plan.agents) - 1, len(plan.agents) == 1
        says_it = alone or (self._decision == "last" and last)
        return Move(
            agent=plan.agents[i],
            domain=plan.domain,
            index=i,
            round=self._number,
            reads=tuple(s.id for s in peers if s is not None),
            own=None if own is None else own.id,
            instruction=graph.instruction,
            mode=plan.mode.name,
            answers=says_it or self._decision in ("vote", "agreed"),
            final=says_it and self._number + 1 == len(self._rounds),
            revises=self._mode.revises,
            logprobs=plan.tie_break != "first",
            wave=self._wave + self._waves[i],
            bind=self._bind,
        )

    # The decision ----------------------------------------------------------------------------------------------

    @property
    def _messages(self) -> list[Said]:
        """The latest of each agent, in the agents' order."""
        return [s for s in self._latest if s is not None]

    def _decider(self, messages: Sequence[Said], view: View) -> Move:
        plan = self.plan
        role, model = view.query.answer_format.final_role, self._deciding(messages)
        return Move(
            agent=AgentSpec(role=role, model=model),
            domain=plan.domain,
            index=len(plan.agents),
            round=self._number,
            kind="decider",
            final=True,
            reads=tuple(s.id for s in messages),
            mode=plan.mode.name,
            wave=self._wave + 1 + max(self._waves),
            bind=self._bind,
        )

    def _deciding(self, messages: Sequence[Said]) -> str | None:
        """The plan's decider, unless it is the model of agents none of which said anything."""
        decider, spoke = self.plan.decider, {s.model for s in messages}
        failed = self._decision == "agreed" and decider not in spoke and decider in {a.model for a in self.plan.agents}
        return _most_frequent(messages, self.plan) if decider is None or failed else decider

    def _settle_by_decider(self, final: Said, view: View) -> Settle:
        if final.text is None and view.over is not None:
            return self._settle_for_what_there_is()
        return Settle(how="final", messages=(final.id,))

    def _settle_for_what_there_is(self) -> Settle:
        ids = tuple(s.id for s in self._messages)
        if not ids:
            return Settle(how="last")
        if len(self._latest) == 1:
            return Settle(how="single", messages=ids)
        if self._decision == "last":
            return Settle(how="last", messages=ids)
        return Settle(how="vote", messages=ids, tie_break=self.plan.tie_break)


def _most_frequent(said: Sequence[Said], plan: Plan) -> str | None:
    """The model that most agents ran on; of several, the one that comes first."""
    models = [s.model for s in said if s.model is not None] or [a.model for a in plan.agents if a.model is not None]
    return Counter(models).most_common(1)[0][0] if models else None
