"""MMLU: 57 subjects, four options (Hendrycks et al. 2021, "Measuring Massive Multitask Language Understanding")."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from mar.errors import DataError
from mar.tasks.options import (
    ANSWERS,
    OptionItem,
    OptionTask,
    gold_letter,
    letter_of,
    option_texts,
    question_with_options,
)
from mar.tasks.scoring.choices import LETTERS
from mar.tasks.sources import Located, Rows, find_rows, hub_rows, layouts, once_each
from mar.tasks.splits import fifth_to_train, sampled, stated_splits, with_validation
from mar.tasks.task import Split

HUB = "cais/mmlu"
FILES = layouts(
    *("MMLU/data/{part}/*.csv", "MMLU/{part}/*.csv", "mmlu/data/{part}/*.csv", "MMLU/mmlu.jsonl"),
    *(f"{folder}/{within}{{part}}-*.parquet" for folder in ("MMLU", "mmlu") for within in ("", "all/", "data/")),
)
_OPTION = re.compile(r"[a-j]|(?:choice|option)[ _]?[0-9a-j]")  # a header's name for an option's column
TRAIN_ITEMS = 40 * 16  # published setting of MasRouter: at most 40 batches of 16
TEST_ITEMS = 80 * 16  # and at most 80 to test
VALIDATION_ITEMS = 20 * 16  # of the validation part, where there is one
RHO = 0.29
"""Correlation of difficulty (share of seven 7-8B models that choose wrongly, RouterDC's recordings) with `complexity`,
corrected for a reliability of 0.90; 4,213 test questions (benchmarks/fit_simulator.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mmlu(OptionTask):
    """MMLU, scored by the letter chosen.

    The dev part trains, the validation part (without one: 15% of dev) validates, and a fixed sample of 1,280 questions
    of the test part tests; `full_test` tests on all of them.
    """

    name = "mmlu"
    final_role = "MMLU"
    rho = RHO

    @staticmethod
    def complexity(item: OptionItem) -> float:
        """What makes a question hard: the number of digits in it and its options."""
        return float(sum(c.isdigit() for c in question_with_options(item)))

    @classmethod
    def load(cls, *, path: Path | None = None, data: Path | None = None, full_test: bool = False) -> Mmlu:
        """Load MMLU from a file, a data folder, the hub, or the bundled sample, in this order.

        Raises:
            DataError: A file is missing or malformed, or a row's answer is no option.
        """
        found = find_rows(explicit=path, data_root=data, within=FILES, hub=_from_hub, sample="mmlu")
        rows = list(_without_headers(found.located))
        ids = [_id(at) for at in rows]
        once_each(ids, rows, "question")
        splits, protocol = _splits(ids, rows, full_test)
        items = [_item(at, i, splits[i]) for i, at in zip(ids, rows, strict=True) if i in splits]
        return cls(all_items=tuple(items), source=found.source, protocol=protocol)


def _cells(at: Located) -> list[str] | None:
    return cast("list[str] | None", at.row.get("cells"))


def _without_headers(located: Sequence[Located]) -> Iterator[Located]:
    """The rows; those of a CSV file with a header, which may have more columns and another order, by its names."""
    header: list[str] | None = None
    for at in located:
        cells = _cells(at)
        if at.number == 1:
            names = [c.strip().lower() for c in cells or ()]
            header = names if "question" in names and any(name in names for name in ANSWERS) else None
            if header:
                continue
        yield _named(at, header, cells) if header and cells else at


def _named(at: Located, header: Sequence[str], cells: Sequence[str]) -> Located:
    if len(cells) != len(header):
        raise DataError(f"{at.where}: {len(cells)} cells; expected {len(header)}, as in the header")
    row: dict[str, Any] = dict(zip(header, cells, strict=True))
    options = [row.pop(name) for name in header if _OPTION.fullmatch(name)]
    return replace(at, row=row | ({"choices": options} if options else {}))


def _subject(at: Located) -> str:
    stated = at.row.get("subject") or at.row.get("category")
    return str(stated) if stated else at.stem.removesuffix(f"_{at.part}")


def _id(at: Located) -> str:
    stated = at.row.get("id")
    return str(stated) if stated is not None else "/".join(p for p in (at.part, _subject(at), str(at.number)) if p)


def _splits(ids: Sequence[str], rows: Sequence[Located], full_test: bool) -> tuple[dict[str, Split], str]:
    """The split of every item that is used, and what the protocol is called."""
    stated = stated_splits(ids, rows)
    if stated is not None:
        return stated, "as the rows state"
    dev, validation, test = (
        [i for i, at in zip(ids, rows, strict=True) if at.part in names]
        for names in (("dev", "train"), ("val", "validation"), ("test",))
    )
    if not dev or not test:
        return fifth_to_train(ids, "mmlu"), f"20% of {len(ids)} to train, 80% to test"
    chosen = sampled(test, len(test) if full_test else TEST_ITEMS, "mmlu/test")
    splits: dict[str, Split] = {i: "test" for i in test if i in chosen}
    trained = sampled(dev, TRAIN_ITEMS, "mmlu/train")
    train = [i for i in dev if i in trained]
    if validation:
        splits.update(dict.fromkeys(train, "train"))
        splits.update(dict.fromkeys(sampled(validation, VALIDATION_ITEMS, "mmlu/validation"), "validation"))
    else:
        splits.update(with_validation(train, "mmlu"))
    return splits, f"dev trains, {len(chosen)} of {len(test)} test questions test"


def _item(at: Located, item_id: str, split: Split) -> OptionItem:
    cells = _cells(at)
    if cells is not None:
        if len(cells) != 6:
            raise DataError(f"{at.where}: {len(cells)} cells; expected a question, four options and an answer")
        question, options = cells[0], tuple(cells[1:5])
        gold = letter_of(cells[5], LETTERS[:4], at)
    else:
        question, options = at.text("question"), option_texts(at, "choices", "options")
        gold = gold_letter(at, LETTERS[: len(options)])
    return OptionItem(
        id=item_id, split=split, question=question.strip(), options=options, gold=gold, category=_subject(at)
    )


def _from_hub() -> Rows:
    return hub_rows(HUB, "all", parts=("dev", "validation", "test"))
