"""MMLU-Pro: up to ten options (Wang et al. 2024, "MMLU-Pro: A More Robust and Challenging ... Benchmark")."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mar.tasks.options import OptionItem, OptionTask, gold_letter, option_texts
from mar.tasks.scoring.choices import LETTERS
from mar.tasks.sources import Located, Rows, find_rows, hub_rows, layouts, once_each
from mar.tasks.splits import eighty_ten_ten, stated_splits
from mar.tasks.task import Split

HUB = "TIGER-Lab/MMLU-Pro"
FILES = layouts(
    *(
        f"{folder}/{name}"
        for folder in ("mmlu_pro", "MMLU-Pro")
        for name in ("test.jsonl.gz", "test.jsonl", "mmlu_pro.jsonl", "test*.parquet", "data/test*.parquet")
    )
)
RHO = 0.42
"""Correlation of difficulty with `complexity` at which a simulated copy shows the correlation that was recorded (0.32,
difficulty being the share of 28 models that choose wrongly; 12,032 questions; benchmarks/fit_simulator.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MmluPro(OptionTask):
    """MMLU-Pro's test part, scored by the letter chosen, split 80/10/10 by a hash of the id within each category."""

    name = "mmlu_pro"
    final_role = "MMLU-Pro"
    rho = RHO

    @staticmethod
    def complexity(item: OptionItem) -> float:
        """What makes a question hard: the number of its words."""
        return float(len(item.question.split()))

    @classmethod
    def load(cls, *, path: Path | None = None, data: Path | None = None) -> MmluPro:
        """Load MMLU-Pro from a file, a data folder, the hub, or the bundled sample, in this order.

        Raises:
            DataError: A file is missing or malformed, or a row's answer is no option.
        """
        found = find_rows(explicit=path, data_root=data, within=FILES, hub=_from_hub, sample="mmlu_pro")
        ids = [str(at.row.get("question_id", at.number)) for at in found.located]
        once_each(ids, found.located, "question_id")
        categories = [at.text("category") for at in found.located]
        stated = stated_splits(ids, found.located)
        splits = stated or _by_category(ids, categories)
        items = [_item(at, i, c, splits[i]) for i, at, c in zip(ids, found.located, categories, strict=True)]
        protocol = "as the rows state" if stated else "80/10/10 by hash within category"
        return cls(all_items=tuple(items), source=found.source, protocol=protocol)


def _by_category(ids: Sequence[str], categories: Sequence[str]) -> dict[str, Split]:
    members: defaultdict[str, list[str]] = defaultdict(list)
    for item, category in zip(ids, categories, strict=True):
        members[category].append(item)
    return {i: s for c, group in members.items() for i, s in eighty_ten_ten(group, f"mmlu_pro/{c}").items()}


def _item(at: Located, item_id: str, category: str, split: Split) -> OptionItem:
    options = option_texts(at, "options", "choices")
    gold = gold_letter(at, LETTERS[: len(options)])
    question = at.text("question").strip()
    return OptionItem(id=item_id, split=split, question=question, options=options, gold=gold, category=category)


def _from_hub() -> Rows:
    return hub_rows(HUB, parts=("test",))
