"""Recorded outcomes of real LLMs, as tables of successes."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mar.tasks.scoring.letters import LETTERS

FAMILIES = {
    "gpt": "gpt",
    "claude": "claude",
    "llama": "llama",
    "wizardlm": "llama",
    "mistral": "mistral",
    "mixtral": "mistral",
    "mathstral": "mistral",
    "zephyr": "mistral",
    "yi": "yi",
    "qwen": "qwen",
    "gemini": "gemini",
    "gemma": "gemini",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Recorded outcomes: successes of `attempts` tries, items x models."""

    models: tuple[str, ...]
    successes: NDArray[np.int64]
    attempts: int

    @property
    def families(self) -> tuple[str, ...]:
        """Family of each model."""
        return families_of(self.models)


def families_of(models: Sequence[str]) -> tuple[str, ...]:
    """Family of each model; one that none is known for is its own."""
    found = [[family for key, family in FAMILIES.items() if key in m.lower().split("/")[-1]] for m in models]
    return tuple(f[-1] if f else m for f, m in zip(found, models, strict=True))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a (gzipped) JSON-lines file."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def load_model7(data: Path, *names: str, attempts: int) -> Outcomes:
    """Outcomes of the seven 7-8B models; with one attempt, a positive probability counts as solved."""
    rows = [row for name in names for row in read_lines(data / f"outcomes/model7/{name}.jsonl.gz")]
    scores = np.array([list(row["scores"].values()) for row in rows])
    successes = np.rint(scores * attempts) if attempts > 1 else scores > 0
    return Outcomes(models=tuple(rows[0]["scores"]), successes=successes.astype(np.int64), attempts=attempts)


def load_mbpp(data: Path) -> Outcomes:
    """RouterBench's MBPP: 427 prompts, 11 models, one attempt."""
    rows = read_lines(data / "outcomes/routerbench_mbpp/mbpp.jsonl.gz")
    models = tuple(rows[0]["models"])
    scores = [[int(row["models"][m]["score"]) for m in models] for row in rows]
    return Outcomes(models=models, successes=np.array(scores), attempts=1)


def read_predictions(data: Path) -> list[dict[str, str]]:
    """MMLU-Pro: question_id and the letter that each of 28 LLMs gave, empty where none could be read."""
    with gzip.open(data / "outcomes/mmlu_pro/predictions.csv.gz", "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def load_mmlu_pro(data: Path) -> Outcomes:
    """MMLU-Pro: 28 models, one attempt; an unreadable answer is a wrong one."""
    found = load_choices(data)
    right = (found.answers == found.gold[:, None]).astype(np.int64)
    return Outcomes(models=found.models, successes=right, attempts=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """Recorded answers to questions with options."""

    models: tuple[str, ...]
    answers: NDArray[np.int64]  # position of the option chosen, -1: none could be read; (questions, models)
    gold: NDArray[np.int64]
    options: NDArray[np.int64]  # how many a question has
    categories: NDArray[np.str_]
    texts: tuple[str, ...]  # question and options, as a controller sees them

    @property
    def families(self) -> tuple[str, ...]:
        """Family of each model."""
        return families_of(self.models)

    @property
    def right(self) -> NDArray[np.float64]:
        """Which answers are the gold ones, (questions, models)."""
        return (self.answers == self.gold[:, None]).astype(np.float64)

    def words(self) -> list[float]:
        """Length of every question without its options."""
        return [float(len(text.rsplit("\nA. ", 1)[0].split())) for text in self.texts]

    def strongest(self, count: int) -> list[int]:
        """The models with the most right answers, best first."""
        return np.argsort(-self.right.mean(axis=0), kind="stable")[:count].tolist()

    def only(self, questions: NDArray[np.int64], models: Sequence[int] | None = None) -> Choices:
        """Some questions, and some models in this order."""
        chosen = list(range(len(self.models))) if models is None else list(models)
        return Choices(
            models=tuple(self.models[m] for m in chosen),
            answers=self.answers[questions][:, chosen],
            gold=self.gold[questions],
            options=self.options[questions],
            categories=self.categories[questions],
            texts=tuple(self.texts[int(q)] for q in questions),
        )


def load_choices(data: Path) -> Choices:
    """MMLU-Pro's 28 models; a letter beyond the options (some columns were filled with G) is none."""
    asked = {str(row["question_id"]): row for row in read_lines(data / "benchmarks/mmlu_pro/test.jsonl.gz")}
    rows = [row for row in read_predictions(data) if len(asked[row["question_id"]]["options"]) > 2]
    models = tuple(name for name in rows[0] if name != "question_id")
    items = [asked[row["question_id"]] for row in rows]
    options = np.array([len(item["options"]) for item in items])
    said = np.array([[LETTERS.find(row[m]) if row[m] else -1 for m in models] for row in rows])
    return Choices(
        models=models,
        answers=np.where(said < options[:, None], said, -1),
        gold=np.array([LETTERS.find(item["answer"]) for item in items]),
        options=options,
        categories=np.array([item["category"] for item in items]),
        texts=tuple(_shown(item["question"], item["options"]) for item in items),
    )


def _shown(question: str, options: Sequence[str]) -> str:
    return "\n".join([question, *(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))])
