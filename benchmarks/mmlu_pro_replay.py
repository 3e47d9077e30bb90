# pyright: basic
"""The LLM-routing stage alone, on answers that 8 real LLMs gave to MMLU-Pro's questions (published evaluation outputs).

    uv run python benchmarks/mmlu_pro_replay.py

A replay pool answers with the recorded texts; training reads the letters from them as ever, the table takes those that
the publisher read, and an unreadable one is wrong. No cost was recorded, so utility is accuracy. The router may only
choose the LLM of a single agent. Trained on a fixed sample of the training questions, tested on all test questions
that all eight answered. Beside it: every LLM alone, the best by its training score, and the oracle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from _replay import Bench, route
from _shared import data_folder, machine

from mar.pool import Recording, load_mmlu_pro, mmlu_pro_recordings
from mar.pool.cards import ModelCard
from mar.pool.replay import RecordingKey
from mar.pool.simulated import World
from mar.tasks.mmlu_pro import MmluPro
from mar.tasks.options import OptionItem
from mar.tasks.task import Score, Split, subset
from mar.types import Domain, Query

EPOCHS = 6
SAMPLES: Mapping[Split, int] = {"train": 800, "validation": 300, "test": 1200}


@dataclass(frozen=True, slots=True)
class Recorded:
    """MMLU-Pro's questions that all LLMs answered, cut to fixed samples."""

    whole: MmluPro
    answered: frozenset[str]

    name = "mmlu_pro"
    domain: Domain = "Commonsense"
    notes = {"data": "MMLU-Pro, recorded answers"}  # noqa: RUF012

    def items(self, split: Split) -> Sequence[OptionItem]:
        return [i for i in subset(self.whole, split, SAMPLES[split]).items if self.query(i).id in self.answered]

    def query(self, item: OptionItem) -> Query:
        return self.whole.query(item)

    async def score(self, item: OptionItem, answer: str | None, sandbox: Any) -> Score:
        return await self.whole.score(item, answer, sandbox)

    async def world(self, items: object, sandbox: object) -> World:
        raise AssertionError("recorded answers need no world")


def bench() -> Bench:
    """The questions and what was answered."""
    whole = MmluPro.load(data=data_folder())
    gold = {int(i.id): i.gold for i in whole.all_items}
    recordings: dict[RecordingKey, Recording] = {}
    for path in sorted((data_folder() / "outcomes/mmlu_pro/responses").glob("*.jsonl.gz")):
        recordings |= mmlu_pro_recordings(load_mmlu_pro(path), gold)
    models = sorted({key.model for key in recordings})
    ids = [whole.query(i).id for i in whole.all_items]
    answered = frozenset(q for q in ids if all(RecordingKey(item=q, model=m) in recordings for m in models))
    task = Recorded(whole, answered)
    known = [task.query(i).id for i in task.items("train")]
    cards = [_card(m, [recordings[RecordingKey(item=q, model=m)] for q in known]) for m in models]
    return Bench(task=task, cards=cards, recordings=recordings, rate=0.0, epochs=EPOCHS)


def _card(model: str, train: Sequence[Recording]) -> ModelCard:
    right = sum(r.score or 0.0 for r in train) / len(train)
    return ModelCard(name=model, description=f"answers {100 * right:.0f} percent of hard multiple-choice questions")


def main() -> None:
    """Train with every seed, print."""
    torch.set_num_threads(1)
    print(machine())
    found = bench()
    route(found, "mmlu-pro-replay", [*found.task.items("train"), *found.task.items("validation")])


if __name__ == "__main__":
    main()
