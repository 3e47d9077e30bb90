"""Settling the answer of an episode from what its agents said, where that takes no further model call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mar.types import AnswerFormat, Said, TieBreak


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """An answer and the text it was read from."""

    text: str | None
    answer: str | None
    said: Said | None = field(default=None, compare=False)  # who said it


def vote(said: Sequence[Said], form: AnswerFormat, tie_break: TieBreak) -> Settled:
    """The answer that most agents give. A text without a readable answer does not vote."""
    camps = _camps(said, form)
    if not camps:
        return Settled(text=said[-1].text, answer=None, said=said[-1]) if said else Settled(text=None, answer=None)
    most = max(len(c) for c in camps)
    tied = [c for c in camps if len(c) == most]
    winner = tied[0] if tie_break == "first" else max(tied, key=lambda camp: _confidence(camp, tie_break))
    first, answer = winner[0]
    return Settled(text=first.text, answer=answer, said=first)


def agreed(said: Sequence[Said], form: AnswerFormat) -> bool:
    """Whether more than half of the messages give one answer; never where answers cannot be compared."""
    if form.choices is None:
        return False
    return 2 * max(map(len, _camps(said, form)), default=0) > len(said)


def _camps(said: Sequence[Said], form: AnswerFormat) -> list[list[tuple[Said, str]]]:
    """Messages with their answers, by what they answer."""
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
    return camps


def _confidence(camp: list[tuple[Said, str]], tie_break: TieBreak) -> float:
    stated = (u.confidence if tie_break == "zscore" else u.mean_logprob for u, _ in camp)
    return max((value for value in stated if value is not None), default=float("-inf"))


def last(said: Sequence[Said], form: AnswerFormat) -> Settled:
    """The answer of the last agent that said something."""
    if not said:
        return Settled(text=None, answer=None)
    return Settled(text=said[-1].text, answer=form.extract(said[-1].text or ""), said=said[-1])
