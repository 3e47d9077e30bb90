"""What a new model is worth on questions that others answered before, from a few that are worth asking.

Others' grades say how hard each question is, and how well it tells strong models from weak ones: a model of skill s in
the question's topic is right with logistic(slope s + ease). Skills of one model have a part in common and one of each
topic, whose spreads the others show. A card moves the common part (`Bank.stated`), answers move all of it: the
posterior is a normal one at the most probable skills (Laplace).

What is wanted is the accuracy on all questions of the table and on those of each topic. The next question is the one
after whose answer the variance of these is expected to be smallest; a batch is chosen as if each of it had been
answered as expected. After `CHOSEN` questions the next ones are drawn: a model is not quite as strong on questions that
tell the others apart as on the rest, so more of these make the posterior surer, and not more right. The idea of a few
questions in place of all: Polo et al., tinyBenchmarks, 2024 (arXiv:2402.14992); of choosing by expected information:
Lindley 1956.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

EASE, SLOPE = 2.5, 0.3  # prior spreads of questions' ease and slope, whose means are 0 and 1
COMMON, APART, WORTH = 1.0, 0.25, 4.0  # spreads of skills where nobody shows any, and how many models that counts for
STATED = 0.43  # spread, in log-odds of accuracy, about what a card states: the belief's 1.2 (`mind.STATED_DOUBT`)
CHOSEN = 16  # questions that are chosen; further ones are drawn
ROUNDS, STEPS, FAR = 8, 8, 2.0
_POINTS, _SHARES = (np.asarray(x) for x in np.polynomial.hermite_e.hermegauss(7))
_WEIGHTS = _SHARES / _SHARES.sum()
_solve: Any = np.linalg.solve  # its stubs know no type
_inverse: Any = np.linalg.inv


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """Questions that may be asked: n of them in T topics, and what is believed of a model that nobody tried."""

    topics: tuple[str, ...]
    topic: Ints  # of each question, (n,)
    ease: Floats  # (n,)
    slope: Floats  # (n,)
    mean: Floats  # prior of a new model's skills, (T,)
    spread: Floats  # its covariance, (T, T)

    @classmethod
    def of(cls, scores: Floats, topics: Sequence[str]) -> Bank:
        """The bank that others' grades make.

        Args:
            scores: 0 to 1, NaN where a model was not asked, (n, M).
            topics: Of each question.
        """
        names, topic = np.unique(np.array(topics), return_inverse=True)
        heard, value = np.isfinite(scores), np.nan_to_num(scores)
        skills = np.zeros((scores.shape[1], len(names)))
        ease, slope = np.zeros(len(scores)), np.ones(len(scores))
        common, apart = COMMON**2, APART**2
        for _ in range(ROUNDS):
            ease, slope = _questions(value, heard, skills[:, topic].T, ease, slope)
            prior = _covariance(common, apart, len(names))
            skills = np.array(
                [
                    _most_probable(value[at, m], ease[at], slope[at], topic[at], np.zeros(len(names)), prior)[0]
                    for m, at in enumerate(heard.T)
                ]
            )
            ease, skills = ease + slope * skills.mean(axis=0)[topic], skills - skills.mean(axis=0)
            common, apart = _spreads(skills)
        found = tuple(str(name) for name in names)
        mean, spread = np.zeros(len(names)), _covariance(common, apart, len(names))
        return cls(topics=found, topic=topic.astype(np.int64), ease=ease, slope=slope, mean=mean, spread=spread)

    def __len__(self) -> int:
        return len(self.ease)

    def stated(self, accuracy: float) -> Bank:
        """The same for a model whose card makes this accuracy on all the questions the most probable one."""
        low, high = -10.0, 10.0
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if self._at(middle) < accuracy else (low, middle)
        across = (_logit(self._at(low + 0.01)) - _logit(self._at(low - 0.01))) / 0.02
        common, apart = self.spread.min(), self.spread[0, 0] - self.spread.min() if len(self.topics) > 1 else 0.0
        doubt = min(float(common), (STATED / across) ** 2)
        return replace(self, mean=self.mean + low, spread=_covariance(doubt, float(apart), len(self.topics)))

    def _at(self, shift: float) -> float:
        return float(_logistic(self.ease + self.slope * (self.mean[self.topic] + shift)).mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """An accuracy, and its 95% interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """What is believed of a model after some answers."""

    bank: Bank
    grades: Mapping[int, float]  # by question
    mean: Floats  # (T,)
    spread: Floats  # (T, T)

    @classmethod
    def after(cls, bank: Bank, grades: Mapping[int, float]) -> Skill:
        """The posterior given grades, 0 to 1, by question."""
        at = np.array(sorted(grades), dtype=np.int64)
        value = np.array([grades[int(i)] for i in at], dtype=np.float64)
        mean, spread = _most_probable(value, bank.ease[at], bank.slope[at], bank.topic[at], bank.mean, bank.spread)
        return cls(bank=bank, grades=dict(grades), mean=mean, spread=spread)

    def accuracies(self) -> tuple[Estimate, dict[str, Estimate]]:
        """On the whole table, and by topic: what was asked counts as it was graded."""
        chance, _, _ = self._chances()
        noise = chance * (1 - chance)
        for question, grade in self.grades.items():
            chance[question], noise[question] = grade, 0.0
        counts, gradient = np.bincount(self.bank.topic), self._gradient()
        means = np.r_[chance.mean(), np.bincount(self.bank.topic, chance) / counts]
        random = np.r_[noise.sum() / len(noise) ** 2, np.bincount(self.bank.topic, noise) / counts**2]
        variance = ((gradient @ self.spread) * gradient).sum(axis=1) + random
        found = [_estimate(m, v) for m, v in zip(means.tolist(), variance.tolist(), strict=True)]
        return found[0], dict(zip(self.bank.topics, found[1:], strict=True))

    def worth_asking(self, count: int, allowed: Ints | None = None) -> list[int]:
        """The questions to ask next: the most telling ones until `CHOSEN` were asked, then drawn ones.

        Args:
            count: How many, at most.
            allowed: Questions that may be asked; None: all. None is asked twice.
        """
        free = np.zeros(len(self.bank), dtype=bool)
        free[slice(None) if allowed is None else allowed] = True
        free[list(self.grades)] = False
        chosen = self._telling(min(count, CHOSEN - len(self.grades)), free.copy())
        free[chosen] = False
        left, more = np.flatnonzero(free), count - len(chosen)
        drawn = np.random.default_rng(len(self.grades)).permutation(left)[:more]
        return [*chosen, *drawn.tolist()]

    def _telling(self, count: int, free: npt.NDArray[np.bool_]) -> list[int]:
        """The most telling of the free questions, the most telling first."""
        _, telling, _ = self._chances()
        topic, spread, gradient = self.bank.topic, self.spread.copy(), self._gradient()
        weight = np.r_[1.0, np.full(len(self.bank.topics), 1 / len(self.bank.topics))]
        chosen: list[int] = []
        for _ in range(min(count, int(free.sum()))):
            of_topic = weight @ (gradient @ spread) ** 2  # what knowing a topic's skill takes from the variances, (T,)
            falls = telling * of_topic[topic] / (1 + telling * np.diag(spread)[topic])
            best = int(np.where(free, falls, -1.0).argmax())
            at, info = topic[best], telling[best]
            spread = spread - info / (1 + info * spread[at, at]) * np.outer(spread[at], spread[at])
            free[best] = False
            chosen.append(best)
        return chosen

    def _chances(self) -> tuple[Floats, Floats, Floats]:
        """Of each question: chance of a right answer, what an answer tells (Fisher), d chance / d skill."""
        bank, deviation = self.bank, np.sqrt(np.diag(self.spread))
        skill = self.mean[bank.topic, None] + deviation[bank.topic, None] * _POINTS
        right = _logistic(bank.ease[:, None] + bank.slope[:, None] * skill)
        steep = (right * (1 - right)) @ _WEIGHTS
        return right @ _WEIGHTS, bank.slope**2 * steep, bank.slope * steep

    def _gradient(self) -> Floats:
        """Of the accuracies on all and by topic, by skills, (1 + T, T); what was asked is known."""
        _, _, steep = self._chances()
        steep[list(self.grades)] = 0.0
        sums, counts = np.bincount(self.bank.topic, steep), np.bincount(self.bank.topic)
        return np.r_[sums[None] / counts.sum(), np.diag(sums / counts)]


