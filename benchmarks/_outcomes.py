"""Recorded outcomes of real LLMs, as tables of successes."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
        """Family of each model; one that none is known for is its own."""
        found = [[family for key, family in FAMILIES.items() if key in m.lower().split("/")[-1]] for m in self.models]
        return tuple(f[-1] if f else m for f, m in zip(found, self.models, strict=True))


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


def load_mmlu_pro(data: Path, every: int = 8) -> Outcomes:
    """MMLU-Pro: each `every`-th question, 28 models, one attempt; an unreadable answer is a wrong one."""
    gold = {row["question_id"]: row["answer"] for row in read_lines(data / "benchmarks/mmlu_pro/test.jsonl.gz")}
    rows = read_predictions(data)[::every]
    models = tuple(name for name in rows[0] if name != "question_id")
    right = [[int(row[m] == gold[int(row["question_id"])]) for m in models] for row in rows]
    return Outcomes(models=models, successes=np.array(right), attempts=1)
