"""Benchmarks in the published question format, from the columns that the hub's data sets have.

MMLU-Pro     question_id, question, options, answer, category                       (TIGER-Lab/MMLU-Pro)
SuperGPQA    uuid, question, options, answer_letter (or answer, its text), discipline  (m-a-p/SuperGPQA)
MedMCQA      id, question, opa..opd, cop (0 to 3; -1: withheld), subject_name          (openlifescienceai/medmcqa)
BBEH         task, input, target                                                       (BBEH/bbeh)

BBEH puts options into its text; tasks whose answers are no options are left out. Rows that cannot become a question
with one right option (a withheld answer, a single option) are left out and counted, by reason.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mar.errors import DataError
from mar.learning.generated.records import Question
from mar.learning.generated.subjects import subject_descriptions, task_name
from mar.tasks.readers import Row
from mar.tasks.scoring.choices import LETTERS
from mar.tasks.sources import Rows, find_rows, hub_rows, layouts
from mar.tasks.splits import shuffled

HUBS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "mmlu_pro": ("TIGER-Lab/MMLU-Pro", ("test",)),
    "super_gpqa": ("m-a-p/SuperGPQA", ("train",)),
    "medmcqa": ("openlifescienceai/medmcqa", ("validation",)),
    "bbeh": ("BBEH/bbeh", ("train",)),
}
TRAIN_SHARE = 0.8
_CLOSED = {
    "boardgame qa": ("proved", "disproved", "unknown"),
    "causal understanding": ("Yes", "No", "Ambiguous"),
}
_OPTION = re.compile(r"^\s*\(([A-J])\)\s*(.+?)\s*$", re.MULTILINE)
_TARGET = re.compile(r"^\(?([A-J])\)?$")
Made = Question | str
"""A question, or why a row makes none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A benchmark's questions."""

    questions: tuple[Question, ...]
    left_out: Mapping[str, int]  # rows by reason
    source: str


def prepare(task: str, *, path: Path | None = None, data: Path | None = None) -> Prepared:
    """Read a benchmark and put it into the published format.

    Args:
        task: Its name, in any of the published spellings.
        path: A file with its rows.
        data: A folder of benchmark data; then the hub, then, for MMLU-Pro, the bundled sample.

    Raises:
        ConfigError: There is no such benchmark.
        DataError: No rows are found, a column is missing, or nothing is left.
    """
    name = task_name(task)
    rows = _rows(name, path, data)
    made = [_one(name, at.row, at.where, at.number) for at in rows.located]
    questions = tuple(m for m in made if isinstance(m, Question))
    if not questions:
        raise DataError(f"{rows.source}: no row makes a question with options; expected the columns of {HUBS[name][0]}")
    return Prepared(questions=questions, left_out=Counter(m for m in made if isinstance(m, str)), source=rows.source)


def split_questions(questions: Sequence[Question], *, seed: int) -> tuple[tuple[Question, ...], tuple[Question, ...]]:
    """Train and test: 80% and 20% of every subject, by a hash of the ids, in the order of the file."""
    train: set[str] = set()
    for subject in sorted({q.category for q in questions}):
        ids = [q.question_id for q in questions if q.category == subject]
        train.update(shuffled(ids, f"cascal/{seed}/{subject}")[: round(TRAIN_SHARE * len(ids))])
    return (
        tuple(q for q in questions if q.question_id in train),
        tuple(q for q in questions if q.question_id not in train),
    )


def _rows(name: str, path: Path | None, data: Path | None) -> Rows:
    hub, parts = HUBS[name]
    files = [f"{part}{ending}" for part in parts for ending in (".jsonl.gz", "*.jsonl")]
    within = layouts(*(f"{name}/{f}" for f in (*files, "*.json", "*.parquet")))
    if name == "mmlu_pro":
        return find_rows(
            explicit=path, data_root=data, within=within, hub=lambda: hub_rows(hub, parts=parts), sample="mmlu_pro"
        )
    try:
        return find_rows(
            explicit=path, data_root=data, within=within, hub=lambda: hub_rows(hub, parts=parts), sample=""
        )
    except (FileNotFoundError, IsADirectoryError):
        raise DataError(f"no rows of {name}; give a file, or a folder with {name}/{parts[0]}.jsonl") from None


def _one(name: str, row: Row, where: str, number: int) -> Made:
    try:
        made = _FORMATTERS[name](row, number)
    except KeyError as error:
        raise DataError(f"{where}: column {error} is missing; expected the columns of {HUBS[name][0]}") from None
    if isinstance(made, str):
        return made
    try:
        return Question.model_validate(made)
    except ValidationError as error:
        return error.errors()[0]["msg"].removeprefix("Value error, ").split(";")[0].split(" is ")[0]


def _mmlu_pro(row: Row, number: int) -> dict[str, Any] | str:
    return {
        "question_id": row.get("question_id", number),
        "category": row["category"],
        "question": row["question"],
        "options": tuple(row["options"]),
        "answer": row["answer"],
    }


def _super_gpqa(row: Row, number: int) -> dict[str, Any] | str:
    options = tuple(row["options"])
    letter = row.get("answer_letter")
    if letter is None:
        if row["answer"] not in options:
            return "the answer is none of the options"
        letter = LETTERS[options.index(row["answer"])]
    return {
        "question_id": row.get("uuid", number),
        "category": row["discipline"],
        "question": row["question"],
        "options": options,
        "answer": letter,
    }


def _medmcqa(row: Row, number: int) -> dict[str, Any] | str:
    right = row["cop"]
    if right not in range(4):
        return "the answer is withheld"
    return {
        "question_id": row.get("id", number),
        "category": row["subject_name"] or "Unknown",
        "question": row["question"],
        "options": tuple(row[f"op{x}"] for x in "abcd"),
        "answer": LETTERS[right],
    }


def _bbeh(row: Row, number: int) -> dict[str, Any] | str:
    task = str(row["task"]).strip().lower().replace("_", " ").removeprefix("bbeh ")
    if task not in subject_descriptions("bbeh"):
        return "a task whose answers are no options"
    text, target = str(row["input"]), str(row["target"]).strip()
    options = _CLOSED.get(task)
    if options is not None:
        plain = [o.casefold() for o in options]
        if target.casefold() not in plain:
            return "the answer is none of the options"
        letter = LETTERS[plain.index(target.casefold())]
    else:
        found = _OPTION.findall(text)
        options = tuple(option for _, option in found)
        stated = _TARGET.match(target)
        if [x for x, _ in found] != list(LETTERS[: len(found)]) or stated is None:
            return "the text states no lettered options"
        text, letter = _OPTION.sub("", text).rstrip(), stated[1]
    return {
        "question_id": row.get("id", f"bbeh/{number}"),
        "category": task,
        "question": text,
        "options": options,
        "answer": letter,
    }


_FORMATTERS: Mapping[str, Callable[[Row, int], dict[str, Any] | str]] = {
    "mmlu_pro": _mmlu_pro,
    "super_gpqa": _super_gpqa,
    "medmcqa": _medmcqa,
    "bbeh": _bbeh,
}
