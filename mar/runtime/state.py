"""What the moves of one episode share: the means they work with, the trace, what was said and what was spent."""

from __future__ import annotations

from dataclasses import dataclass, field

from mar.clock import now
from mar.pool.pool import Pool
from mar.runtime.account import Spent
from mar.runtime.identity import RunIdentity
from mar.runtime.ledger import Ledger
from mar.runtime.prompts import PromptLibrary
from mar.runtime.tools import Tools
from mar.runtime.trace import Recorder
from mar.types import ZERO_USAGE, Budget, DeltaHandler, Failure, Move, MoveKind, Query, Said, SpentBudget, Usage, View


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a run of episodes works with."""

    pool: Pool
    prompts: PromptLibrary
    tools: Tools
    temperature: float
    request_timeout_s: float | None
    longest_wait_s: float | None  # that a call may be put off
    max_tokens: int | None  # of any reply; None: as strategies and cards say
    keep_prompts: bool


@dataclass(frozen=True, slots=True)
class MoveKey:
    """Which move of an episode."""

    index: int
    round: int
    kind: MoveKind
    again: int

    @classmethod
    def of(cls, move: Move) -> MoveKey:
        """The key of a move."""
        return cls(move.index, move.round, move.kind, move.again)


@dataclass(slots=True, kw_only=True)
class EpisodeState:
    """One episode under way."""

    means: Means
    query: Query
    identity: RunIdentity
    budget: Budget
    recorder: Recorder
    policy_id: str  # makes message ids of different plans and policies differ
    started: float  # on the event loop's clock
    ledger: Ledger  # what the episode has paid of its budget in USD
    deadline_s: float | None = None  # after `started`; what policies are told instead of the budget's seconds
    on_delta: DeltaHandler | None = None  # is shown the final call's reply while it is written
    spent: Usage = ZERO_USAGE  # by all calls so far
    tokens: int = 0  # known tokens of the calls so far
    over: SpentBudget | None = None  # which budget has run out
    refused: str = ""  # why a try was not made: a limit in USD, in words
    settled: bool = False  # moves under way are not needed any more
    unknown_item: Failure | None = None  # a simulated pool that knows nothing about this query
    said: dict[str, Said] = field(default_factory=dict[str, Said])  # moves that have ended, by id
    under_way: dict[MoveKey, Move] = field(default_factory=dict[MoveKey, Move])

    def view(self) -> View:
        """What a policy sees now."""
        seconds = self.budget.seconds if self.deadline_s is None else self.deadline_s
        return View(
            query=self.query,
            said=tuple(self.said.values()),
            under_way=tuple(self.under_way.values()),
            spent=self.spent,
            remaining=self.remaining(),
            over=self.over,
            started=self.started,
            now=now(),
            deadline=None if seconds is None else self.started + seconds,
            watch=self.means.pool.telemetry,
        )

    def seconds_left(self) -> float | None:
        """Until the budget of seconds is spent or the deadline has come, whichever is first; None: there is neither."""
        limits = [s for s in (self.budget.seconds, self.deadline_s) if s is not None]
        return self.started + min(limits) - now() if limits else None

    def remaining(self) -> Budget:
        """What is left of the budget."""
        limit = self.budget
        return Budget(
            seconds=None if limit.seconds is None else self.started + limit.seconds - now(),
            usd=None if limit.usd is None else limit.usd - self.ledger.spent_usd,
            tokens=None if limit.tokens is None else limit.tokens - self.tokens,
        )

    def count(self, usage: Usage, *, cached: bool) -> None:
        """Count what a call used against the budget. What the cache answers counts at the price once paid."""
        if cached:
            self.ledger.spent += Spent.of(usage.cost_usd, uncertain_usd=usage.uncertain_usd)
        self.spent += usage
        self.tokens += (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)

    def afford(self) -> bool:
        """Whether another call may be made; remembers which budget forbids it."""
        left = self.remaining()
        if left.usd is not None and left.usd <= 0:
            self.over = "usd"
        elif left.tokens is not None and left.tokens <= 0:
            self.over = "tokens"
        return self.over is None
