"""A log as arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mar.traffic.estimates.others import UNASKED, Others
from mar.traffic.records import Logged, Outcome, OutcomeKind

Floats = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Worth = Callable[[Logged], float | None]

TRUST: tuple[OutcomeKind, ...] = ("tests", "grader", "rating", "judge", "edit", "retry", "agreement")
"""Kinds of outcomes, what says most first: of a request that has several, the first kind counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Requests that can be learned from, in the log's order."""

    arms: tuple[str, ...]  # K
    drawn: Ints  # what was done: number of an arm, (n,)
    probability: Floats  # with which the policy that served it drew each arm, (n, K); 0: it could not
    worth: Floats  # 0 to 1, (n,); NaN: nobody said
    usd: Floats  # (n,); NaN: not known
    seconds: Floats  # (n,)
    vectors: Vectors  # embeddings of the questions, (n, d)
    person: Ints  # who asked, or which conversation: numbers of groups that share luck, (n,)
    others: Others | None = None  # what the other arms said, where they were asked, too; None: nowhere

    def __len__(self) -> int:
        return len(self.drawn)

    def rows(self, at: npt.NDArray[np.bool_] | Ints) -> Table:
        """Some of the rows, in this order."""
        return Table(
            arms=self.arms,
            drawn=self.drawn[at],
            probability=self.probability[at],
            worth=self.worth[at],
            usd=self.usd[at],
            seconds=self.seconds[at],
            vectors=self.vectors[at],
            person=self.person[at],
            others=None if self.others is None else self.others.rows(at),
        )

    @property
    def rated(self) -> int:
        """How many requests somebody said something about."""
        return int((~np.isnan(self.worth)).sum())

    def folds(self, count: int, seed: int = 0) -> Ints:
        """Numbers of folds, (n,): all of a person's requests are in one, so nobody is learned from and tested on."""
        people = int(self.person.max()) + 1 if len(self) else 0
        order = np.random.default_rng(seed).permutation(people)
        return (order % count)[self.person]


def worth_of(outcomes: Sequence[Outcome], kinds: Sequence[OutcomeKind] = TRUST) -> float | None:
    """The mean of the most trusted kind that there is; None: there is none."""
    for kind in kinds:
        if values := [outcome.value for outcome in outcomes if outcome.kind == kind]:
            return min(1.0, max(0.0, sum(values) / len(values)))
    return None


def usable(logged: Logged) -> bool:
    """Whether it can be learned from: it was answered, the question was kept in some form, what was drawn is known.

    What was asked of a model by its name no policy drew, so nothing is known of how probably it was done.
    """
    kept = logged.embedding is not None or bool(logged.text)
    drawn = bool(logged.controller) and bool(logged.arms) and logged.arm.probability > 0
    return logged.status == 200 and kept and drawn


def table_of(log: Sequence[Logged], worth: Worth = lambda logged: worth_of(logged.outcomes)) -> Table:
    """Requests that are `usable` as arrays. Who states neither a user nor a conversation is taken to be somebody else.

    Args:
        log: Requests, all with embeddings of one encoder.
        worth: What an answer was worth, 0 to 1; None: nobody said.
    """
    names = tuple(dict.fromkeys(arm.name for logged in log for arm in logged.arms))
    place = {name: k for k, name in enumerate(names)}
    probability = np.zeros((len(log), len(names)))
    for i, logged in enumerate(log):
        for arm in logged.arms:
            probability[i, place[arm.name]] += arm.probability
    people: dict[str, int] = {}
    groups = [logged.user or logged.conversation or f"request {logged.id}" for logged in log]
    width = len(log[0].embedding or ()) if log else 0
    return Table(
        arms=names,
        drawn=np.array([place[logged.arm.name] for logged in log], dtype=np.int64),
        probability=probability,
        worth=_numbers([worth(logged) for logged in log]),
        usd=_numbers([logged.cost_usd for logged in log]),
        seconds=_numbers([logged.seconds for logged in log]),
        vectors=np.array([logged.embedding for logged in log], dtype=np.float32).reshape(len(log), width),
        person=np.array([people.setdefault(group, len(people)) for group in groups], dtype=np.int64),
        others=_others(log, place),
    )


def _others(log: Sequence[Logged], place: Mapping[str, int]) -> Others | None:
    """What models said where several were asked; what has no answer stands as if it had not been asked."""
    if not any(logged.others for logged in log):
        return None
    said = np.full((len(log), len(place)), UNASKED, dtype=np.int64)
    usd = np.full(said.shape, np.nan)
    single = np.zeros(len(log), dtype=np.bool_)
    for i, logged in enumerate(log):
        heard = [other for other in logged.others if other.said and other.model in place]
        numbers = {text: n for n, text in enumerate(dict.fromkeys(other.said for other in heard))}
        for other in heard:
            at = (i, place[other.model])
            said[at] = numbers[other.said]
            usd[at] = np.nan if other.usd is None else other.usd
        single[i] = bool(heard) and 2 * sum(other.single for other in heard) > len(heard)
    return Others(said=said, usd=usd, single=single)


def _numbers(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
