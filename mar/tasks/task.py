"""What a benchmark is to mar: items in splits, the query that shows an item, and a score for an answer."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar, runtime_checkable

from mar.errors import ConfigError
from mar.pool.simulated import World
from mar.runtime import Ledger
from mar.runtime.sandbox import Sandbox
from mar.types import Domain, Failure, Query

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Item(Protocol):
    """One row of a benchmark, gold included. It stays in the task."""

    @property
    def id(self) -> str:
        """Identity within the benchmark."""
        ...


ItemT = TypeVar("ItemT", bound=Item)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What an answer is worth."""

    value: float  # 0 to 1
    solved: bool
    feedback: str = ""  # one line on what was wrong
    failure: Failure | None = None  # why the answer could not be judged as such


class Task(Protocol[ItemT]):
    """A benchmark."""

    @property
    def name(self) -> str:
        """Short name, as in `run_<name>.py`."""
        ...

    @property
    def domain(self) -> Domain:
        """The domain its queries belong to."""
        ...

    @property
    def notes(self) -> Mapping[str, str]:
        """What every table made with it must say: where the data came from, the protocol used."""
        ...

    def items(self, split: Split) -> Sequence[ItemT]:
        """All items of a split, in a fixed order."""
        ...

    def query(self, item: ItemT) -> Query:
        """What agents and controllers see of an item."""
        ...

    async def score(self, item: ItemT, answer: str | None, sandbox: Sandbox) -> Score:
        """Judge an extracted answer (None: there was none)."""
        ...

    async def world(self, items: Sequence[ItemT], sandbox: Sandbox) -> World:
        """What a simulated pool needs to know about items: their difficulty, right and wrong answers."""
        ...


@runtime_checkable
class Spends(Protocol):
    """A task whose scoring may cost money."""

    def spend_within(self, ledger: Ledger, /) -> None:
        """Let what it costs count towards a run's limit."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Subset(Generic[ItemT]):
    """The items of one split that a run uses."""

    split: Split
    items: tuple[ItemT, ...]


def subset(task: Task[ItemT], split: Split, limit: int | None, seed: int = 0) -> Subset[ItemT]:
    """A split, or the first `limit` items of a seeded permutation of it.

    The permutation depends on the seed alone, so a smaller subset is contained in every larger one.

    Raises:
        ConfigError: The limit is negative.
    """
    if limit is not None and limit < 0:
        raise ConfigError(f"the limit on {split} items is {limit}; 0 or more is expected")
    items = list(task.items(split))
    if limit is None or limit >= len(items):
        return Subset(split=split, items=tuple(items))
    order = list(range(len(items)))
    random.Random(f"{task.name}/{split}/{seed}").shuffle(order)
    return Subset(split=split, items=tuple(items[i] for i in order[:limit]))