def _estimate(mean: float, variance: float) -> Estimate:
    """A normal interval of log-odds, so that it lies between 0 and 1."""
    p = min(max(mean, 1e-4), 1 - 1e-4)
    half = 1.96 * math.sqrt(variance) / (p * (1 - p))
    return Estimate(mean=mean, low=min(mean, _logistic(_logit(p) - half)), high=max(mean, _logistic(_logit(p) + half)))


def _questions(value: Floats, heard: npt.NDArray[np.bool_], skill: Floats, ease: Floats, slope: Floats) -> Any:
    """Ease and slope closer to the most probable ones for each question, given skills (n, M): Newton's method."""
    for _ in range(2):
        right = _logistic(ease[:, None] + slope[:, None] * skill)
        rest, steep = (value - right) * heard, right * (1 - right) * heard
        first = np.stack([rest.sum(1) - ease / EASE**2, (rest * skill).sum(1) - (slope - 1) / SLOPE**2])
        across = steep * skill
        a, b, c = steep.sum(1) + 1 / EASE**2, across.sum(1), (across * skill).sum(1) + 1 / SLOPE**2
        step = np.stack([c * first[0] - b * first[1], a * first[1] - b * first[0]]) / (a * c - b * b)
        ease, slope = (
            np.clip(ease + np.clip(step[0], -1, 1), -8, 8),
            np.clip(slope + np.clip(step[1], -0.5, 0.5), 0.1, 3),
        )
    return ease, slope


