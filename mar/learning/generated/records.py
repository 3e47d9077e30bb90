"""Questions that were generated or prepared, in the published form, and the files that hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mar.controllers.cascal import ABSTAINED
from mar.errors import DataError
from mar.files import write_atomically
from mar.reading import read_json_lines
from mar.tasks.readers import read_jsonl
from mar.tasks.scoring.choices import LETTERS


class Question(BaseModel):
    """One question with options, in the published form."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    question_id: str = Field(min_length=1)
    category: str = Field(min_length=1)  # subject
    question: str = Field(min_length=1)
    options: tuple[str, ...] = Field(min_length=2, max_length=len(LETTERS))
    answer: str  # letter that its source calls right: a benchmark's gold, or what the generator believes

    @model_validator(mode="after")
    def _answer_is_an_option(self) -> Question:
        if len(self.answer) != 1 or self.answer not in LETTERS[: len(self.options)]:
            raise ValueError(f"answer is {self.answer!r}; expected a letter from A to {LETTERS[len(self.options) - 1]}")
        return self

    @property
    def answer_index(self) -> int:
        """Position of the answer."""
        return LETTERS.index(self.answer)


class Answered(BaseModel):
    """What one model answered to one question."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question_id: str
    model: str
    text: str = ""
    choice: int = ABSTAINED  # position of the option, or -1 where none could be read
    logprob: float | None = None  # mean per token, nats; None where the server gives none
    failure: str = ""  # kind of the call's failure; such a line is asked again by a resumed run


class Written(BaseModel):
    """What a generator wrote in one call."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    call: str  # subject and number of the call
    category: str
    text: str = ""
    logprob: float | None = None
    failure: str = ""


RecordT = TypeVar("RecordT", bound=BaseModel)


def read_records(path: Path, kind: type[RecordT]) -> list[RecordT]:
    """Records of a JSON-lines or JSON file.

    Raises:
        DataError: The file or a row cannot be used; names the row.
    """
    if not path.is_file():
        raise DataError(f"no file {path}; an earlier step writes it")
    return [_validated(kind, row, f"{path}, row {n}") for n, row in enumerate(read_jsonl(path), start=1)]


def _validated(kind: type[RecordT], row: object, where: str) -> RecordT:
    try:
        return kind.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise DataError(f"{where}: {field} {first['msg'].removeprefix('Value error, ')}".replace(":  ", ": ")) from None


def write_records(path: Path, records: Iterable[BaseModel]) -> None:
    """Write records as JSON lines, whole or not at all."""
    write_atomically(path, "".join(r.model_dump_json() + "\n" for r in records))


class Journal:
    """Records appended one by one while a step runs, so that a killed run loses at most the line being written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def read(self, kind: type[RecordT]) -> list[RecordT]:
        """What is there; half a line at the end, left by a kill, is cut off.

        Raises:
            DataError: A line is no such record; names it.
        """
        if not self.path.is_file():
            return []
        data = self.path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            write_atomically(self.path, whole)
        return [_validated(kind, row, where) for where, row in read_json_lines(self.path)]

    def settled(self, kind: type[RecordT], key: Callable[[RecordT], str]) -> list[RecordT]:
        """What is there once all calls have ended: the last record of each key, in the order of the keys.

        The file is left so, too. Whatever order answers came in, and however often the run was killed, it is the same.
        """
        last = {key(record): record for record in self.read(kind)}
        records = [last[name] for name in sorted(last)]
        write_records(self.path, records)
        return records

    def append(self, record: BaseModel) -> None:
        """Add one record."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(record.model_dump_json() + "\n")
