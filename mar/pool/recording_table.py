"""A table of recorded answers in a file: what `--pool replay:TABLE` reads. docs/recorded.md describes it for people.

JSON lines, gzipped where the name ends in .gz. The first says what the table is, every other one is an item:

    {"table": "mmlu_pro", "form": "choice", "graded_by": "task", "models": {"gpt-4o": "a description, or nothing"}}
    {"item": "mmlu_pro/70", "answers": {"gpt-4o": {"answer": "C", "chars": 812, "cost_usd": 0.004}}}

A table has one form and one grader. Answers of the form `text` are replies as they were given; those of the others are
the answer alone, and the reply that is replayed says it as the task reads it. An empty answer is a reply without one.
Where the publisher's scores count and no answer was kept, a placeholder is replayed: it stands for its score, and a
pool of such replies answers one agent a query, since nobody can say which of them agree.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from mar.errors import DataError
from mar.files import write_atomically
from mar.pool.cards import ModelCard
from mar.pool.pool import Pool, Reach
from mar.pool.replay import Recording, RecordingKey, replay_pool
from mar.reading import read_json_lines, validated

Form = Literal[
    "text",  # whole replies
    "choice",  # the letter of an option
    "number",
    "boxed",  # a LaTeX expression
]
Grader = Literal[
    "task",  # the replies are scored as any other
    "publisher",  # the recorded score of the reply counts
]
EXPECTED = "a table of recorded answers (docs/recorded.md)"
_STATED: Mapping[Form, str] = {
    "choice": "The answer is ({})",
    "number": "The answer is {}",
    "boxed": "The answer is \\boxed{{{}}}",
}

Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0)]
Name = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAnswer:
    """One LLM's answer to one item, as the file has it. None: not recorded."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # hundreds of thousands of models would take a gigabyte

    answer: str | None = None  # in the table's form; "": none can be read
    score: Annotated[float, Field(ge=0, le=1)] | None = None  # the publisher's
    cost_usd: Amount | None = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    chars: Count | None = None  # length of the reply where `answer` is not all of it
    latency_s: Amount | None = None


class _Head(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    table: Name
    form: Form = "text"
    graded_by: Grader = "task"
    models: Annotated[dict[Name, str], Field(min_length=1)]
    notes: dict[str, str] = Field(default_factory=dict[str, str])


class _Item(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    item: Name
    answers: dict[str, RecordedAnswer]


_HEAD, _ITEM = TypeAdapter(_Head), TypeAdapter(_Item)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingTable:
    """Answers of some models to some items."""

    name: str
    models: Mapping[str, str]  # descriptions by name, in the table's order
    answers: Mapping[str, Mapping[str, RecordedAnswer]]  # by Query.id, then by model
    form: Form = "text"
    graded_by: Grader = "task"
    notes: Mapping[str, str] = field(default_factory=dict[str, str])  # what every result made from it must say

    def __post_init__(self) -> None:
        if not self.answers:
            raise DataError(f"{self.name}: no item; expected {EXPECTED}")
        for item, answers in self.answers.items():
            if problem := self._problem(answers):
                raise DataError(f"{self.name}: item {item!r}: {problem}; expected {EXPECTED}")
        if len(self._kept) > 1:
            raise DataError(f"{self.name}: some replies and some scores alone; expected all of one kind")

    @property
    def replies(self) -> bool:
        """Whether there are answers, and not scores alone."""
        return True in self._kept

    @property
    def _kept(self) -> set[bool]:
        return {a.answer is not None for answers in self.answers.values() for a in answers.values()}

    def _problem(self, answers: Mapping[str, RecordedAnswer]) -> str | None:
        for model, found in answers.items():
            if model not in self.models:
                return f"model {model!r} is none of the first line's"
            if self.graded_by == "task" and found.answer is None:
                return f"no answer of {model!r} for the task to grade"
            if self.graded_by == "publisher" and found.score is None:
                return f"no score of {model!r}, and the publisher's are what counts"
        return None

    def text(self, item: str, model: str) -> str:
        """The reply that is replayed."""
        answer = self.answers[item][model].answer
        if answer is None:
            return f"[the reply of {model} was not recorded, only its score]"
        stated = _STATED.get(self.form)
        return answer if stated is None or not answer else stated.format(answer)

    def missing(self, item: str) -> tuple[str, ...]:
        """Models without an answer to an item."""
        answers = self.answers.get(item, {})
        return tuple(model for model in self.models if model not in answers)

    def pool(self) -> Pool:
        """A pool of the table's models that replays it."""
        recordings = {
            RecordingKey(item=item, model=model): Recording(
                text=self.text(item, model),
                prompt_tokens=found.prompt_tokens,
                completion_tokens=found.completion_tokens,
                cost_usd=found.cost_usd,
                score=found.score,
                latency_s=found.latency_s,
                chars=found.chars,
            )
            for item, answers in self.answers.items()
            for model, found in answers.items()
        }
        cards = [ModelCard(name=name, description=text) for name, text in self.models.items()]
        reach: Reach = "alone" if self.replies else "single"
        return replay_pool(recordings, cards, reach=reach)


def load_table(path: Path) -> RecordingTable:
    """Read a table.

    Raises:
        DataError: The file is missing or a line of it is wrong; says which.
    """
    lines = read_json_lines(path, expected=EXPECTED)
    where, first = next(lines, (f"{path}", None))
    if first is None:
        raise DataError(f"{path} is empty; expected {EXPECTED}")
    head = validated(_HEAD, first, where, expected=f"the first line of {EXPECTED}")
    answers: dict[str, Mapping[str, RecordedAnswer]] = {}
    for where, value in lines:
        row = validated(_ITEM, value, where, expected=f"an item of {EXPECTED}")
        if row.item in answers:
            raise DataError(f"{where}: item {row.item!r} a second time; expected {EXPECTED}")
        answers[row.item] = row.answers
    try:
        return RecordingTable(
            name=head.table,
            models=head.models,
            answers=answers,
            form=head.form,
            graded_by=head.graded_by,
            notes=head.notes,
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def write_table(path: Path, table: RecordingTable) -> None:
    """Write a table, all or nothing; gzipped where the name ends in .gz, the same bytes every time."""
    head = _Head(
        table=table.name,
        form=table.form,
        graded_by=table.graded_by,
        models=dict(table.models),
        notes=dict(table.notes),
    )
    text = "".join(f"{line}\n" for line in (head.model_dump_json(), *_lines(table)))
    data = text.encode()
    write_atomically(path, gzip.compress(data, mtime=0) if path.name.endswith(".gz") else data)


def _lines(table: RecordingTable) -> Iterable[str]:
    for item, answers in table.answers.items():
        stated = {m: {name: v for name, v in asdict(found).items() if v is not None} for m, found in answers.items()}
        yield json.dumps({"item": item, "answers": stated}, ensure_ascii=False)
