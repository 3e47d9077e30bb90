"""Readers of published recordings: RouterBench's MBPP answers and MMLU-Pro's model outputs.

Traps of the data, which the records make visible:

- RouterBench's MBPP prompts carry the task text without the function's name, so most answers define another name than
  the tests call. The recorded score is the truth; running the code is not. `sample_id` is no MBPP task_id, and two
  prompts occur twice, so items are told apart by `sample_id`.
- In some of MMLU-Pro's outputs an unreadable answer was filled in, with "G" in the files that are read here. Such a
  row has `filled=True` and no letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from mar.pool.replay import Recording, RecordingKey
from mar.reading import read_json_lines, validated


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _RouterBenchAnswer(_Row):
    response: str
    score: Annotated[float, Field(ge=0, le=1)]
    cost_usd: Annotated[float, Field(ge=0)]


class _RouterBenchRow(_Row):
    sample_id: str
    split: Literal["train", "test"]
    prompt: str
    models: dict[str, _RouterBenchAnswer]


class _MmluProRow(_Row):
    question_id: int
    pred: str
    text: str


R = TypeVar("R", bound=_Row)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterBenchItem:
    """One prompt of RouterBench and what each LLM answered."""

    id: str  # RouterBench's sample_id
    split: Literal["train", "test"]  # RouterDC's
    prompt: str
    answers: Mapping[str, Recording]  # by model; score is 0 or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MmluProAnswer:
    """One LLM's output on one question of MMLU-Pro."""

    question_id: int
    model: str
    text: str
    letter: str | None  # "A" to "J"; None where none could be read
    filled: bool  # the published file states a letter although none can be read


def load_routerbench(path: Path | str) -> tuple[RouterBenchItem, ...]:
    """Read RouterBench's recordings, one item a line.

    Raises:
        DataError: The file is missing or one of its rows is wrong.
    """
    return tuple(
        RouterBenchItem(
            id=row.sample_id,
            split=row.split,
            prompt=row.prompt,
            answers={
                model: Recording(text=answer.response, score=answer.score, cost_usd=answer.cost_usd)
                for model, answer in row.models.items()
            },
        )
        for row in _rows(Path(path), _RouterBenchRow)
    )


def routerbench_recordings(items: Iterable[RouterBenchItem]) -> dict[RecordingKey, Recording]:
    """The items' answers, as a replay pool takes them: `Query.id` must be the item's `id`."""
    return {
        RecordingKey(item=item.id, model=model): recording
        for item in items
        for model, recording in item.answers.items()
    }


def load_mmlu_pro(path: Path | str) -> tuple[MmluProAnswer, ...]:
    """Read one LLM's MMLU-Pro outputs (MODEL.jsonl.gz); the model's name is the file's.

    Raises:
        DataError: The file is missing or one of its rows is wrong.
    """
    path = Path(path)
    model = path.name.removesuffix(".gz").removesuffix(".jsonl")
    return tuple(_mmlu_pro_answer(row, model) for row in _rows(path, _MmluProRow))


def mmlu_pro_recordings(
    answers: Iterable[MmluProAnswer], gold: Mapping[int, str] | None = None
) -> dict[RecordingKey, Recording]:
    """MMLU-Pro outputs, as a replay pool takes them: `Query.id` must be mmlu_pro/ID, as the task MMLU-Pro has it.

    Args:
        answers: The outputs of one or several LLMs.
        gold: The right letter of each question, to grade with; None: recordings without a score.
    """
    return {
        RecordingKey(item=f"mmlu_pro/{a.question_id}", model=a.model): Recording(
            text=a.text,
            score=None if gold is None else float(a.letter is not None and a.letter == gold.get(a.question_id)),
        )
        for a in answers
    }


# How MMLU-Pro's own evaluation reads an answer, from the most to the least certain sign.
_LETTERS = (
    re.compile(r"answer is \(?([A-J])\)?"),
    re.compile(r"[aA]nswer:\s*([A-J])"),
    re.compile(r"\b([A-J])\b(?!.*\b[A-J]\b)", re.DOTALL),
)


def _mmlu_pro_answer(row: _MmluProRow, model: str) -> MmluProAnswer:
    readable = any(pattern.search(row.text) for pattern in _LETTERS)
    return MmluProAnswer(
        question_id=row.question_id,
        model=model,
        text=row.text,
        letter=row.pred if row.pred and readable else None,
        filled=bool(row.pred) and not readable,
    )


def _rows(path: Path, kind: type[R]) -> Iterator[R]:
    adapter = TypeAdapter(kind)
    for where, value in read_json_lines(path, expected="JSON lines, gzipped or plain"):
        yield validated(adapter, value, where)
