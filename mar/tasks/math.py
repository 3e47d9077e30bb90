r"""MATH: competition mathematics (Hendrycks et al. 2021, "Measuring Mathematical Problem Solving With the MATH ...").

The gold answer is what stands in the last \boxed{} of the solution.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio.to_thread

from mar.clock import real_work
from mar.errors import DataError
from mar.pool.simulated import SimItem, World, item_difficulties
from mar.runtime.sandbox import Sandbox
from mar.tasks.scoring.boxed import last_boxed
from mar.tasks.scoring.expressions import compare
from mar.tasks.scoring.formats import Expression, no_answer, scored, undecided
from mar.tasks.sources import Located, Rows, find_rows, hub_rows, layouts, once_each
from mar.tasks.splits import fifth_to_train, of_split, sampled, shuffled, stated_splits, with_validation
from mar.tasks.task import Score, Split
from mar.types import Domain, Query

HUB = "HuggingFaceH4/MATH-500"
FILES = layouts("MATH/{part}/*/*.json", "MATH/{part}.jsonl", "MATH/math.jsonl")
TRAIN_ITEMS = 519  # published setting of MasRouter: sampled training problems
RHO = 0.5
"""Correlation of difficulty with the published level, or with the solution's length where no level is given. Assumed:
accuracies by level fall steadily from level 1 to 5 (Hendrycks et al. 2021), but no outcomes by item are at hand."""
WRONG = 3  # wrong answers per item for the simulated pool


@dataclass(frozen=True, slots=True, kw_only=True)
class MathItem:
    """One MATH problem."""

    id: str
    split: Split
    problem: str
    solution: str
    gold: str  # LaTeX
    level: int | None  # 1 to 5
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Math:
    """MATH, scored by value, whatever the form.

    519 sampled training problems train and the test part tests. Without a training part, 20% of what there is trains.
    """

    all_items: tuple[MathItem, ...]
    source: str
    protocol: str

    name = "math"
    domain: Domain = "Math"

    @classmethod
    def load(cls, *, path: Path | None = None, data: Path | None = None) -> Math:
        """Load MATH from a file, a data folder, the hub, or the bundled sample, in this order.

        Raises:
            DataError: A file is missing or malformed, or a solution has no boxed answer.
        """
        found = find_rows(explicit=path, data_root=data, within=FILES, hub=_from_hub, sample="math")
        ids = [_id(at) for at in found.located]
        once_each(ids, found.located, "problem")
        splits, protocol = _splits(ids, found)
        items = [_item(at, i, splits[i]) for i, at in zip(ids, found.located, strict=True) if i in splits]
        return cls(all_items=tuple(items), source=found.source, protocol=protocol)

    @property
    def notes(self) -> Mapping[str, str]:
        """Data source and protocol."""
        return {"data": self.source, "split": self.protocol, "metric": "equal in value"}

    def items(self, split: Split) -> Sequence[MathItem]:
        """Items of a split in the order of the file."""
        return of_split(self.all_items, split)

    def query(self, item: MathItem) -> Query:
        """The problem's text."""
        return Query(id=f"math/{item.id}", domain=self.domain, text=item.problem, answer_format=Expression())

    async def score(self, item: MathItem, answer: str | None, sandbox: Sandbox) -> Score:
        """Compare the expressions, in a thread, since a hostile one takes seconds to be given up."""
        if answer is None:
            return no_answer("expression")
        outcome = await anyio.to_thread.run_sync(compare, item.gold, answer)
        return undecided() if outcome == "undecided" else scored(outcome == "equal")

    async def world(self, items: Sequence[MathItem], sandbox: Sandbox) -> World:
        """Gold expressions and wrong ones with one slip in them; harder with a higher level."""
        levels = _difficulties(self.all_items)
        elsewhere = {i.gold: None for i in self.all_items}
        work = partial(anyio.to_thread.run_sync, lambda: [wrong_expressions(i.gold, list(elsewhere)) for i in items])
        return World.of(
            (
                self.query(item).id,
                SimItem(
                    domain="Math",
                    benchmark="math",
                    difficulty=levels[item.id],
                    right=(item.gold,),
                    wrong=wrong,
                    form="boxed",
                ),
            )
            for item, wrong in zip(items, await real_work(work), strict=True)
        )


