"""A benchmark with other splits than its own: from two files, or by a ratio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mar.errors import ConfigError
from mar.pool.simulated import World
from mar.runtime.sandbox import Sandbox
from mar.tasks.splits import shuffled
from mar.tasks.task import SPLITS, Score, Split, Task
from mar.tasks.union import UnionTask
from mar.types import Domain, Query


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherSplits:
    """A task whose items are in other splits than it says."""

    task: Task[Any]
    splits: Mapping[Split, Sequence[Any]]
    how: str  # for people

    @property
    def name(self) -> str:
        """The task's."""
        return self.task.name

    @property
    def domain(self) -> Domain:
        """The task's."""
        return self.task.domain

    @property
    def notes(self) -> Mapping[str, str]:
        """The task's, and how it was split."""
        return {**self.task.notes, "splits": self.how}

    def items(self, split: Split) -> Sequence[Any]:
        """Items of a split."""
        return self.splits[split]

    def query(self, item: Any) -> Query:
        """What the task shows."""
        return self.task.query(item)

    async def score(self, item: Any, answer: str | None, sandbox: Sandbox) -> Score:
        """What the task says."""
        return await self.task.score(item, answer, sandbox)

    async def world(self, items: Sequence[Any], sandbox: Sandbox) -> World:
        """The task's."""
        return await self.task.world(items, sandbox)


def by_ratio(task: Task[Any], ratio: float) -> OtherSplits:
    """All items anew: this share of them, in an order that depends on their ids alone, trains, the rest tests.

    Raises:
        ConfigError: The ratio is not between 0 and 1.
    """
    if not 0 < ratio < 1:
        raise ConfigError(f"--split_ratio is {ratio:g}; a share of training items between 0 and 1 is expected")
    items = {item.id: item for split in SPLITS for item in task.items(split)}
    order = shuffled(items, f"{task.name}/ratio")
    cut = round(ratio * len(order))
    splits: dict[Split, list[Any]] = {
        "train": [items[i] for i in order[:cut]],
        "validation": [],
        "test": [items[i] for i in order[cut:]],
    }
    return OtherSplits(task=task, splits=splits, how=f"{ratio:g} of all items train, the others test")


def from_files(train: Task[Any], test: Task[Any]) -> OtherSplits:
    """All items of one file train, all items of another test, whatever splits they name.

    Two files that share an item are refused when a simulated pool is made of them.
    """
    union = UnionTask(tasks={"train": train, "test": test}, name=test.name)
    items = [item for split in SPLITS for item in union.items(split)]
    splits: dict[Split, list[Any]] = {
        "train": [i for i in items if i.task == "train"],
        "validation": [],
        "test": [i for i in items if i.task == "test"],
    }
    return OtherSplits(task=union, splits=splits, how="from two files")
