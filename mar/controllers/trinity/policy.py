"""One episode of a thinker, a worker and a verifier.

Everybody reads the whole conversation. It ends when a verifier accepts the worker's answer, that is comes to the same
one (of a program that already passes the shown tests it takes no call to say so), or when all turns are taken. The
answer is the last worker's. There is nothing to verify before a worker has answered, and whoever has the last turn
works if nobody has. A model that failed is not asked again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import cast

from mar.controllers.baselines import ASSISTANT, DEFAULT_TEAM
from mar.controllers.trinity.head import PARTS, Floats, Head, Part, Talk
from mar.types import AgentSpec, Domain, Move, Said, Settle, View, Why

TURNS = 5
ROLES: Mapping[Domain, Mapping[Part, str]] = {
    "Code": {"thinker": "AlgorithmDesigner", "worker": DEFAULT_TEAM["Code"][0], "verifier": "BugFixer"},
    "Math": {"thinker": "MathAnalyst", "worker": DEFAULT_TEAM["Math"][0], "verifier": "Inspector"},
    "Commonsense": {"thinker": "Reflector", "worker": DEFAULT_TEAM["Commonsense"][0], "verifier": "Critic"},
}


class TrinityPolicy:
    """Plays one episode.

    Args:
        head: What picks.
        text: Coordinates of the query's text, (K,).
        models: That may be asked; the head knows them all.
        domain: Whose roles are taken.
    """

    name = "trinity"
    plan = None  # what is done depends on what is heard

    def __init__(self, head: Head, text: Floats, models: Collection[str], domain: Domain) -> None:
        self.head, self.text, self.models = head, text, models
        self.domain: Domain = domain

    async def next(self, view: View) -> Sequence[Move] | Settle:
        """The next turn, or the end."""
        if view.under_way:
            return ()
        left = {m for m in self.models if m not in {s.move.agent.model for s in view.said if s.text is None}}
        if view.over or len(view.said) >= TURNS or not left or self._accepted(view):
            return self._settle(view)
        model, part = self.head.pick(self.text, self._talk(view), left, self._parts(view))
        return [self._move(view, model, part)]

    def _parts(self, view: View) -> Sequence[Part]:
        if self._draft(view) is not None:
            return PARTS
        return ("worker",) if len(view.said) == TURNS - 1 else ("thinker", "worker")

    def _move(self, view: View, model: str, part: Part) -> Move:
        reads = tuple(s.id for s in view.messages)
        return Move(
            agent=AgentSpec(role=ROLES.get(self.domain, {}).get(part, ASSISTANT), model=model),
            domain=self.domain,
            index=len(view.said),
            reads=reads,
            instruction="build_on" if reads else "alone",
            mode=part,
            answers=part != "thinker",
            check=part != "thinker" and bool(view.query.shown_tests.tests),
            why=Why(because=part),
        )

    def _settle(self, view: View) -> Settle:
        draft = self._draft(view)
        said = view.said if not view.messages else view.messages
        because = "the verifier accepts" if self._accepted(view) else "no turn is left"
        chosen = draft or (said[-1] if said else None)
        return Settle(how="chosen", messages=() if chosen is None else (chosen.id,), why=Why(because=because))

    def _draft(self, view: View) -> Said | None:
        """The last worker's message."""
        return next((s for s in reversed(view.messages) if _part(s) == "worker"), None)

    def _accepted(self, view: View) -> bool:
        last = view.said[-1] if view.said else None
        draft = self._draft(view)
        if last is None or draft is None or last.text is None or _part(last) != "verifier":
            return False
        return last.source in {draft.id, draft.source} - {None} or self._agree(view, last, draft)

    def _agree(self, view: View, one: Said, other: Said) -> bool:
        a, b = view.answer(one), view.answer(other)
        return a is not None and b is not None and view.query.answer_format.equivalent(a, b)

    def _talk(self, view: View) -> Talk:
        draft = self._draft(view)
        turns = len(view.said) / TURNS
        thought = bool(view.messages) and _part(view.messages[-1]) == "thinker"
        if draft is None:
            return Talk(turns=turns, drafted=False, thought=thought)
        after = view.messages[view.messages.index(draft) + 1 :]
        return Talk(
            turns=turns,
            drafted=True,
            readable=view.answer(draft) is not None,
            passed=draft.feedback == "passed",
            failed=draft.feedback == "failed",
            contested=any(_part(s) == "verifier" and not self._agree(view, s, draft) for s in after),
            thought=thought,
        )


def _part(said: Said) -> Part:
    return cast(Part, said.move.mode)
