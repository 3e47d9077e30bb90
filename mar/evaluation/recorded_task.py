"""A benchmark on recorded answers: the items that a table has every model's answer to, graded as the table says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic

from mar.errors import DataError, InternalError
from mar.pool.recording_table import RecordingTable
from mar.pool.simulated import World
from mar.runtime.sandbox import Sandbox
from mar.tasks.task import SPLITS, ItemT, Score, Split, Task
from mar.types import AnswerFormat, Domain, Query

SOLVED = 0.5  # publisher's scores above it count as solved; some are means of several attempts


@dataclass(frozen=True, slots=True)
class WholeReply:
    """A reply as its publisher graded it: the whole text is the answer. Two agree where the task says so."""

    form: AnswerFormat

    @property
    def final_role(self) -> str:
        """The task's."""
        return self.form.final_role

    @property
    def instruction(self) -> str:
        """The task's."""
        return self.form.instruction

    @property
    def choices(self) -> int | None:
        """The task's."""
        return self.form.choices

    def extract(self, text: str) -> str | None:
        """The text without surrounding white space; None when nothing is left."""
        return text.strip() or None

    def equivalent(self, a: str, b: str) -> bool:
        """The same text, or readable answers in it that say the same."""
        one, other = self.form.extract(a), self.form.extract(b)
        return a == b or (one is not None and other is not None and self.form.equivalent(one, other))


class RecordedTask(Generic[ItemT]):
    """A task cut to its recorded items.

    An item counts if every model of the table has an answer to it, so that all are compared on the same ones; what is
    left out is counted and named in the notes.

    Raises:
        DataError: No item is left of a split that has some.
    """

    def __init__(self, task: Task[ItemT], table: RecordingTable) -> None:
        self.task, self.table = task, table
        self._items: dict[Split, Sequence[ItemT]] = {}
        self._missing: dict[str, tuple[str, ...]] = {}  # models without an answer, by item
        for split in SPLITS:
            items = task.items(split)
            lacking = {task.query(i).id: table.missing(task.query(i).id) for i in items}
            self._items[split] = [i for i in items if not lacking[task.query(i).id]]
            self._missing |= {item: models for item, models in lacking.items() if models}
            if items and not self._items[split]:
                raise DataError(
                    f"the table {table.name} has no {split} item of {task.name} that all {len(table.models)} models "
                    f"answered: {self._example()}; it has items like {next(iter(table.answers))!r}"
                )

    @property
    def name(self) -> str:
        """The benchmark's."""
        return self.task.name

    @property
    def domain(self) -> Domain:
        """The benchmark's."""
        return self.task.domain

    @property
    def notes(self) -> Mapping[str, str]:
        """The benchmark's, and what was recorded, how it is graded, what is left out."""
        graded = "as the task grades" if self.table.graded_by == "task" else "by its publisher's scores"
        kept = sum(len(items) for items in self._items.values())
        recorded = f"table {self.table.name}, {kept} items, graded {graded}"
        if self._missing:
            recorded += f"; {len(self._missing)} items left out: {self._example()}"
        return {**self.task.notes, **self.table.notes, "recorded answers": recorded}

    def _example(self) -> str:
        item, (first, *more) = next(iter(self._missing.items()))
        most, times = Counter(m for lacking in self._missing.values() for m in lacking).most_common(1)[0]
        others = f" and {len(more)} more" if more else ""
        return f"{item} has no answer of {first}{others}, and {most} has none to {times} items"

    def items(self, split: Split) -> Sequence[ItemT]:
        """The recorded items of a split, in the benchmark's order."""
        return self._items[split]

    def query(self, item: ItemT) -> Query:
        """The benchmark's; where the publisher's scores count, with the whole reply as the answer."""
        query = self.task.query(item)
        return (
            query if self.table.graded_by == "task" else replace(query, answer_format=WholeReply(query.answer_format))
        )

    async def score(self, item: ItemT, answer: str | None, sandbox: Sandbox) -> Score:
        """The benchmark's score, or the publisher's: the mean one of all the item's replies that read like this."""
        if self.table.graded_by == "task":
            return await self.task.score(item, answer, sandbox)
        scores = self._published(self.task.query(item).id).get((answer or "").strip(), [])
        value = sum(scores) / len(scores) if scores else 0.0
        return Score(value=value, solved=value > SOLVED)

    def _published(self, item: str) -> Mapping[str, list[float]]:
        found: dict[str, list[float]] = {}
        for model, recorded in self.table.answers[item].items():
            found.setdefault(self.table.text(item, model).strip(), []).append(recorded.score or 0.0)
        return found

    async def world(self, items: Sequence[ItemT], sandbox: Sandbox) -> World:
        """Nothing is simulated."""
        raise InternalError("recorded answers need no world")
