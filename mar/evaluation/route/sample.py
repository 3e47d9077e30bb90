"""Questions of two kinds for a first look, where a person has none at hand; only a simulated pool is asked them.

Sums in words, made here from a seed, with the bundled sample of GSM8K, and the bundled samples of MMLU and MMLU-Pro:
all made up, and enough rows for intervals that mean something. The pool is of three made-up models, two of which know
one kind each. No programs: a simulated model that writes wrong ones needs wrong ones that tests were seen to catch, and
running those takes minutes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, cast

from mar.tasks.gsm8k import Gsm8k, Gsm8kItem
from mar.tasks.registry import load_task
from mar.tasks.splits import SPLITS
from mar.tasks.task import Task
from mar.tasks.union import UnionTask

OTHERS = ("mmlu", "mmlu_pro")
SUMS = 120
SOURCE = f"made-up questions: {SUMS} sums in words, and mar's samples of GSM8K, MMLU and MMLU-Pro"
POOL = "simulated-specialists"
THINGS = ("jars of honey", "bus tickets", "notebooks", "lamps", "bags of seed", "tiles", "candles", "ropes", "kites")
PLACES = ("market stall", "museum shop", "school fair", "harbour kiosk", "garden centre", "night train")


def sample_task(seed: int = 0) -> UnionTask:
    """The questions; the seed makes the sums."""
    school = cast("Gsm8k", _bundled("gsm8k"))
    school = replace(school, all_items=(*school.all_items, *sums(seed)))
    return UnionTask.of([school, *map(_bundled, OTHERS)], name="sample")


def _bundled(name: str) -> Task[Any]:
    with resources.as_file(resources.files("mar.tasks").joinpath(f"samples/{name}.jsonl")) as path:
        return load_task(name, path=Path(path))


def sums(seed: int) -> Iterator[Gsm8kItem]:
    """Sums of one to four steps about what somebody sells."""
    rng = random.Random(f"sums/{seed}")
    for number in range(SUMS):
        question, steps, gold = _sum(rng)
        solution = "\n".join([*(f"<<{step}>>" for step in steps), f"#### {gold}"])
        yield Gsm8kItem(id=f"sum-{number}", split=SPLITS[0], question=question, solution=solution, gold=str(gold))


def _sum(rng: random.Random) -> tuple[str, list[str], int]:
    thing, place = rng.choice(THINGS), rng.choice(PLACES)
    sold, price, rent, days, tax = (rng.randint(*ends) for ends in ((12, 40), (3, 20), (2, 30), (2, 9), (3, 30)))
    text, value = f"A {place} sells {sold} {thing} a day at {price} dollars each.", sold * price
    steps = [f"{sold}*{price}={value}"]
    further = (
        (f" Rent is {rent} dollars a day.", "-", rent),
        (f" It is open for {days} days.", "*", days),
        (f" At the end {tax} dollars are due.", "-", tax),
    )
    for words, sign, number in further[: rng.randint(0, 3)]:
        text, before, value = text + words, value, value * number if sign == "*" else value - number
        steps.append(f"{before}{sign}{number}={value}")
    return f"{text} How many dollars are left?", steps, value
