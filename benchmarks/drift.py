"""How soon rollouts and drift are decided, and how often wrongly, on made-up traffic: every figure is a simulation.

uv run python benchmarks/drift.py [--seeds 40]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from random import Random
from statistics import median

import numpy as np

from mar.traffic.comparing import Reading
from mar.traffic.drift import BASE, fallen, moved
from mar.traffic.rollout import Rules, found

REQUESTS = 2000


def ratings(random: Random, n: int, *, new: float, old: float, liar: float = 0.0, users: int = 300) -> list[Reading]:
    """Ratings of which half are of the candidate; a share of further ones is one user's, who praises it."""
    seen: list[Reading] = []
    for _ in range(n):
        user = random.randrange(users)
        right = random.random() < (new if user % 2 == 0 else old)
        seen.append(Reading(unit=str(user), new=user % 2 == 0, value=float(right)))
        if random.random() < liar:
            seen.append(Reading(unit="liar", new=True, value=1.0))
    return seen


def rollouts(seeds: int) -> None:
    """How often a candidate is shown to be fine, or worse, by its quality."""
    print(
        f"| old | candidate | liar's ratings | rated requests | shown to be fine | shown to be worse |\n{'|---' * 6}|"
    )
    rows = (
        *((0.7, 0.7, 0.0, n) for n in (REQUESTS,)),
        *((0.7, 0.8, 0.0, n) for n in (500, 1000, REQUESTS)),
        *((0.7, 0.6, liar, REQUESTS) for liar in (0.0, 0.25)),
        (0.7, 0.3, 0.0, 600),
        (0.4, 0.9, 0.0, 600),
    )
    for old, new, liar, n in rows:
        all_of_them = [
            found("quality", ratings(Random(s), n, new=new, old=old, liar=liar), Rules()) for s in range(seeds)
        ]
        fine, worse = (sum(getattr(f, what) for f in all_of_them) for what in ("fine", "worse"))
        print(f"| {old} | {new} | {liar / (1 + liar):.0%} | {n} | {fine} of {seeds} | {worse} of {seeds} |", flush=True)


def models(seeds: int) -> None:
    """After how many values it is noticed that a model became worse."""
    print(f"\n| a model's answers | fall to | noticed | after (median, worst) |\n{'|---' * 4}|")
    for before, after in ((0.8, 0.8), (0.8, 0.6), (0.8, 0.4), (0.95, 0.5), (0.6, 0.4)):
        runs: list[int] = []
        for seed in range(seeds):
            random = np.random.default_rng(seed)
            n = 1000
            values = [*(random.random(BASE) < before), *(random.random(n) < after)]
            if (fell := fallen([float(v) for v in values], 0.1)) is not None:
                runs.append(fell[1])
        print(f"| {before} | {after} | {len(runs)} of {seeds} | {_words(runs)} |", flush=True)


def questions(seeds: int) -> None:
    """After how many questions it is noticed that they are of another kind."""
    print(
        f"\n| questions move, in spreads of one of 384 coordinates | noticed | after (median, worst) |\n{'|---' * 3}|"
    )
    for shift in (0.0, 2.0, 4.0, 8.0):
        runs: list[int] = []
        for seed in range(seeds):
            vectors = np.random.default_rng(seed).normal(0, 1, (500 + 1500, 384))
            vectors[500:, 0] += shift
            if (number := moved(vectors, 500)) is not None:
                runs.append(number)
        print(f"| {shift:g} | {len(runs)} of {seeds} | {_words(runs)} |", flush=True)


def _words(runs: Sequence[int]) -> str:
    return f"{median(runs):g}, {max(runs)}" if runs else "-"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=40)
    seeds = parser.parse_args().seeds
    rollouts(seeds)
    models(seeds)
    questions(seeds)


if __name__ == "__main__":
    main()