def wrong_expressions(gold: str, elsewhere: Sequence[str]) -> tuple[str, ...]:
    """Plausible wrong answers, each seen to differ from gold: one slip in it, else the answer of another problem."""
    found: dict[str, None] = {}
    others = sorted(shuffled(elsewhere, gold), key=lambda other: _kind(other) != _kind(gold))
    for candidate in (*_slips(gold), *others):
        if candidate not in found and compare(gold, candidate) == "different":
            found[candidate] = None
        if len(found) == WRONG:
            break
    return tuple(found)


def _slips(gold: str) -> Iterator[str]:
    """One integer off by one or doubled, the sign, a fraction upside down."""
    numbers = list(re.finditer(r"(?<![\d.,{}a-zA-Z])\d{1,9}(?![\d.,])|(?<=\{)\d{1,9}(?=\})", gold))
    for match in reversed(numbers):
        value = int(match[0])
        yield from (_put(gold, match, n) for n in (value + 1, value - 1) if n > 0)
    if _kind(gold) == "value":
        yield gold[1:] if gold.startswith("-") else f"-{gold}" if re.fullmatch(r"[\w\\{}./]+", gold) else f"-({gold})"
        yield from (_put(gold, match, 2 * int(match[0])) for match in numbers)
    if upside_down := re.fullmatch(r"\\d?frac\{(.+)\}\{(.+)\}", gold):
        yield rf"\frac{{{upside_down[2]}}}{{{upside_down[1]}}}"


def _kind(answer: str) -> str:
    if "text" in answer or re.fullmatch(r"[A-Za-z]{2,}", answer):
        return "words"
    return "several" if re.search(r"[,=]|\\begin", answer) else "value"


def _put(text: str, match: re.Match[str], number: int) -> str:
    return f"{text[: match.start()]}{number}{text[match.end() :]}"


def _difficulties(items: Sequence[MathItem]) -> dict[str, float]:
    """By rank of the level; items without one are ranked among themselves by the length of their solution."""
    found: dict[str, float] = {}
    for with_level in (True, False):
        group = [i for i in items if (i.level is not None) is with_level]
        complexity = [float(len(i.solution) if i.level is None else i.level) for i in group]
        ids = [i.id for i in group]
        found |= dict(zip(ids, item_difficulties([f"math/{i}" for i in ids], complexity, rho=RHO), strict=True))
    return found


def _id(at: Located) -> str:
    stated = at.row.get("unique_id") or at.row.get("id")
    if isinstance(stated, str | int):
        return str(stated).removesuffix(".json")
    own = "" if at.stem == at.part else at.stem
    return "/".join(str(p) for p in (at.part, at.row.get("type") or "", own, at.number) if p)


def _splits(ids: Sequence[str], found: Rows) -> tuple[dict[str, Split], str]:
    """The split of every item that is used, and what the protocol is called."""
    stated = stated_splits(ids, found.located)
    if stated is not None:
        return stated, "as the rows state"
    train = [i for i, at in zip(ids, found.located, strict=True) if at.part == "train"]
    rest = [i for i, at in zip(ids, found.located, strict=True) if at.part == "test"]
    if not train or not rest:
        return fifth_to_train(ids, "math"), f"20% of {len(ids)} to train, 80% to test"
    chosen = sampled(train, TRAIN_ITEMS, "math/train")
    splits: dict[str, Split] = dict.fromkeys(rest, "test")
    splits.update(with_validation([i for i in train if i in chosen], "math"))
    return splits, f"{len(chosen)} of {len(train)} training problems"


def _item(at: Located, item_id: str, split: Split) -> MathItem:
    solution = at.text("solution")
    stated, boxed = at.value("answer", "final_answer"), last_boxed(solution)
    gold = stated if isinstance(stated, str) and stated.strip() else boxed
    if gold is None:
        raise DataError(rf"{at.where}: field solution has no \boxed answer, and there is no field answer")
    if boxed is not None and compare(gold, boxed) == "different":
        raise DataError(rf"{at.where}: field answer is {gold!r}, which contradicts \boxed{{{boxed}}} in field solution")
    level = re.fullmatch(r"(?:Level )?([1-5])", str(at.row.get("level", "")))
    return MathItem(
        id=item_id,
        split=split,
        problem=at.text("problem", "question").strip(),
        solution=solution,
        gold=gold.strip(),
        level=int(level[1]) if level else None,
        subject=str(at.row.get("type") or at.row.get("subject") or ""),
    )


def _from_hub() -> Rows:
    return hub_rows(HUB, parts=("test",))
