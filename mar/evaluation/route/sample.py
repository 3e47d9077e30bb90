"""Questions of several kinds for a first look, where a person has none at hand; only the simulated pool is asked them.

The bundled samples of four benchmarks, made up as they are, and two kinds of questions that are made here from a seed:
sums in words, which simulated models know as well as GSM8K's, and puzzles about numbers, as well as MATH's. That is
enough rows for intervals that mean something. No programs: a simulated model that writes wrong ones needs wrong ones
that tests were seen to catch, and running those takes minutes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, cast

from mar.pool.simulated import World
from mar.runtime.sandbox import Sandbox
from mar.tasks.gsm8k import Gsm8k, Gsm8kItem
from mar.tasks.registry import load_task
from mar.tasks.splits import SPLITS
from mar.tasks.task import Task
from mar.tasks.union import UnionTask
from mar.types import Query

OTHERS = ("math", "mmlu", "mmlu_pro")
EACH = 120  # questions of either kind that is made here
SOURCE = (
    f"made-up questions: {EACH} sums in words, {EACH} puzzles about numbers (simulated models know them as well as "
    "GSM8K's and MATH's), and mar's samples of GSM8K, MATH, MMLU and MMLU-Pro"
)
MODELS = ("gpt-4o-mini", "gpt-4o", "claude-3.5-haiku", "claude-3.5-sonnet", "llama-3.1-8b-instruct")
"""What a team with two vendors and one small server of its own has. Of all simulated models one is nearly the best at
everything and cheap, so that nothing is to be gained: `--pool simulated` shows that."""
THINGS = ("jars of honey", "bus tickets", "notebooks", "lamps", "bags of seed", "tiles", "candles", "ropes", "kites")
PLACES = ("market stall", "museum shop", "school fair", "harbour kiosk", "garden centre", "night train")


Puzzle = tuple[str, list[str], int]
"""The text, results on the way, the answer."""


def sample_task(seed: int = 0) -> UnionTask:
    """The questions; the seed makes the sums."""
    school = cast("Gsm8k", _bundled("gsm8k"))
    school = replace(school, all_items=(*school.all_items, *sums(seed)))
    hard = Puzzles(all_items=tuple(puzzles(seed)), source=SOURCE, protocol="all in one part")
    return UnionTask.of([school, hard, *map(_bundled, OTHERS)], name="sample")


class Puzzles(Gsm8k):
    """Questions with a number for an answer that are as hard as MATH's."""

    name = "puzzles"

    def query(self, item: Gsm8kItem) -> Query:
        """The question."""
        return replace(super().query(item), id=f"{self.name}/{item.id}")

    async def world(self, items: Sequence[Gsm8kItem], sandbox: Sandbox) -> World:
        """As of GSM8K, but for how well models know it."""
        easy = await super().world(items, sandbox)
        return World.of((q, replace(item, benchmark="math")) for q, item in easy.items.items())


def _bundled(name: str) -> Task[Any]:
    with resources.as_file(resources.files("mar.tasks").joinpath(f"samples/{name}.jsonl")) as path:
        return load_task(name, path=Path(path))


def sums(seed: int) -> Iterator[Gsm8kItem]:
    """Sums of one to four steps about what somebody sells."""
    rng = random.Random(f"sums/{seed}")
    for number in range(EACH):
        question, steps, gold = _sum(rng)
        solution = "\n".join([*(f"<<{step}>>" for step in steps), f"#### {gold}"])
        yield Gsm8kItem(id=f"sum-{number}", split=SPLITS[0], question=question, solution=solution, gold=str(gold))


def _sum(rng: random.Random) -> Puzzle:
    thing, place = rng.choice(THINGS), rng.choice(PLACES)
    sold, price, rent, days, tax = (rng.randint(*ends) for ends in ((12, 40), (3, 20), (2, 30), (2, 9), (3, 30)))
    text, value = f"A {place} sells {sold} {thing} a day at {price} dollars each.", sold * price
    steps = [f"{sold}*{price}={value}"]
    further = (
        (f" Rent is {rent} dollars a day.", f"-{rent}", lambda v: v - rent),
        (f" It is open for {days} days.", f"*{days}", lambda v: v * days),
        (f" At the end {tax} dollars are due.", f"-{tax}", lambda v: v - tax),
    )
    for words, sign, change in further[: rng.randint(0, 3)]:
        text, before, value = text + words, value, change(value)
        steps.append(f"{before}{sign}={value}")
    return f"{text} How many dollars are left?", steps, value


def puzzles(seed: int) -> Iterator[Gsm8kItem]:
    """Remainders of powers, common multiples, ways to choose, numbers that two others do not divide."""
    rng = random.Random(f"puzzles/{seed}")
    for number in range(EACH):
        question, steps, gold = rng.choice((_remainder, _multiple, _chosen, _left))(rng)
        solution = "\n".join([*(f"<<{step}>>" for step in steps), f"#### {gold}"])
        yield Gsm8kItem(id=f"puzzle-{number}", split=SPLITS[0], question=question, solution=solution, gold=str(gold))


def _remainder(rng: random.Random) -> Puzzle:
    base, power, by = rng.randint(2, 19), rng.randint(5, 40), rng.choice((7, 11, 13, 17, 19))
    gold = pow(base, power, by)
    return f"What is the remainder when {base}^{power} is divided by {by}?", [f"{base}%{by}={base % by}"], gold


def _multiple(rng: random.Random) -> Puzzle:
    a, b, c = (rng.randint(6, 60) for _ in range(3))
    gold = math.lcm(a, b, c)
    steps = [f"gcd({a},{b})={math.gcd(a, b)}", f"lcm({a},{b})={math.lcm(a, b)}"]
    return f"What is the least positive integer that {a}, {b} and {c} all divide?", steps, gold


def _chosen(rng: random.Random) -> Puzzle:
    n, m, k = rng.randint(5, 12), rng.randint(4, 9), rng.randint(2, 4)
    gold = math.comb(n, k) * math.comb(m, 2)
    text = f"A committee has {k} of {n} teachers and 2 of {m} parents. In how many ways can it be chosen?"
    return text, [f"C({n},{k})={math.comb(n, k)}", f"C({m},2)={math.comb(m, 2)}"], gold


def _left(rng: random.Random) -> Puzzle:
    n, a, b = rng.randint(60, 400), rng.randint(2, 6), rng.randint(7, 12)
    gold = sum(1 for i in range(1, n + 1) if i % a and i % b)
    text = f"How many of the integers from 1 to {n} are divisible by neither {a} nor {b}?"
    return text, [f"{n}//{a}={n // a}", f"{n}//{b}={n // b}", f"{n}//{math.lcm(a, b)}={n // math.lcm(a, b)}"], gold
