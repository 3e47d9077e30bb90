# pyright: basic
"""The executor at work: binds each agent to a model and a strategy just before it runs.

Decisions that fall due at one instant are one tensor pass: the first to ask waits a microsecond, which on virtual time
lets everything of the instant come in, and decides for all. What was decided is recorded with its log-probability, its
value and the version of the weights, so that training can tell what each decision was made with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import anyio
import numpy as np
import numpy.typing as npt
from torch import nn

from mar.clock import ticks
from mar.controllers.embeddings import Encoder
from mar.controllers.system_aware.observe import Array, Inputs, Observation, decide_by, model_rows
from mar.controllers.system_aware.rules import deadline_priority
from mar.pool.cards import ModelCard
from mar.runtime.identity import digest
from mar.runtime.prompts import FINAL, PromptLibrary
from mar.types import Bind, Binding, ModelTelemetry, Move, Plan, Query, View

INSTANT_S = ticks(1e-6)
NO_DEADLINE_S = 1000.0  # the budget of a query that has no deadline
CHARS_PER_TOKEN = 4


def unit(key: str) -> float:
    """A number in (0, 1) that depends on the key alone."""
    return (int(digest(key, size=6), 16) + 0.5) / 2**48


def draw(logits: Array, keys: Sequence[str] | None) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """One choice per row of logits (B, n), and the log-probabilities (B, n).

    Args:
        logits: Of the choices.
        keys: Of the rows' draws; None takes the most likely choices.
    """
    logs = logits.astype(np.float64)
    logs -= logs.max(-1, keepdims=True)
    logs -= np.log(np.exp(logs).sum(-1, keepdims=True))
    if keys is None:
        return logs.argmax(-1), logs
    sums = np.exp(logs).cumsum(-1)
    units = np.array([unit(key) for key in keys])
    return np.minimum((sums < units[:, None] * sums[:, -1:]).sum(-1), logs.shape[1] - 1), logs


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One step's choice, with all that learning from it takes."""

    seen: Observation
    action: int  # model * strategies + strategy
    log_prob: float
    value: float
    version: int  # of the weights that decided
    index: int  # the step, as in the episode's events
    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A move that is about to run on a model that has to be chosen, and what is known at that moment."""

    move: Move
    view: View
    agents: int  # of the plan
    telemetry: Mapping[str, ModelTelemetry]

    @classmethod
    def of(cls, move: Move, view: View, agents: int) -> Step:
        """The step with the load of this moment."""
        return cls(move=move, view=view, agents=agents, telemetry=view.telemetry)

    @property
    def place(self) -> str:
        """Which step of its episode it is."""
        return f"{self.move.round}/{self.move.index}"


class Senses:
    """Turns queries, roles and telemetry into observations.

    Args:
        cards: The models, in the network's order.
        encoder: Of texts; give a cached one.
        prompts: Where roles are described.
    """

    def __init__(self, cards: Sequence[ModelCard], encoder: Encoder, prompts: PromptLibrary) -> None:
        self.cards, self.encoder, self.prompts = tuple(cards), encoder, prompts
        self._nobody = np.zeros(encoder.width, dtype=np.float32)
        self._roles: dict[tuple[str, str], Array] = {}  # by domain and name

    def arrival(self, query: Query, budget_s: float, telemetry: Mapping[str, ModelTelemetry]) -> Observation:
        """A query that has just arrived."""
        return Observation(
            query=self.encoder.encode([query.text])[0],
            role=self._nobody,
            remaining_s=budget_s,
            budget_s=budget_s,
            models=model_rows(self.cards, telemetry),
            step=_step(query),
        )

    def step(self, step: Step) -> Observation:
        """An agent that is about to run. Times are held between 0 and the budget, whatever the clock does."""
        move, view = step.move, step.view
        budget = NO_DEADLINE_S if view.deadline is None else max(0.0, view.deadline - view.started)
        left = budget if view.deadline is None else view.deadline - view.now
        decider = move.kind == "decider"
        return Observation(
            query=self.encoder.encode([view.query.text])[0],
            role=self._role(FINAL if decider else move.domain, move.agent.role),
            remaining_s=min(max(0.0, left), budget),
            budget_s=budget,
            models=model_rows(self.cards, step.telemetry),
            step=_step(
                view.query,
                left=step.agents - move.index,
                agents=step.agents,
                decider=decider,
                round=move.round,
            ),
        )

    def _role(self, domain: str, name: str) -> Array:
        if (domain, name) not in self._roles:
            role = self.prompts.decider(name) if domain == FINAL else self.prompts.role(domain, name)
            self._roles[domain, name] = self.encoder.encode([role.profile])[0]
        return self._roles[domain, name]


def _step(query: Query, *, left: int = 0, agents: int = 0, decider: bool = False, round: int = 0) -> Array:
    tokens = math.log1p(len(query.text) / CHARS_PER_TOKEN)
    return np.array([left / 6, agents / 6, decider, round, tokens], dtype=np.float32)


@dataclass(slots=True, eq=False)
class _Place:
    """A decision that somebody waits for."""

    step: Step
    key: str  # of its draw
    done: anyio.Event | None = None  # None: of the first, who decides for all
    made: Decision | None = None
    failed: Exception | None = None


class LateExecutor:
    """Chooses models and strategies by a network.

    Args:
        network: Inputs to logits (B, L, S) and values (B,). It is only read; training swaps in new weights, in place.
        senses: What it sees.
        strategies: The prompt strategies; None is the role's own prompt.
        greedy: Take the most likely choice instead of drawing.
        seed: Of the draws.
    """

    def __init__(
        self,
        network: nn.Module,
        senses: Senses,
        strategies: Sequence[str | None],
        *,
        greedy: bool = False,
        seed: int = 0,
    ) -> None:
        self.network, self.senses, self.strategies = network, senses, tuple(strategies)
        self.greedy, self.seed, self.version = greedy, seed, 0
        self._logits = decide_by(network)
        self._due: list[_Place] = []

    def over(self, plan: Plan) -> Bind:
        """Binds the moves of a plan. Each draw depends on the query and on when its episode began."""

        async def bind(move: Move, view: View) -> Binding:
            step = Step.of(move, view, len(plan.agents))
            return self.binding(await self.decide(step, f"{view.query.id}/{view.started!r}"), view.deadline)

        return bind

    def binding(self, made: Decision, deadline: float | None) -> Binding:
        """A decision in the runtime's terms."""
        model, strategy = divmod(made.action, len(self.strategies))
        return Binding(
            model=self.senses.cards[model].name,
            strategy=self.strategies[strategy],
            priority=deadline_priority(deadline),
            log_prob=made.log_prob,
        )

    async def decide(self, step: Step, episode: str) -> Decision:
        """Decide together with everything else that falls due now; `episode` is the key of the episode's draws."""
        place = _Place(step, f"{episode}/{step.place}")
        self._due.append(place)
        if len(self._due) > 1:
            place.done = anyio.Event()
            await place.done.wait()
        else:
            try:
                await anyio.sleep(INSTANT_S)
            finally:  # also when this episode is cut off: others wait for the decision
                self._serve()
        if place.failed is not None:
            raise place.failed
        assert place.made is not None
        return place.made

    def _serve(self) -> None:
        due, self._due = sorted(self._due, key=lambda p: p.key), []
        try:
            for place, made in zip(due, self._decide(due), strict=True):
                place.made = made
        except Exception as error:  # whoever waits must hear of it
            for place in due:
                place.failed = error
        for place in due:
            if place.done is not None:
                place.done.set()

    def _decide(self, due: Sequence[_Place]) -> list[Decision]:
        seen = [self.senses.step(p.step) for p in due]
        logits, values = self._logits(Inputs.stack(seen))
        keys = None if self.greedy else [f"{self.seed}/{p.key}" for p in due]
        picked, logs = draw(logits.reshape(len(due), -1), keys)
        return [
            Decision(
                seen=o,
                action=int(a),
                log_prob=float(row[a]),
                value=float(v),
                version=self.version,
                index=p.step.move.index,
                round=p.step.move.round,
            )
            for o, a, row, v, p in zip(seen, picked, logs, values.tolist(), due, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Recording:
    """Binds the moves of one episode and keeps what was decided."""

    executor: LateExecutor
    agents: int  # of the episode's plan
    key: str  # of the episode's draws
    decisions: list[Decision] = field(default_factory=list[Decision])

    async def bind(self, move: Move, view: View) -> Binding:
        """Bind one move and keep the decision."""
        made = await self.executor.decide(Step.of(move, view, self.agents), self.key)
        self.decisions.append(made)
        return self.executor.binding(made, view.deadline)
