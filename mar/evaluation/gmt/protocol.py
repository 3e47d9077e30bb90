# pyright: basic
"""How preference routers are tested without leaks: splits, what may be visible, accuracy and AUC with intervals."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.metrics import roc_auc_score

from mar.controllers.gmt.comparisons import Comparisons, Floats, Ints
from mar.controllers.gmt.records import Group, frequent
from mar.errors import DataError
from mar.evaluation.statistics import Interval

SplitKind = Literal["votes", "questions"]
SPLIT_FILES = {"train": "training_set", "validation": "valid_set", "test": "test_set"}
EXTRA_FILE = "extra_set"  # ours: votes that are only trained on, such as GPT-4's
TEST_SHARE, VALIDATION_SHARE = 0.2, 0.1
MIN_GROUPS = 12  # a user with fewer is left out, as in the published data


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Groups by part; `extra` are votes of others that may help training."""

    train: tuple[Group, ...]
    validation: tuple[Group, ...]
    test: tuple[Group, ...]
    extra: tuple[Group, ...] = ()
    removed: int = 0  # groups taken out of the other parts since they tell something about a test vote


def split_votes(groups: Sequence[Group], seed: int, *, extra: Sequence[Group] = (), kind: SplitKind = "votes") -> Split:
    """Split conversations, each kept whole.

    votes: of each user 20% are tested and 10% validate; votes of others on a tested item (the same question and LLMs),
    GPT-4's included, are removed from all other parts, as they tell how good these very answers are.
    questions: a fifth of all questions are tested and a tenth validate, and nothing about them is seen in training.

    Args:
        groups: Votes of people.
        seed: Of the split.
        extra: Votes that are only trained on, such as GPT-4's.
        kind: What is held out.

    Raises:
        DataError: No user has enough conversations, or there are too few questions.
    """
    kept = frequent(groups, MIN_GROUPS)
    if not kept:
        most = max(Counter(g.user for g in groups).values(), default=0)
        raise DataError(f"no user has {MIN_GROUPS} rated conversations, which a test takes; the most of one is {most}")
    rng = random.Random(seed)
    held_out = _by_user(kept, rng) if kind == "votes" else _by_question(kept, rng)
    parts: dict[str, list[Group]] = {"train": [], "validation": [], "test": []}
    for group in kept:
        parts[held_out.get(id(group), "train")].append(group)
    if kind == "votes":
        return without_leaks(parts["train"], parts["validation"], parts["test"], extra)
    asked = {g.question_id for g in (*parts["test"], *parts["validation"])}
    others = tuple(g for g in extra if g.question_id not in asked)
    return Split(
        train=tuple(parts["train"]),
        validation=tuple(parts["validation"]),
        test=tuple(parts["test"]),
        extra=others,
        removed=len(extra) - len(others),
    )


def without_leaks(
    train: Sequence[Group], validation: Sequence[Group], test: Sequence[Group], extra: Sequence[Group] = ()
) -> Split:
    """A split in which no part but the test has votes on a tested item."""
    hidden = {g.item for g in test}
    parts = [tuple(g for g in part if g.item not in hidden) for part in (train, validation, extra)]
    removed = len(train) + len(validation) + len(extra) - sum(map(len, parts))
    return Split(train=parts[0], validation=parts[1], test=tuple(test), extra=parts[2], removed=removed)


def _by_user(groups: Sequence[Group], rng: random.Random) -> dict[int, str]:
    own = defaultdict[str, list[Group]](list)
    for group in groups:
        own[group.user].append(group)
    found = dict[int, str]()
    for user in sorted(own):
        shuffled = own[user]
        rng.shuffle(shuffled)
        tested, validating = int(TEST_SHARE * len(shuffled)), int(VALIDATION_SHARE * len(shuffled))
        found |= {id(g): "test" for g in shuffled[:tested]}
        found |= {id(g): "validation" for g in shuffled[tested : tested + validating]}
    return found


def _by_question(groups: Sequence[Group], rng: random.Random) -> dict[int, str]:
    questions = sorted({g.question_id for g in groups})
    rng.shuffle(questions)
    tested, validating = int(TEST_SHARE * len(questions)), int(VALIDATION_SHARE * len(questions))
    if not tested:
        raise DataError(f"{len(questions)} questions cannot be split; expected at least {round(1 / TEST_SHARE)}")
    part = dict.fromkeys(questions[:tested], "test") | dict.fromkeys(
        questions[tested : tested + validating], "validation"
    )
    return {id(g): part[g.question_id] for g in groups if g.question_id in part}


