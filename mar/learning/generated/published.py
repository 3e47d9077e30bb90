"""Reader for the published, pre-generated outputs.

Data/{TASK}/{train,test}.json                             questions
Model_Responses/{TASK}-{split}/{nickname}.json            a list of question_id, selected_choice, avg_logprob, ...
artifacts/{TASK}_only_question_embeddings_early.pt        a dictionary question_id -> vector

Vectors are read with torch.load(weights_only=True), which runs no code. Recorded is_correct, consensus_score and
z_score are not used: they are computed here. "N/A", an empty choice and a letter that the question does not have are
abstentions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from mar.controllers.cascal import ABSTAINED, Responses
from mar.errors import DataError
from mar.learning.generated.records import Answered, Question, read_records
from mar.learning.generated.respond import to_responses
from mar.reading import attempt
from mar.tasks.readers import Row, read_jsonl
from mar.tasks.scoring.choices import LETTERS


def published_questions(root: Path, task: str, split: str) -> list[Question]:
    """Questions of a split."""
    return read_records(root / "Data" / task / f"{split}.json", Question)


def published_responses(
    root: Path, task: str, split: str, questions: Sequence[Question], nicknames: Sequence[str]
) -> Responses:
    """Answers of models to these questions.

    Raises:
        DataError: A file is missing, a row cannot be used, or a model did not answer a question.
    """
    by_id = {q.question_id: q for q in questions}
    answered: list[Answered] = []
    for nickname in nicknames:
        path = root / "Model_Responses" / f"{task}-{split}" / f"{nickname}.json"
        if not path.is_file():
            raise DataError(f"no responses {path}; expected a list of question_id and selected_choice")
        rows = read_jsonl(path)
        answered += [_answer(row, nickname, by_id, f"{path}, row {n}") for n, row in enumerate(rows, start=1)]
    return to_responses(questions, nicknames, answered)


def _answer(row: Row, model: str, by_id: dict[str, Question], where: str) -> Answered:
    question = by_id.get(str(row.get("question_id")))
    if question is None:
        raise DataError(f"{where}: question_id {row.get('question_id')!r} is none of the split's questions")
    said, logprob = row.get("selected_choice"), row.get("avg_logprob")
    letters = LETTERS[: len(question.options)]
    choice = letters.index(said) if isinstance(said, str) and len(said) == 1 and said in letters else ABSTAINED
    if logprob is not None and (not isinstance(logprob, int | float) or not np.isfinite(logprob)):
        raise DataError(f"{where}: avg_logprob is {logprob!r}; expected a number or nothing")
    return Answered(
        question_id=question.question_id,
        model=model,
        choice=choice,
        logprob=None if logprob is None else float(logprob),
    )


def published_vectors(path: Path, questions: Sequence[Question]) -> npt.NDArray[np.float32]:
    """Vectors of questions, shape (Q, D).

    Raises:
        DataError: The file holds something else, or a question has no vector.
    """
    import torch

    if not path.is_file():
        raise DataError(f"no embeddings {path}; expected a dictionary of question_id and vector")
    expected = "tensors by question_id and no code"
    found: Any = attempt(lambda: torch.load(path, map_location="cpu", weights_only=True), str(path), expected=expected)
    if not isinstance(found, dict):
        raise DataError(f"{path} holds a {type(found).__name__}; expected a dictionary of question_id and vector")
    table = {str(k): v for k, v in cast("dict[Any, Any]", found).items()}
    missing = next((q.question_id for q in questions if q.question_id not in table), None)
    if missing is not None:
        raise DataError(f"{path}: question {missing} has no vector")
    vectors = attempt(
        lambda: np.stack([np.asarray(table[q.question_id], dtype=np.float32).reshape(-1) for q in questions]),
        str(path),
        expected=expected,
    )
    if not np.isfinite(vectors).all():
        raise DataError(f"{path}: a vector holds NaN or an infinity; expected {expected}")
    return vectors
