"""GSM8K: grade-school word problems (Cobbe et al. 2021, "Training Verifiers to Solve Math Word Problems")."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from mar.errors import DataError
from mar.pool.simulated import SimItem, World, item_difficulties
from mar.runtime.sandbox import Sandbox
from mar.tasks.scoring.formats import Number, no_answer, scored
from mar.tasks.scoring.numbers import read_number, same_number
from mar.tasks.scoring.numerals import plain
from mar.tasks.sources import Located, Rows, find_rows, hub_rows, layouts, once_each
from mar.tasks.splits import fifth_to_train, of_split, stated_splits, with_validation
from mar.tasks.task import Score, Split
from mar.types import Domain, Query

HUB = "openai/gsm8k"
FILES = layouts("gsm8k/{part}.jsonl", "gsm8k/gsm8k.jsonl")
RHO = 0.50
"""Correlation of difficulty (1 - mean solve rate of seven 7-8B models over ten tries, RouterDC's recordings) with
`complexity`, corrected for the solve rate's reliability of 0.89; 1,319 test items (benchmarks/fit_simulator.py)."""
WRONG = 4  # wrong answers per item for the simulated pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Gsm8kItem:
    """One GSM8K problem."""

    id: str  # "test-12": part and row
    split: Split
    question: str
    solution: str  # worked, with <<calculations>>, ending in "#### gold"
    gold: str  # the number


@dataclass(frozen=True, slots=True, kw_only=True)
class Gsm8k:
    """GSM8K, scored by the value of the final number.

    The published setting of MasRouter takes one file (the test part), 20% of it to train and 80% to test. With
    `own_train`, the training part trains and the whole test part tests.
    """

    all_items: tuple[Gsm8kItem, ...]
    source: str
    protocol: str

    name = "gsm8k"
    domain: Domain = "Math"

    @classmethod
    def load(cls, *, path: Path | None = None, data: Path | None = None, own_train: bool = False) -> Gsm8k:
        """Load GSM8K from a file, a data folder, the hub, or the bundled sample, in this order.

        Raises:
            DataError: A file is missing or malformed, or there is no training part to train on.
        """
        found = find_rows(explicit=path, data_root=data, within=FILES, hub=_from_hub, sample="gsm8k")
        ids = [f"{at.part}-{at.number}" if at.part else str(at.row.get("id", at.number)) for at in found.located]
        once_each(ids, found.located, "problem")
        splits, protocol = _splits(ids, found, own_train)
        items = [_item(at, i, splits[i]) for i, at in zip(ids, found.located, strict=True) if i in splits]
        return cls(all_items=tuple(items), source=found.source, protocol=protocol)

    @property
    def notes(self) -> Mapping[str, str]:
        """Data source and protocol."""
        return {"data": self.source, "split": self.protocol, "metric": "exact number"}

    def items(self, split: Split) -> Sequence[Gsm8kItem]:
        """Items of a split in the order of the file."""
        return of_split(self.all_items, split)

    def query(self, item: Gsm8kItem) -> Query:
        """The problem's text."""
        return Query(id=f"gsm8k/{item.id}", domain=self.domain, text=item.question, answer_format=Number())

    async def score(self, item: Gsm8kItem, answer: str | None, sandbox: Sandbox) -> Score:
        """Compare the numbers."""
        return no_answer("number") if answer is None else scored(same_number(answer, item.gold))

    async def world(self, items: Sequence[Gsm8kItem], sandbox: Sandbox) -> World:
        """Gold numbers, and wrong ones that come from stopping early or slipping; harder with more steps."""
        ids = [self.query(i).id for i in self.all_items]
        levels = dict(zip(ids, item_difficulties(ids, [complexity(i) for i in self.all_items], rho=RHO), strict=True))
        return World.of(
            (
                q,
                SimItem(
                    domain="Math",
                    benchmark="gsm8k",
                    difficulty=levels[q],
                    right=(item.gold,),
                    wrong=wrong_numbers(item),
                    form="number",
                ),
            )
            for q, item in ((self.query(i).id, i) for i in items)
        )


def wrong_numbers(item: Gsm8kItem) -> tuple[str, ...]:
    """Plausible wrong answers: results of earlier steps first, then slips of the last one."""
    gold = read_number(item.gold)
    assert gold is not None
    found: dict[str, None] = {}
    for value in (*_earlier_results(item.solution), *_slips(gold)):
        if value != gold and (value > 0 or gold <= 0):
            found[plain(value)] = None
    return tuple(found)[:WRONG]


def _earlier_results(solution: str) -> Iterator[Fraction]:
    """What the solution's calculations give, the last first."""
    steps = [part.partition(">>")[0] for part in solution.split("<<")[1:]]
    for step in reversed(steps):
        value = read_number(step.rpartition("=")[2])
        if value is not None:
            yield value


def _slips(gold: Fraction) -> Iterator[Fraction]:
    yield from (gold * 2, gold + 1, gold - 1, gold * 10, gold + 10, gold / 2)


def complexity(item: Gsm8kItem) -> float:
    """What makes a problem hard: the number of lines of its gold solution."""
    return float(item.solution.count("\n"))


def _splits(ids: Sequence[str], found: Rows, own_train: bool) -> tuple[dict[str, Split], str]:
    """The split of every item that is used, and what the protocol is called."""
    stated = stated_splits(ids, found.located)
    if stated is not None:
        return stated, "as the rows state"
    parts = {at.part for at in found.located}
    if own_train:
        if not {"train", "test"} <= parts:
            raise DataError(f"{found.source} has no training part and test part; expected train.jsonl and test.jsonl")
        splits: dict[str, Split] = {i: "test" for i in ids if i.startswith("test-")}
        splits.update(with_validation([i for i in ids if i.startswith("train-")], "gsm8k"))
        return splits, "its own training part trains"
    used = [i for i in ids if i.startswith("test-")] if "test" in parts else list(ids)
    return fifth_to_train(used, "gsm8k"), f"20% of {len(used)} to train, 80% to test"


def _item(at: Located, item_id: str, split: Split) -> Gsm8kItem:
    solution = at.text("answer")
    gold = read_number(solution.rpartition("####")[2]) if "####" in solution else None
    stated = at.value("final_answer", "numeric_answer")
    if gold is None:
        raise DataError(f"{at.where}: field answer does not end in #### and a number")
    if stated is not None and not same_number(str(stated), plain(gold)):
        raise DataError(
            f"{at.where}: the final answer {stated!r} contradicts field answer, which ends in {plain(gold)}"
        )
    question = at.text("question", "problem").strip()
    return Gsm8kItem(id=item_id, split=split, question=question, solution=solution, gold=plain(gold))


def _from_hub() -> Rows:
    return hub_rows(HUB, "main", parts=("train", "test"))
