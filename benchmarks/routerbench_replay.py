# pyright: basic
"""The LLM-routing stage alone, on answers that 11 real LLMs gave to MBPP prompts (RouterBench, RouterDC's split).

    uv run python benchmarks/routerbench_replay.py

A replay pool answers; the recorded score is the truth and the recorded cost is the cost. The router may only choose
the LLM of a single agent. Beside it: every LLM alone, the best by its training score, and the oracle. Then the sandbox
judges the answers that can be executed: rows whose prompt equals an MBPP task's text and whose answer defines a
single function, which is renamed to what the tests call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from _replay import Bench, route
from _shared import data_folder, machine

from mar import clock
from mar.concurrency import gather
from mar.evaluation.recording_tables import called_name, renamed
from mar.pool import RouterBenchItem, load_routerbench, routerbench_recordings
from mar.pool.cards import ModelCard
from mar.pool.simulated import World
from mar.runtime.code import extract_code
from mar.runtime.sandbox import Sandbox, TestJob
from mar.tasks.mbpp import Mbpp
from mar.tasks.task import Score
from mar.types import Domain, Query

EPOCHS = 8
MEAN_COST_UTILITY = 0.02  # what the mean recorded answer costs at the price of money used here


@dataclass(frozen=True)
class Recorded:
    """RouterBench's prompts as a task: the recorded score of the LLM that answered is the score."""

    rows: Sequence[RouterBenchItem]
    name = "routerbench-mbpp"
    domain: Domain = "Code"
    notes = {"data": "RouterBench MBPP, recorded answers"}  # noqa: RUF012

    def items(self, split: str) -> list[RouterBenchItem]:
        """RouterDC's split, a fifth of its training rows held out for validation."""
        rows = [r for r in self.rows if (r.split == "test") is (split == "test")]
        held_out = len(rows) // 5
        return rows if split == "test" else rows[:held_out] if split == "validation" else rows[held_out:]

    def query(self, item: RouterBenchItem) -> Query:
        return Query(id=item.id, text=item.prompt)

    async def score(self, item: RouterBenchItem, answer: str | None, sandbox: object) -> Score:
        known = [r.score or 0.0 for r in item.answers.values() if r.text.strip() == (answer or "").strip()]
        value = float(np.mean(known)) if known else 0.0
        return Score(value=value, solved=value > 0.5)

    async def world(self, items: object, sandbox: object) -> World:
        raise AssertionError("recorded answers need no world")


def cards(rows: Sequence[RouterBenchItem]) -> list[ModelCard]:
    """The 11 LLMs, described by what they cost and reached on the training rows."""
    found: list[ModelCard] = []
    for name in rows[0].answers:
        train = [r.answers[name] for r in rows if r.split == "train"]
        score, cost = np.mean([a.score or 0.0 for a in train]), np.mean([a.cost_usd or 0.0 for a in train])
        text = f"solves {100 * score:.0f} percent of short Python tasks at {1e3 * cost:.3f} USD per thousand answers"
        found.append(ModelCard(name=name, description=text))
    return found


def bench(rows: Sequence[RouterBenchItem]) -> Bench:
    """The answers at a price of money at which the mean one costs MEAN_COST_UTILITY."""
    costs = [a.cost_usd or 0.0 for r in rows if r.split == "train" for a in r.answers.values()]
    return Bench(
        task=Recorded(rows),
        cards=cards(rows),
        recordings=routerbench_recordings(rows),
        rate=MEAN_COST_UTILITY / float(np.mean(costs)),
        epochs=EPOCHS,
    )


async def judge(rows: Sequence[RouterBenchItem]) -> None:
    """Compare the sandbox's verdicts with the recorded scores where the answers can be executed."""
    by_text = {i.text.strip(): i for i in Mbpp.load(data=data_folder()).all_items}
    work: list[tuple[float, partial[Any]]] = []
    skipped: Counter[str] = Counter()
    async with Sandbox() as sandbox:
        for row in rows:
            item = by_text.get(row.prompt.strip())
            for answer in row.answers.values():
                if item is None:
                    skipped["the prompt equals no MBPP text"] += 1
                    continue
                code = renamed(extract_code(answer.text), called_name(item.tests[0]))
                if code is None:
                    skipped["the answer defines no single function"] += 1
                    continue
                job: TestJob = item.job(code)
                work.append((answer.score or 0.0, partial(sandbox.run_tests, job)))
        reports = await gather([w for _, w in work], limit=64)
    table = Counter((recorded > 0.5, report.passed) for (recorded, _), report in zip(work, reports, strict=True))
    print(f"\nSandbox against the recorded score: {len(work)} answers executed; left out: {dict(skipped)}")
    agree = table[True, True] + table[False, False]
    print(f"both solved {table[True, True]}, both unsolved {table[False, False]}: agreement {agree / len(work):.1%}")
    print(f"recorded solved, failing here {table[True, False]}; recorded unsolved, passing here {table[False, True]}")
    outcomes = Counter(
        next((r.outcome for r in report.results if r.outcome != "passed"), "passed")
        for (recorded, _), report in zip(work, reports, strict=True)
        if recorded > 0.5
    )
    print(f"outcomes of the answers that were recorded as solved: {dict(outcomes)}")


def main() -> None:
    torch.set_num_threads(1)
    print(machine())
    rows = load_routerbench(data_folder() / "outcomes" / "routerbench_mbpp" / "mbpp.jsonl.gz")
    found = bench(rows)
    route(found, f"routerbench-{found.rate:.4g}", [r for r in rows if r.split == "train"])
    clock.run(partial(judge, rows), virtual=False)


if __name__ == "__main__":
    main()
