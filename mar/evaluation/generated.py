"""Judging routers that were trained without labels: on questions whose right answers only this module sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mar.controllers.cascal import ABSTAINED, Responses, agreement_shares, plurality, z_scores
from mar.controllers.cascal.responses import Floats
from mar.evaluation.statistics import Interval, bootstrap_mean

Rights = npt.NDArray[np.float64]
"""1 for a right answer and 0 for any other, one per question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One router on the test questions."""

    name: str
    top1: Rights | None  # None: the rule has no single model
    top3: Rights | None

    def line(self) -> dict[str, str]:
        """A row of the table."""
        return {"router": self.name, "top-1": _percent(self.top1), "top-3 vote": _percent(self.top3)}


def judge(
    name: str, scores: Floats, responses: Responses, gold: npt.NDArray[np.int64], *, unreadable_vote: bool = False
) -> Judged:
    """A router by its scores: the best model's answer, and the vote of the three best.

    Args:
        name: How tables call it.
        scores: Of the models for each question, (Q, M).
        responses: The models' answers to these questions.
        gold: Position of the right option of each question.
        unreadable_vote: Whether unreadable answers vote together, for nothing, and may win (the published code's way).
    """
    best = np.argsort(-scores, axis=1, kind="stable")[:, :3]
    first = np.take_along_axis(responses.choices, best[:, :1], axis=1)[:, 0]
    return Judged(
        name=name,
        top1=(first == gold).astype(np.float64),
        top3=(vote_of(responses, best, unreadable_vote=unreadable_vote) == gold).astype(np.float64),
    )


def vote_of(
    responses: Responses, best: npt.NDArray[np.int64], *, unreadable_vote: bool = False
) -> npt.NDArray[np.int8]:
    """The option that most of the chosen models choose.

    Where all differ, the one with the highest z-scored log-probability wins; without log-probabilities, the first
    readable one of the best model. Unreadable answers do not vote, unless `unreadable_vote`.
    """
    said = np.take_along_axis(responses.choices, best, axis=1)
    width = int(responses.options.max(initial=1))
    if unreadable_vote:
        winner = plurality(np.where(said == ABSTAINED, width, said), width + 1)
        settled = np.where(winner == width, ABSTAINED, winner)
    else:
        settled = plurality(said, width)
    if responses.logprobs is None:
        return settled
    z = np.take_along_axis(z_scores(responses.logprobs), best, axis=1)
    sure = np.where((said == ABSTAINED) | np.isnan(z), -np.inf, z)
    split = (agreeing(said) <= 1).all(axis=1) & np.isfinite(sure).any(axis=1)
    surest = said[np.arange(len(said)), sure.argmax(axis=1)]
    return np.where(split, surest, settled)


def agreeing(said: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    """How many of a row's readable answers equal each of them, shape (Q, K)."""
    same = (said[:, :, None] == said[:, None, :]) & (said[:, :, None] != ABSTAINED)
    return same.sum(axis=2)


def simple_rules(
    train: Responses, test: Responses, gold: npt.NDArray[np.int64], train_scores: Mapping[str, Floats]
) -> list[Judged]:
    """What needs no router: the majority of all, and, for each kind of score, the best models overall."""
    everybody = vote_of(
        test, np.argsort(-np.tile(agreement_shares(train).mean(axis=0), (len(gold), 1)), axis=1, kind="stable")
    )
    rules = [Judged(name="majority of all", top1=None, top3=(everybody == gold).astype(np.float64))]
    for name, scores in train_scores.items():
        rules.append(judge(name, np.tile(scores.mean(axis=0), (len(gold), 1)), test, gold))
    return rules


def references(train_right: npt.NDArray[np.bool_], test: Responses, gold: npt.NDArray[np.int64]) -> list[Judged]:
    """What uses labels: the single model that is best on the training labels, and the oracle."""
    right = test.choices == gold[:, None]
    single = right[:, int(train_right.mean(axis=0).argmax())].astype(np.float64)
    oracle = right.any(axis=1).astype(np.float64)
    return [
        Judged(name="best single (by labels)", top1=single, top3=None),
        Judged(name="oracle", top1=oracle, top3=None),
    ]


def table(rows: Sequence[Judged]) -> str:
    """Routers as a Markdown table, accuracy in percent with 95% intervals."""
    lines = ["| router | top-1 | top-3 vote |", "|---|---|---|"]
    lines += ["| " + " | ".join(r.line().values()) + " |" for r in rows]
    return "\n".join(lines)


def _percent(right: Rights | None) -> str:
    if right is None:
        return ""
    return percent(bootstrap_mean(right.tolist(), draws=500))


def percent(value: Interval) -> str:
    """A share in percent with its interval."""
    return f"{100 * value.mean:.1f} ({100 * value.low:.1f} to {100 * value.high:.1f})"
