"""Settling the answer of an episode from what its agents said, where that takes no further model call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mar.types import AnswerFormat, Said, TieBreak


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """An answer and the text it was read from."""

    text: str | None
    answer: str | None


def vote(said: Sequence[Said], form: AnswerFormat, tie_break: TieBreak) -> Settled:
    """The answer that most agents give. A text without a readable answer does not vote."""
    camps: list[list[tuple[Said, str]]] = []
    for message in said:
        answer = form.extract(message.text or "")
        if answer is None:
            continue
        camp = next((c for c in camps if form.equivalent(c[0][1], answer)), None)
        if camp is None:
            camps.append([(message, answer)])
        else:
            camp.append((message, answer))
    if not camps:
        return Settled(text=said[-1].text if said else None, answer=None)
    most = max(len(c) for c in camps)
    tied = [c for c in camps if len(c) == most]
    winner = tied[0] if tie_break == "first" else max(tied, key=lambda camp: _confidence(camp, tie_break))
    return Settled(text=winner[0][0].text, answer=winner[0][1])


def _confidence(camp: list[tuple[Said, str]], tie_break: TieBreak) -> float:
    stated = (u.confidence if tie_break == "zscore" else u.mean_logprob for u, _ in camp)
    return max((value for value in stated if value is not None), default=float("-inf"))


def last(said: Sequence[Said], form: AnswerFormat) -> Settled:
    """The answer of the last agent that said something."""
    if not said:
        return Settled(text=None, answer=None)
    return Settled(text=said[-1].text, answer=form.extract(said[-1].text or ""))