# Measures -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Scores of one router on one split's decided votes."""

    score: Floats  # (n,) how much a is expected to be preferred to b
    sign: Floats  # (n,) +1 where it was, -1 where b was
    cluster: Ints  # (n,) rows about one question belong together: they are about the same answers

    @classmethod
    def of(cls, score: Floats, votes: Comparisons) -> Scored:
        """The decided votes among these; ties are nobody's mistake."""
        decided = votes.decided
        return cls(score=score[decided], sign=votes.sign[decided], cluster=votes.question[decided])

    @property
    def right(self) -> Floats:
        """1 where the better answer was scored higher, 0.5 where both were scored alike."""
        return np.where(self.score == 0, 0.5, self.score * self.sign > 0).astype(np.float64)

    @property
    def accuracy(self) -> float:
        """Share of right decisions; NaN where there is none."""
        return float(self.right.mean()) if len(self.sign) else float("nan")

    @property
    def auc(self) -> float:
        """Area under the ROC curve of a's preference, every pair counted in both orders; NaN where there is none."""
        return auc(self.score, self.sign) if len(self.sign) else float("nan")


def auc(score: Floats, sign: Floats, weight: Floats | None = None) -> float:
    """AUC of pairs, each in both orders, so that it does not matter which answer is called a."""
    both = None if weight is None else np.concatenate([weight, weight])
    labels = np.concatenate([sign > 0, sign < 0])
    return float(roc_auc_score(labels, np.concatenate([score, -score]), sample_weight=both))


def mean_over_splits(tested: Sequence[Scored], measure: str) -> float:
    """Mean accuracy or auc over splits."""
    return float(np.mean([getattr(t, measure) for t in tested]))


def difference(a: Sequence[Scored], b: Sequence[Scored], measure: str, *, draws: int = 1000) -> Interval:
    """Mean over splits of a - b, with a paired bootstrap over splits and, within each, over questions.

    Whole questions are drawn, since votes of several users on one question are about the same answers. Splits share
    test votes; drawing splits as well counts the chance of each twice, which more than makes up for that.

    Args:
        a: One router on each split.
        b: Another one on the same.
        measure: accuracy or auc.
        draws: Bootstrap resamples.
    """
    rng = np.random.default_rng(0)
    observed = np.array([getattr(x, measure) - getattr(y, measure) for x, y in zip(a, b, strict=True)])
    drawn = np.array([[_resampled(x, y, measure, rng) for x, y in zip(a, b, strict=True)] for _ in range(draws)])
    chosen = rng.integers(0, len(a), (draws, len(a)))
    means = np.take_along_axis(drawn, chosen, axis=1).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(mean=float(observed.mean()), low=float(low), high=float(high))


def _resampled(a: Scored, b: Scored, measure: str, rng: np.random.Generator) -> float:
    """The difference on questions drawn with replacement."""
    _, place = np.unique(a.cluster, return_inverse=True)
    times = rng.multinomial(place.max() + 1, np.full(place.max() + 1, 1 / (place.max() + 1)))
    weight = times[place].astype(np.float64)
    if measure == "accuracy":
        return float(weight @ (a.right - b.right) / weight.sum())
    return fast_auc(a, weight) - fast_auc(b, weight)


def fast_auc(tested: Scored, weight: Floats) -> float:
    """`auc` with weights, in one sort: the chance that a preferred order scores above the other order of any pair."""
    up = tested.score * tested.sign  # what the preferred order scored; the other order scored its negative
    order = np.sort(-up)
    ranked = np.argsort(-up)
    mass = np.concatenate([[0.0], np.cumsum(weight[ranked])])
    below = mass[np.searchsorted(order, up, side="left")]
    level = mass[np.searchsorted(order, up, side="right")]
    total = weight.sum()
    return float(weight @ (below + level) / 2 / total**2)


def per_user(tested: Scored, votes: Comparisons) -> Mapping[str, float]:
    """Accuracy of each user's decisions."""
    users = votes.user[votes.decided]
    return {votes.names.users[u]: float(tested.right[users == u].mean()) for u in np.unique(users)}
