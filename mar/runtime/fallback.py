"""Another model where a server is ill: a policy around any other, which makes its failed moves again elsewhere.

A move fails for good when the client beneath the pool has given up on its server. Whoever asked need not notice: the
same move is made again on the next model, and the policy inside sees only how that ended. Moves that failed by their
own content (a prompt that does not fit, a filter, a limit in money) are left as they are, and so is an answer that
broke off while it was shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mar.types import FailureKind, Move, Plan, Policy, Settle, View

ILL: frozenset[FailureKind] = frozenset(
    {"call", "rate_limited", "server_fault", "timeout", "connection", "bad_reply", "bad_key", "unknown_model"}
)
MOST_AGAIN = 3  # times that a move is made again


class Fallback:
    """Plays an episode as another policy does, with other models in place of those whose server is ill.

    Args:
        inner: The policy.
        models: The models that may take over, the best first.
        most: How often a move is made again.
    """

    def __init__(self, inner: Policy, models: Sequence[str], *, most: int = MOST_AGAIN) -> None:
        self.inner, self.models, self.most = inner, tuple(models), most
        self._hidden: set[str] = set()  # ids of failed moves that were made again
        self._seen = 0  # of the moves that have ended
        self._ill: dict[str, None] = {}  # models whose server was ill in this episode

    @property
    def name(self) -> str:
        """That of the policy inside: what it does is the same."""
        return self.inner.name

    @property
    def plan(self) -> Plan | None:
        """That of the policy inside."""
        return self.inner.plan

    async def next(self, view: View) -> Sequence[Move] | Settle:
        """Failed moves again, and what the policy inside makes of the others."""
        again = [] if view.over else self._again(view)
        said = tuple(s for s in view.said if s.id not in self._hidden)
        if again and len(said) == self._seen:
            return again  # there is no news for the policy inside
        self._seen = len(said)
        wanted = await self.inner.next(replace(view, said=said, under_way=(*view.under_way, *again)))
        return wanted if isinstance(wanted, Settle) else [*again, *wanted]

    def _again(self, view: View) -> list[Move]:
        moves: list[Move] = []
        for said in view.said:
            if said.id in self._hidden or said.failure is None or said.failure.kind not in ILL:
                continue
            move = said.move
            self._ill[move.agent.model or ""] = None
            model = self._next(move) if move.again < self.most else None
            if model is not None:
                self._hidden.add(said.id)
                agent = replace(move.agent, model=model, confidence=None)
                moves.append(replace(move, agent=agent, bind=None, again=move.again + 1))
        return moves

    def _next(self, move: Move) -> str | None:
        """The best model that has not been found ill, the move's own left out."""
        return next((name for name in self.models if name not in self._ill and name != move.agent.model), None)
