# pyright: basic
"""Routing with generated data on real servers of tiny models: a run of the whole pipeline and what came of it."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mar.controllers.cascal import load_responses
from mar.controllers.embeddings import Encoder
from mar.evaluation.cascal_run import CascalOptions, run_cascal
from mar.files import write_atomically
from mar.learning.generated.records import Question, read_records
from mar.learning.progress import Progress
from mar.testing.tinypool import QUIZ, WRITER, TinyServers
from mar.testing.tinyquiz import DESCRIPTIONS, WRITTEN, draw_question, truth


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedRun:
    """What came of one run."""

    routed: tuple[bool, ...]  # whether the chosen model is right, by test question
    singles: Mapping[str, tuple[bool, ...]]  # whether each model is
    picks: Mapping[str, Counter[str]]  # chosen models by subject
    written: int  # questions that were learned from
    sound: float  # share of them that have their right answer among the options

    @property
    def best_single(self) -> float:
        """Accuracy of the model that is best on the test questions themselves."""
        return max(float(np.mean(v)) for v in self.singles.values())


def write_quiz(folder: Path, *, questions: int, seed: int) -> tuple[Path, Path]:
    """A benchmark of quiz questions in MMLU-Pro's columns, a fifth of which is its test part, and its subjects."""
    rng = random.Random(f"quiz/{seed}")
    drawn = {q.question_id: q for s in WRITTEN for q in (draw_question(s, rng) for _ in range(questions))}
    rows = [q.model_dump(mode="json") | {"options": list(q.options)} for q in drawn.values()]
    data, subjects = folder / "quiz.json", folder / "subjects.toml"
    write_atomically(data, json.dumps(rows))
    write_atomically(subjects, "".join(f'{name} = "{DESCRIPTIONS[name]}"\n' for name in WRITTEN))
    return data, subjects


def run_generated(
    tiny: TinyServers,
    folder: Path,
    encoder: Encoder,
    *,
    seed: int = 0,
    generated: int = 180,
    questions: int = 150,
    progress: Progress | None = None,
) -> GeneratedRun:
    """The writer writes questions, the quiz models answer them, CASCAL learns without labels and routes.

    Args:
        tiny: Servers of the quiz models and of the writer.
        folder: Of the run.
        encoder: Of questions.
        seed: Of everything that is drawn.
        generated: Questions that the writer is asked for.
        questions: Of each subject's benchmark; a fifth of them are the test.
        progress: Shows what is being done.
    """
    data, subjects = write_quiz(folder, questions=questions, seed=seed)
    options = CascalOptions(
        dataset_json=data,
        subject_file=subjects,
        models=QUIZ,
        model_nickname=WRITER,
        num_training_questions=generated,
        own_answers=0,  # the writer writes; it does not answer
        concurrency=16,
        seed=seed,
        out=folder / "run",
    )
    run = run_cascal(options, pool=tiny.pool(), encoder=encoder, progress=progress)
    test, table = read_records(run / "test.jsonl", Question), load_responses(run / "responses-test.safetensors")
    gold = np.array([q.answer_index for q in test])
    right = table.choices == gold[:, None]
    chosen = [row["models"][0] for row in json.loads((run / "routes.json").read_text(encoding="utf-8"))]
    picks: dict[str, Counter[str]] = {s: Counter() for s in WRITTEN}
    for question, model in zip(test, chosen, strict=True):
        picks[question.category][model] += 1
    learned = read_records(run / "filtered.jsonl", Question)
    return GeneratedRun(
        routed=tuple(bool(right[i, table.models.index(m)]) for i, m in enumerate(chosen)),
        singles={m: tuple(right[:, j].tolist()) for j, m in enumerate(table.models)},
        picks=picks,
        written=len(learned),
        sound=float(np.mean([truth(q.question) in q.options for q in learned])),
    )
