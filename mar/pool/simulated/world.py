"""The world that simulated models know about: which item a question is, what is right and what is plausibly wrong.

Only an experiment builds a world, since only it may see gold answers. The simulator finds an item by the opaque id in
a request's context and never reads a prompt.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Literal, cast

from mar.errors import ConfigError
from mar.pool.simulated.draws import normal
from mar.types import Domain

AnswerForm = Literal["code", "number", "boxed", "choice", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimItem:
    """What the simulator knows about one item."""

    domain: Domain
    benchmark: str  # mbpp, humaneval, gsm8k, math, mmlu, mmlu_pro; another name falls back to the domain's first
    difficulty: float  # in standard deviations over the benchmark: 0 is average, positive is harder
    right: tuple[str, ...]  # right answers as extracted text: programs, numbers, option letters
    wrong: tuple[str, ...]  # plausible wrong answers, most popular first
    form: AnswerForm  # how an answer is written
    passing: frozenset[int] = frozenset()  # positions of wrong answers that pass every test that agents are shown
    topic: tuple[float, ...] = ()  # coordinates of what it is about: see `topics`

    def __post_init__(self) -> None:
        if not self.right or not self.wrong:
            raise ConfigError("a simulated item needs at least one right and one wrong answer")
        if not self.passing <= set(range(len(self.wrong))):
            raise ConfigError(
                f"a simulated item has {len(self.wrong)} wrong answer(s), but passing names {sorted(self.passing)}"
            )


@dataclass(frozen=True, slots=True)
class World:
    """Items by id."""

    items: Mapping[str, SimItem] = field(default_factory=dict[str, SimItem])

    @classmethod
    def of(cls, items: Mapping[str, SimItem] | Iterable[tuple[str, SimItem]]) -> World:
        """A world of these items: a mapping from item id (`Query.id`), or pairs of id and item.

        Raises:
            ConfigError: An id is given twice.
        """
        pairs = list(cast("Mapping[str, SimItem]", items).items() if isinstance(items, Mapping) else items)
        known = dict(pairs)
        if len(known) != len(pairs):
            raise ConfigError(f"a world names {len(pairs) - len(known)} item(s) twice; ids must differ")
        return cls(known)

    def get(self, item: str) -> SimItem | None:
        """The item of this id, or None when the world does not know it."""
        return self.items.get(item)

    def merged(self, other: World) -> World:
        """Both worlds' items.

        Raises:
            ConfigError: They share an id.
        """
        return World.of([*self.items.items(), *other.items.items()])


EMPTY_WORLD = World()


def difficulty_from_complexity(values: Sequence[float]) -> list[float]:
    """Standard normal scores of any complexity measure, by rank: the largest value becomes the hardest item.

    Equal values share the mean of their ranks. Rank r of n becomes the normal quantile of (r + 1/2) / n.
    """
    order = sorted(range(len(values)), key=lambda i: values[i])
    scores = [0.0] * len(values)
    start = 0
    while start < len(order):
        stop = start
        while stop < len(order) and values[order[stop]] == values[order[start]]:
            stop += 1
        score = NormalDist().inv_cdf((start + stop) / 2 / len(order))
        for i in order[start:stop]:
            scores[i] = score
        start = stop
    return scores


def item_difficulties(ids: Sequence[str], complexity: Sequence[float], *, rho: float, seed: int = 0) -> list[float]:
    """Difficulties that correlate with a complexity measure as strongly as was measured on recorded outcomes.

    difficulty = rho * z(complexity) + sqrt(1 - rho^2) * noise, the noise a standard normal hash of seed and item id.
    """
    noise_share = (1 - rho * rho) ** 0.5
    scores = difficulty_from_complexity(complexity)
    return [rho * z + noise_share * normal(seed, "difficulty", i) for i, z in zip(ids, scores, strict=True)]


def program_complexity(code: str) -> float:
    """Size of a reference solution: the number of nodes of its syntax tree, or its length in words if it has none."""
    try:
        return float(sum(1 for _ in ast.walk(ast.parse(code))))
    except (SyntaxError, ValueError):
        return float(len(code.split()))
