# pyright: basic
"""MMLU-Pro's recorded answers as problems of weighing and asking: what each LLM chose, and what its text shows."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _routing import POOLS, TRAIN, VALIDATION, embedded_table
from _shared import ROOT, RUNS, data_folder

from mar.controllers.belief import families_of
from mar.controllers.weighing.answered import AnsweredExamples
from mar.controllers.weighing.options import Shown
from mar.controllers.weighing.wording import ANSWER_MARKS, BACKING, OPTION_MARKS, option_marks, read_answer
from mar.evaluation.recorded import read_recorded
from mar.evaluation.routereval.construct import permuted
from mar.evaluation.routereval.recorded import RECORDED
from mar.evaluation.routereval.state import digest_of_files

FOLDER = RUNS / "sequential_recorded"
EVERYBODY = "all 28"
PLACES = 10  # options of a question, at most

# USD per million tokens, input and output, as listed in autumn 2024 by Google (Gemini 1.5) and by Together AI (Llama 3
# and 3.1 of 70B).
LIST_PRICES = {
    "gemini-1.5-pro-002": (1.25, 5.0),
    "gemini-1.5-flash-002": (0.075, 0.30),
    "Meta-Llama-3_1-70B-Instruct": (0.88, 0.88),
    "Meta-Llama-3_1-70B": (0.88, 0.88),
    "Meta-Llama-3-70B": (0.90, 0.90),
}
CHARACTERS = 4  # a token


@dataclass(frozen=True, kw_only=True)
class Table:
    """Everything recorded, models by ascending mean accuracy."""

    models: tuple[str, ...]
    shown: Shown
    gold: np.ndarray
    vectors: np.ndarray
    prompts: tuple[str, ...]
    subjects: tuple[str, ...]

    def pool(self, name: str) -> np.ndarray:
        """Columns of a pool."""
        first, last = POOLS.get(name, (1, len(self.models)))
        return np.arange(first - 1, last)

    def usd(self, pool: str) -> np.ndarray:
        """What every recorded answer costs at list prices, four characters a token, (n, m)."""
        at = self.pool(pool)
        prices = np.array([LIST_PRICES[self.models[i]] for i in at]) * 1e-6 / CHARACTERS
        asked = np.array([len(text) for text in self.prompts], dtype=np.float64)[:, None]
        return asked * prices[:, 0] + self.shown.characters[:, at] * prices[:, 1]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One pool on one split."""

    models: tuple[str, ...]
    families: tuple[str, ...]
    train: AnsweredExamples
    validation: AnsweredExamples
    test: AnsweredExamples
    rows: tuple[np.ndarray, np.ndarray]  # of the table: learned from, tested on


def load() -> Table:
    """The table, its texts read once."""
    data = data_folder()
    found = read_recorded(data)
    table = embedded_table("mmlu_pro_query", RECORDED["mmlu_pro_query"])
    where = {name: i for i, name in enumerate(table.ids)}
    order = np.array([where[name] for name in found.responses.questions])
    assert table.vectors is not None
    return Table(
        models=found.responses.models,
        shown=_shown(data, found.responses.models, found.responses),
        gold=found.gold,
        vectors=np.asarray(table.vectors)[order],
        prompts=tuple(table.prompts[i] for i in order),
        subjects=found.subjects,
    )


def problem(table: Table, pool: str, seed: int) -> Problem:
    """The split of benchmarks/_routing.py: 9,600 train, 1,200 validate, the rest test.

    Args:
        table: Everything.
        pool: One of POOLS, or EVERYBODY.
        seed: Of the split.
    """
    at = table.pool(pool)
    shown = table.shown.models(at)
    split = permuted(len(table.gold), seed=seed, train=TRAIN, validation=VALIDATION)

    def part(rows: np.ndarray) -> AnsweredExamples:
        some = shown.rows(rows)
        return AnsweredExamples(
            vectors=table.vectors[rows],
            texts=tuple(table.prompts[i] for i in rows),
            scores=(some.choices == table.gold[rows][:, None]).astype(np.float32),
            shown=some,
            right=table.gold[rows],
        )

    models = tuple(table.models[i] for i in at)
    return Problem(
        models=models,
        families=families_of(models),
        train=part(split.train),
        validation=part(split.validation),
        test=part(split.test),
        rows=(np.concatenate([split.train, split.validation]), split.test),
    )


def _shown(data: Path, models: tuple[str, ...], responses) -> Shown:
    reader = ROOT / "mar" / "controllers" / "sequential" / "wording.py"
    path = FOLDER / f"shown-{digest_of_files([reader, Path(__file__)])}.npz"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **_texts(data, models, responses))
    with np.load(path) as kept:
        return Shown(
            options=responses.options,
            choices=responses.choices.astype(np.int64),
            characters=_characters(data, models, _numbers(responses)),
            texts=kept["texts"],
            backing=kept["backing"],
            wording=kept["wording"],
        )


def _texts(data: Path, models: tuple[str, ...], responses) -> dict[str, Any]:
    asked = {str(row["question_id"]): row for row in _lines(data / "benchmarks/mmlu_pro/test.jsonl.gz")}
    ids = _numbers(responses)
    texts = np.zeros((len(ids), len(models), len(ANSWER_MARKS)), dtype=np.float32)
    backing = np.zeros((len(ids), len(models), PLACES, len(BACKING)), dtype=np.float32)
    wording = np.zeros((len(ids), PLACES, len(OPTION_MARKS)), dtype=np.float32)
    answers = {
        models.index(path.name.removesuffix(".jsonl.gz")): {
            str(r["question_id"]): r["text"] or "" for r in _lines(path)
        }
        for path in sorted((data / "outcomes/mmlu_pro/responses").glob("*.jsonl.gz"))
    }
    for q, name in enumerate(ids):
        options = tuple(asked[name]["options"])
        wording[q] = option_marks(asked[name]["question"], options, PLACES)
        for i, of in answers.items():
            if name in of:
                chosen = int(responses.choices[q, i])
                texts[q, i], backing[q, i] = read_answer(of[name], options, chosen, PLACES)
    return {"texts": texts, "backing": backing, "wording": wording}


def _characters(data: Path, models: tuple[str, ...], ids: list[str]) -> np.ndarray:
    with gzip.open(data / "outcomes/mmlu_pro/response_chars.csv.gz", "rt", encoding="utf-8") as file:
        rows = {row["question_id"]: row for row in csv.DictReader(file)}
    return np.array([[float(rows[name][m] or "nan") for m in models] for name in ids])


def _numbers(responses) -> list[str]:
    return [name.rsplit("/", 1)[-1] for name in responses.questions]


def _lines(path: Path) -> list[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]
