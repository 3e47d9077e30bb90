"""Outcome tables of the recorded answers that `mar data pull` fetches: MMLU-Pro, model7 and RouterBench's MBPP."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Literal, cast

import numpy as np

from mar.errors import ConfigError, DataError
from mar.evaluation.letters import read_letters
from mar.evaluation.routereval.table import OutcomeTable
from mar.pool.recordings import load_routerbench
from mar.tasks.options import question_with_options
from mar.tasks.readers import read_jsonl

MODEL7_PARTS = ("mmlu", "gsm8k", "cmmlu", "arc_challenge", "humaneval")
"""The five test sets of model7 over which RouterDC reports a mean (arXiv 2409.19886, table 1)."""

_GRADED = {"gsm8k", "humaneval"}  # the mean of ten attempts; the others are solved when the probability is above 0


def data_root(folder: Path | None = None) -> Path:
    """The data folder: the one given, else MAR_DATA, else ./Datasets.

    Raises:
        ConfigError: There is no such folder.
    """
    found = folder or Path(os.environ.get("MAR_DATA") or "Datasets")
    if not found.is_dir():
        raise ConfigError(
            f"no data folder {found}; fetch recorded answers with mar data pull, give --data or MAR_DATA, "
            "or give --table a file of your own (docs/routers.md)"
        )
    return found


def mmlu_pro_table(data: Path, *, text: Literal["question", "query"] = "question") -> OutcomeTable:
    """MMLU-Pro: 12,032 questions x 28 LLMs.

    Args:
        data: Folder with benchmarks/mmlu_pro and outcomes/mmlu_pro.
        text: What a router reads: the question alone, as in the published figures, or the query as agents get it,
            options included, which is what a controller reads.

    Raises:
        DataError: A file is missing, or predictions and questions do not belong together.
    """
    found = read_letters(data)
    items, letters = found.items, found.letters
    gold = np.array([item.gold for item in items])
    unread = int((letters == "").sum())
    return OutcomeTable(
        name="mmlu_pro" if text == "question" else "mmlu_pro_query",
        models=found.models,
        scores=(letters == gold[:, None]).astype(np.float32),
        ids=tuple(item.id for item in items),
        prompts=tuple(item.question if text == "question" else question_with_options(item) for item in items),
        groups=tuple(item.category for item in items),
        notes={
            "source": "recorded answers of 28 LLMs to MMLU-Pro",
            "unreadable": f"{unread} of {letters.size} answers, counted as wrong",
        },
    )


def model7_table(data: Path) -> OutcomeTable:
    """Model7: seven 7-8B LLMs on five benchmarks, with the published train and test parts.

    Scores are what each benchmark counts: the share of ten attempts that solve it (GSM8K, HumanEval), else whether
    the right option was chosen.

    Raises:
        DataError: A file is missing or a row is malformed.
    """
    prompts, groups, splits = list[str](), list[str](), list[str]()
    blocks: list[np.ndarray] = []
    models: tuple[str, ...] = ()
    for part in MODEL7_PARTS:
        for split in ("train", "test"):
            path = data / "outcomes" / "model7" / f"{part}_{split}.jsonl.gz"
            rows = read_jsonl(path)
            models = models or tuple(cast("Mapping[str, float]", rows[0].get("scores", {})))
            try:
                values = np.array([[row["scores"][m] for m in models] for row in rows], dtype=np.float32)
                prompts += [str(row["question"]) for row in rows]
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(f"{path}: a row has no question or no score of {error}") from None
            blocks.append(values if part in _GRADED else (values > 0).astype(np.float32))
            groups += [part] * len(rows)
            splits += [split] * len(rows)
    return OutcomeTable(
        name="model7",
        models=models,
        scores=np.concatenate(blocks),
        ids=tuple(f"{g}/{s}/{i}" for i, (g, s) in enumerate(zip(groups, splits, strict=True))),
        prompts=tuple(prompts),
        groups=tuple(groups),
        splits=tuple(splits),
        notes={"source": "recorded scores of seven LLMs (model7)"},
    )


def routerbench_mbpp_table(data: Path) -> OutcomeTable:
    """RouterBench's MBPP prompts: 427 x 11 LLMs, with what each answer cost and the published parts.

    Raises:
        DataError: The file is missing or a row is malformed.
    """
    items = load_routerbench(data / "outcomes" / "routerbench_mbpp" / "mbpp.jsonl.gz")
    models = tuple(items[0].answers)
    return OutcomeTable(
        name="routerbench_mbpp",
        models=models,
        scores=np.array([[i.answers[m].score or 0.0 for m in models] for i in items], dtype=np.float32),
        costs=np.array([[i.answers[m].cost_usd for m in models] for i in items], dtype=np.float32),
        ids=tuple(i.id for i in items),
        prompts=tuple(i.prompt for i in items),
        splits=tuple(i.split for i in items),
        notes={"source": "recorded answers of 11 LLMs to MBPP (RouterBench)"},
    )


RECORDED: Mapping[str, Callable[[Path], OutcomeTable]] = {
    "mmlu_pro": mmlu_pro_table,
    "mmlu_pro_query": partial(mmlu_pro_table, text="query"),
    "model7": model7_table,
    "routerbench_mbpp": routerbench_mbpp_table,
}
"""Recorded tables by name."""
