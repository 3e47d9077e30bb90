"""How often GPT-4's recorded verdicts on MT-Bench agree with people's, and what few people's votes make of them.

    uv run python benchmarks/judges.py [--data DIR]

Votes: lmsys/mt_bench_human_judgments (CC-BY-4.0; Zheng et al. 2023, arXiv:2306.05685).
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np

from mar.tasks.readers import Row, read_located
from mar.traffic.corrected import corrected, graded_alone

Item = tuple[str, int, str, str]  # question, turn, two models in the alphabet's order
WORTH = {"model_a": 1.0, "model_b": 0.0, "tie": 0.5, "tie (inconsistent)": 0.5}
SEEDS = range(200)
GOLD = 100  # pairs that people vote on


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("MAR_DATA", "Datasets")))
    folder = parser.parse_args().data / "benchmarks" / "mt_bench"
    people, gpt4 = (votes(folder / name) for name in ("human_judgments.jsonl", "gpt4_pair.jsonl"))
    both = sorted(people.keys() & gpt4.keys())
    judge = {item: fmean(gpt4[item]) for item in both}
    agreement(people, judge)
    estimates({item: fmean(people[item]) for item in both}, judge)


def votes(path: Path) -> dict[Item, list[float]]:
    """Votes on each pair of answers: how good the first model's answer is, 1 better, 0 worse, 0.5 alike."""
    found = defaultdict[Item, list[float]](list)
    for _, row in read_located(path):
        item, worth = _vote(row)
        found[item].append(worth)
    return found


def _vote(row: Row) -> tuple[Item, float]:
    a, b, worth = row["model_a"], row["model_b"], WORTH[row["winner"]]
    first, second = sorted((a, b))
    return (str(row["question_id"]), int(row["turn"]), first, second), worth if a == first else 1 - worth


def agreement(people: Mapping[Item, Sequence[float]], judge: Mapping[Item, float]) -> None:
    """Of people's votes: how many say what GPT-4 says, and what another person says."""
    with_judge = [(item[0], vote, judge[item]) for item in judge for vote in people[item]]
    among = [
        (item[0], one, other) for item, said in people.items() for n, one in enumerate(said) for other in said[n + 1 :]
    ]
    print(f"{len(judge)} pairs of answers with votes of people ({len(with_judge)}) and GPT-4's verdict")
    print(f"{'agreement':34}{'ties count':>22}{'without ties':>22}")
    for name, pairs in (("GPT-4 with a person", with_judge), ("a person with another one", among)):
        decided = [p for p in pairs if 0.5 not in p[1:]]
        print(f"{name:34}{_share(pairs):>22}{_share(decided):>22}")
    print("intervals: 95%, questions drawn anew 1,000 times")


def _share(pairs: Iterable[tuple[str, float, float]]) -> str:
    questions = defaultdict[str, list[float]](list)
    for question, one, other in pairs:
        questions[question].append(float(one == other))
    hits = np.array([[sum(same), len(same)] for same in questions.values()])
    rng = np.random.default_rng(0)
    drawn = hits[rng.integers(len(hits), size=(1000, len(hits)))].sum(axis=1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], (0.025, 0.975))
    total = hits.sum(axis=0)
    return f"{total[0] / total[1]:.1%} ({low:.1%}-{high:.1%})"


def estimates(grades: Mapping[Item, float], judge: Mapping[Item, float]) -> None:
    """Each model's share of wins by all people's votes, by GPT-4's alone, and by GPT-4's and few people's."""
    print()
    print(f"share of wins (a tie is half a one) from {GOLD} pairs that people voted on, drawn {len(SEEDS)} times,")
    print("beside all pairs' (the truth); held: how often the interval of 95% holds it; width: of the interval, mean")
    print(f"{'':20}{'pairs':>7}{'truth':>8}{'GPT-4':>8} |{'people alone: held':>19}{'width':>8} |", end="")
    print(f"{'corrected: held':>16}{'width':>8}{'weight':>8}{'as many votes as':>18}")
    rows = [_row(model, grades, judge) for model in sorted({m for item in grades for m in item[2:]})]
    means = [fmean(column) for column in zip(*rows, strict=True)]
    print(_shown("mean", means, pairs=False))


def _row(model: str, grades: Mapping[Item, float], judge: Mapping[Item, float]) -> list[float]:
    mine = [item for item in grades if model in item[2:]]
    turned = [item[2] == model for item in mine]
    y, f = (
        np.array([of[item] if same else 1 - of[item] for item, same in zip(mine, turned, strict=True)])
        for of in (grades, judge)
    )
    truth, found = float(y.mean()), list[list[float]]()
    for seed in SEEDS:
        gold = np.zeros(len(y), bool)
        gold[np.random.default_rng(seed).choice(len(y), GOLD, replace=False)] = True
        alone = graded_alone(y[gold].tolist())
        both = corrected(y[gold].tolist(), f[gold].tolist(), f[~gold].tolist())
        held = [float(e.low <= truth <= e.high) for e in (alone, both)]
        found.append([held[0], alone.width, held[1], both.width, both.weight])
    means = [float(m) for m in np.mean(found, axis=0)]
    row = [len(y), truth, float(f.mean()), *means, GOLD * (means[1] / means[3]) ** 2]
    print(_shown(model, row))
    return row


def _shown(name: str, row: Sequence[float], *, pairs: bool = True) -> str:
    many, truth, raw, held, width, held2, width2, weight, worth = row
    count = f"{many:>7.0f}" if pairs else f"{'':7}"
    left = f"{name:20}{count}{truth:>8.1%}{raw:>8.1%} |{held:>19.1%}{width:>8.1%} |"
    return f"{left}{held2:>16.1%}{width2:>8.1%}{weight:>8.2f}{worth:>18.0f}"


if __name__ == "__main__":
    main()
