# pyright: basic
"""What asking once more is worth: the expected probability of being right after the next call, less what it is now.

One step of look-ahead: every model with every strategy, alone or reading what was said. All outcomes of a call (each
answer given so far, a new one, none; a program that passes or fails; said surely or not) are linear in the probability
that it knows, so the value of a call is a few sums over hypotheses. NumPy computes them, for questions of one shape (as
many calls, as many answers) at once, so nothing is padded, and other questions change no more than the last bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist

import numpy as np
from anyio.lowlevel import checkpoint

from mar.controllers.belief.arrays import shares, total
from mar.controllers.belief.beliefs import Beliefs
from mar.controllers.belief.likelihood import (
    HOPELESS,
    PASSED,
    UNSEEN,
    UNTESTED,
    Evidence,
    Posterior,
    Said,
    chances,
    family_numbers,
    heard_by,
    hypotheses,
    knows,
)
from mar.controllers.sequential.knowing import Floats, Knowing

AT_ONCE = 8  # questions that are weighed before the event loop has its turn again


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A question as it stands."""

    said: tuple[Said, ...]
    skill: Floats  # what the text tells about each model, (M,)
    options: int = 0  # answers that there are to choose from; 0: open
    reading: bool = False  # whether models may read what was said
    tested: bool = True  # whether shown tests will be run on what is said next, where that is a program

    def after(self, said: Sequence[Said]) -> Case:
        """The same question after these calls."""
        return replace(self, said=tuple(said))

    @property
    def shape(self) -> tuple[int, ...]:
        """Cases of one shape are weighed together."""
        answers = len({s.answer for s in self.said if s.answer >= 0})
        read = any(s.read for s in self.said)
        return len(self.said), answers, self.options, self.reading, self.tested, read


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What is believed of a question, and what every call would be worth."""

    right: Floats  # probability that each answer is right, (C,); of programs each call's, (N,)
    alone: Floats  # probability of being right after a call of a model that reads nothing, (S, M)
    reading: Floats | None  # the same of one that reads all that was said, (S, M)

    @property
    def now(self) -> float:
        """Probability of being right with the best answer so far."""
        return float(self.right.max(initial=0.0))


@dataclass(slots=True, eq=False)
class _Due:
    """A case that somebody waits for."""

    case: Case
    outlook: list[Outlook] = field(default_factory=list[Outlook])  # holds it once it is found


class Planner:
    """Weighs what was said and what might be said next.

    Args:
        beliefs: What is believed of the models; changes that are made afterwards are not seen.
        telling: How far apart the confidence of those who know and of those who do not will be, in standard deviations.
    """

    def __init__(self, beliefs: Beliefs, *, telling: float = 0.0) -> None:
        self.beliefs = beliefs.settled()
        high = NormalDist().cdf(telling / 2)
        self.if_known = np.array([high, 1 - high]) if telling > 0 else np.ones(1)  # of sounding sure, or not, (B,)
        self._due: list[_Due] = []

    async def weigh(self, case: Case) -> Outlook:
        """The outlook of a case, found together with others that fall due at this moment."""
        due = _Due(case)
        self._due.append(due)
        try:
            await checkpoint()
            if not due.outlook:
                some = [due, *[other for other in self._due if other is not due and not other.outlook][: AT_ONCE - 1]]
                for one, outlook in zip(some, self.consider([one.case for one in some]), strict=True):
                    one.outlook.append(outlook)
        finally:
            self._due.remove(due)
        return due.outlook[0]

    def consider(self, cases: Sequence[Case]) -> list[Outlook]:
        """The outlook of each case."""
        found: dict[int, Outlook] = {}
        shapes: dict[tuple[int, ...], list[int]] = {}
        for i, case in enumerate(cases):
            shapes.setdefault(case.shape, []).append(i)
        for places in shapes.values():
            some = [cases[i] for i in places]
            posterior = self.posterior(some)
            if self.beliefs.form == "programs":
                outlooks = _programs(posterior, tested=some[0].tested)
            else:
                outlooks = _answers(posterior, self.if_known, reading=some[0].reading)
            found |= dict(zip(places, outlooks, strict=True))
        return [found[i] for i in range(len(cases))]

    def posterior(self, cases: Sequence[Case]) -> Posterior:
        """What follows from what was said."""
        evidence = Evidence.of([c.said for c in cases], [c.options for c in cases], np.stack([c.skill for c in cases]))
        return Posterior.of(self.beliefs, evidence, hypotheses(self.beliefs, evidence))


def _outlooks(right: Floats, alone: Floats, reading: Floats | None) -> list[Outlook]:
    """Of every question: right (Q, C), alone and reading (Q, S, M)."""
    read = [None] * len(right) if reading is None else reading
    return [Outlook(right=r, alone=a, reading=x) for r, a, x in zip(right, alone, read, strict=True)]


def _answers(posterior: Posterior, if_known: Floats, *, reading: bool) -> list[Outlook]:
    beliefs, rows, answer, count = (
        posterior.beliefs,
        posterior.rows,
        posterior.evidence.answer,
        posterior.evidence.given,
    )
    chance, weights = chances(beliefs), posterior.weights()
    calls = _Calls.of(posterior, weights, if_known, count)
    right = weights.sum(1).reshape(len(answer), -1) @ calls.counted.T
    alone = calls.value(None, None, None)
    if not (reading and count):
        return _outlooks(right, alone, None)
    is_right = rows.right == np.arange(count)[:, None]  # (C, Q H)
    good = (answer[rows.question] == rows.right[:, None]).sum(1)  # messages that one who reads would read, (Q H,)
    bad = (answer >= 0).sum(1)[rows.question] - good
    times = (answer[..., None] == np.arange(count)).sum(1)[rows.question].T  # that each answer was given, (C, Q H)
    read = calls.value(heard_by(beliefs, good, bad), (bad > 0) * chance.copying, times * ~is_right / np.maximum(bad, 1))
    return _outlooks(right, alone, read)


@dataclass(frozen=True, slots=True)
class _Calls:
    """What calls are worth where answers can be compared. Q questions of the same H rows, C answers so far."""

    posterior: Posterior
    if_known: Floats  # probability of sounding sure, or not, of those who know; turned about of those who do not, (B,)
    is_right: Floats  # whether each answer, the last a new one, is right by row, (C + 1, H)
    is_popular: Floats  # whether it is the popular mistake, (C + 1, H)
    counted: Floats  # probability that each answer so far counts as right, (C, H)
    whole: Floats  # weight of every row: all of it, and where not to know is to make the popular mistake, (Q H, 2)
    knowing: Knowing  # by those weights

    @classmethod
    def of(cls, posterior: Posterior, weights: Floats, if_known: Floats, count: int) -> _Calls:
        """By weights of rows and nodes, (Q H, I)."""
        rows, chance = posterior.rows, chances(posterior.beliefs)
        h = len(rows.right) // len(posterior.evidence)
        numbers = np.array([*range(count), UNSEEN])[:, None]
        is_right, is_popular = rows.right[:h] == numbers, rows.popular[:h] == numbers
        counted = np.where(is_right, 1 - chance.mislabelled, is_popular * chance.mislabelled)[:count]
        both = np.stack([weights, weights * chance.popular], 1)
        knowing = Knowing.of(posterior, both)
        return cls(posterior, if_known, is_right * 1.0, is_popular * 1.0, counted, both.sum(2), knowing)

    def value(self, heard: Floats | None, copies: Floats | None, among: Floats | None) -> Floats:
        """Expected probability of being right after a call, (Q, S, M).

        Args:
            heard: What it reads is worth to it by row, (Q H,); None: it reads nothing.
            copies: Probability of repeating a mistake that it reads when it does not know, (Q H,).
            among: Share of each answer among those mistakes, (C, Q H).
        """
        chance, choices, count = chances(self.posterior.beliefs), self.posterior.rows.choices[0], len(self.counted)
        q, h = len(self.posterior.evidence), self.counted.shape[1]
        both = self.knowing(heard)  # (M, Q H, 2, S)
        shape = (q, both.shape[3], both.shape[0])
        both = both.transpose(2, 1, 3, 0).reshape(2, q, h, -1)
        ignorant, trapped = self.whole.T.reshape(2, q, h, 1) - both  # (Q, H, A)
        known, alone = both[0], ignorant
        if copies is not None:  # does not repeat what it reads
            rest = (1 - copies).reshape(q, h, 1)
            alone, trapped = alone * rest, trapped * rest
        silent = np.concatenate([chance.silent] * shape[1])
        guess, trapped = (alone - trapped) * ((1 - silent) / choices), trapped * (1 - silent)
        guessed = np.ones(self.is_right.shape)
        guessed[count] = choices - count
        if self.posterior.beliefs.form != "options":  # nobody guesses what is right
            guessed[:count] -= self.is_right[:count]
        # What is said, the last a new answer, and that each answer so far is right, (Q, C, C + 1, A)
        sure = self._said(self.is_right, known)
        unsure = self._said(guessed, guess) + self._said(self.is_popular, trapped)
        if copies is not None and among is not None:
            repeated = (among * copies).reshape(count, q, h).swapaxes(0, 1)  # (Q, C, H)
            unsure[:, :, :count] += self._said(repeated, ignorant)
        new = (1 - chance.mislabelled) * self.is_right[count] @ known  # that a new answer is right, (Q, A)
        not_new = chance.mislabelled * self.is_popular[count] @ trapped
        value = (self.counted @ (alone * silent)).max(1, initial=0.0)  # after nothing that could be read
        for sounds, turned in zip(self.if_known, self.if_known[::-1], strict=True):
            best = (sounds * sure + turned * unsure).max(1, initial=0.0)  # (Q, C + 1, A)
            best[:, count] = np.maximum(best[:, count], sounds * new + turned * not_new)
            value = value + best.sum(1)
        return value.reshape(shape)

    def _said(self, shares: Floats, weights: Floats) -> Floats:
        """Shares by row, (..., X, H), of weights (Q, H, A), as far as each answer so far is right, (Q, C, X, A)."""
        pairs = self.counted[:, None] * shares[..., None, :, :]  # (..., C, X, H)
        found = pairs.reshape(*pairs.shape[:-3], -1, pairs.shape[-1]) @ weights
        return found.reshape(len(weights), *pairs.shape[-3:-1], weights.shape[-1])


def _programs(posterior: Posterior, *, tested: bool) -> list[Outlook]:
    q, weights = len(posterior.evidence), posterior.weights()
    sets = np.concatenate([weights[:, None], _solved(posterior) * weights[:, None]], 1)  # (Q H, 1 + N, I)
    whole = sets.sum(2)[..., None, None]
    known = Knowing.of(posterior, sets)().transpose(1, 2, 3, 0)  # (Q H, 1 + N, S, M)

    def by_question(values: Floats) -> Floats:
        return values.reshape(q, len(values) // q, *values.shape[1:]).sum(1)

    right = by_question(whole[:, 1:, 0, 0])
    after = by_question(known[:, 0])
    if not tested:  # nothing will be seen of it: it is as good as it was expected to be
        return _outlooks(right, np.maximum(after, right.max(1, initial=0.0)[:, None, None]), None)
    passing = chances(posterior.beliefs).passing[posterior.rows.right][:, None, None, None]
    passed = known + (whole - known) * passing
    before = by_question(passed[:, 1:]).max(1, initial=0.0)
    failed = by_question((whole - passed)[:, 1:]).max(1, initial=0.0)
    return _outlooks(right, np.maximum(before, after) + failed, None)


def _solved(posterior: Posterior) -> Floats:
    """Probability that each call's program is right, by row and node, (Q H, N, I)."""
    beliefs, evidence, rows = posterior.beliefs, posterior.evidence, posterior.rows
    said, model = evidence.answer, evidence.model
    if not said.shape[1]:
        return np.zeros((len(rows.right), 0, posterior.joint.shape[1]))
    level = np.take_along_axis(beliefs.theta + evidence.skill, model, 1) + beliefs.effects[evidence.strategy]
    known = knows(beliefs, level)[rows.question]  # (Q H, N, U, R, I)
    passing = chances(beliefs).passing[rows.right][:, None]
    lucky = np.where(said[rows.question] == PASSED, passing, 1.0)[..., None, None, None]
    odds = known * np.exp(evidence.surer)[rows.question][..., None, None, None]
    each = odds / np.maximum(odds + (1 - known) * lucky, 1e-9)
    row = np.arange(len(rows.right))[:, None]
    own = shares(posterior.of_model, -2)[row, np.searchsorted(posterior.used, model)[rows.question]]
    kin = np.searchsorted(posterior.kin, family_numbers(beliefs)[model])
    family = shares(posterior.of_family, -2)[row, kin[rows.question]]
    mean = total(total(each * own, -2) * family, -2)
    able = ((said == PASSED) | (said == UNTESTED))[rows.question] & (rows.right != HOPELESS)[:, None]
    return mean * able[..., None]
