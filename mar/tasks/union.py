"""Several tasks as one: for a controller that serves all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mar.errors import ConfigError
from mar.pool.simulated import EMPTY_WORLD, World
from mar.runtime import Ledger
from mar.runtime.sandbox import Sandbox
from mar.tasks.task import Score, Spends, Split, Task
from mar.types import Domain, Query


@dataclass(frozen=True, slots=True, kw_only=True)
class UnionItem:
    """An item and the task that it is from."""

    task: str  # the task's name
    item: Any  # the task's own item

    @property
    def id(self) -> str:
        """Identity within the union."""
        return f"{self.task}/{self.item.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnionTask:
    """The items of several tasks, one task after the other; each is asked, scored and simulated by its own task.

    Every query states the domain of its own task. `domain`, which a task has to have, is the first one's; only what
    knows no query asks for it (random plans, fixed teams).
    """

    tasks: Mapping[str, Task[Any]]  # by name
    name: str = "all"

    @classmethod
    def of(cls, tasks: Sequence[Task[Any]], *, name: str = "all") -> UnionTask:
        """The union of some tasks.

        Raises:
            ConfigError: There is none, or two share a name.
        """
        by_name = {task.name: task for task in tasks}
        if not tasks or len(by_name) < len(tasks):
            raise ConfigError(
                f"a union of {[t.name for t in tasks]}; expected one task or more, each with its own name"
            )
        return cls(tasks=by_name, name=name)

    def spend_within(self, ledger: Ledger) -> None:
        """Let what scoring costs count towards a run's limit."""
        for task in self.tasks.values():
            if isinstance(task, Spends):
                task.spend_within(ledger)

    @property
    def domain(self) -> Domain:
        """The first task's."""
        return next(iter(self.tasks.values())).domain

    @property
    def notes(self) -> Mapping[str, str]:
        """All tasks' notes, each under its task's name."""
        return {f"{name}, {key}": value for name, task in self.tasks.items() for key, value in task.notes.items()}

    def items(self, split: Split) -> Sequence[UnionItem]:
        """Items of a split, task by task."""
        return [UnionItem(task=name, item=i) for name, task in self.tasks.items() for i in task.items(split)]

    def query(self, item: UnionItem) -> Query:
        """What the item's own task shows."""
        return self.tasks[item.task].query(item.item)

    async def score(self, item: UnionItem, answer: str | None, sandbox: Sandbox) -> Score:
        """What the item's own task says."""
        return await self.tasks[item.task].score(item.item, answer, sandbox)

    async def world(self, items: Sequence[UnionItem], sandbox: Sandbox) -> World:
        """The tasks' worlds together."""
        merged = EMPTY_WORLD
        for name, task in self.tasks.items():
            merged = merged.merged(await task.world([i.item for i in items if i.task == name], sandbox))
        return merged
