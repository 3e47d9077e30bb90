"""Settling the answer of an episode from what its agents said, where that takes no further model call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mar.types import AnswerFormat, Feedback, TieBreak


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """What one agent said in one round."""

    message_id: str
    index: int  # position of the agent in the plan
    round: int
    role: str
    model: str | None  # None when the text was passed through
    text: str
    report: str = ""  # what tools found out about it
    feedback: Feedback = ""
    mean_logprob: float | None = None
    confidence: float | None = None  # mean log-probability in the units of the agent's plan, where it states any
    source: str | None = None  # id of the message that was passed through unchanged

    @property
    def label(self) -> str:
        """How others are told who said it."""
        return f"Agent {self.index + 1} ({self.role})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """An answer and the text it was read from."""

    text: str | None
    answer: str | None


def vote(said: Sequence[Utterance], form: AnswerFormat, tie_break: TieBreak) -> Settled:
    """The answer that most agents give. A text without a readable answer does not vote."""
    camps: list[list[tuple[Utterance, str]]] = []
    for utterance in said:
        answer = form.extract(utterance.text)
        if answer is None:
            continue
        camp = next((c for c in camps if form.equivalent(c[0][1], answer)), None)
        if camp is None:
            camps.append([(utterance, answer)])
        else:
            camp.append((utterance, answer))
    if not camps:
        return Settled(text=said[-1].text if said else None, answer=None)
    most = max(len(c) for c in camps)
    tied = [c for c in camps if len(c) == most]
    winner = tied[0] if tie_break == "first" else max(tied, key=lambda camp: _confidence(camp, tie_break))
    return Settled(text=winner[0][0].text, answer=winner[0][1])


def _confidence(camp: list[tuple[Utterance, str]], tie_break: TieBreak) -> float:
    stated = (u.confidence if tie_break == "zscore" else u.mean_logprob for u, _ in camp)
    return max((value for value in stated if value is not None), default=float("-inf"))


def last(said: Sequence[Utterance], form: AnswerFormat) -> Settled:
    """The answer of the last agent that said something."""
    if not said:
        return Settled(text=None, answer=None)
    return Settled(text=said[-1].text, answer=form.extract(said[-1].text))