def _most_probable(
    value: Floats, ease: Floats, slope: Floats, topic: Ints, mean: Floats, spread: Floats
) -> tuple[Floats, Floats]:
    """Skills (T,) and their covariance: Newton's method, each step no longer than `FAR`."""
    precision, skills, count = _inverse(spread), mean.copy(), len(mean)
    bend = precision
    for _ in range(STEPS + 1):
        right = _logistic(ease + slope * skills[topic])
        bend = precision + np.diag(np.bincount(topic, slope**2 * right * (1 - right), count))
        rest = np.bincount(topic, slope * (value - right), count) - precision @ (skills - mean)
        step = _solve(bend, rest)
        skills = skills + step * min(1.0, FAR / max(float(np.abs(step).max()), 1e-9))
        if float(np.abs(step).max()) < 1e-4:
            break
    return skills, _inverse(bend)


def _spreads(skills: Floats) -> tuple[float, float]:
    """Variances of what models' skills have in common and of each topic's, drawn towards what is usual."""
    models, topics = skills.shape
    whole, own = skills.mean(axis=1), skills - skills.mean(axis=1, keepdims=True)
    common = (WORTH * COMMON**2 + (whole**2).sum()) / (WORTH + models - 1)
    apart = (WORTH * APART**2 + (own**2).sum() / topics) / (WORTH + models - 1)
    return float(common), float(apart)


def _covariance(common: float, apart: float, topics: int) -> Floats:
    return common * np.ones((topics, topics)) + max(apart, 1e-6) * np.eye(topics)


def _logistic(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _logit(p: float) -> float:
    return math.log(p / (1 - p))
