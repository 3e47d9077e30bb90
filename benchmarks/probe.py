"""How well a model that nobody tried is known after a few questions: MMLU-Pro's recorded answers of 28 LLMs, real ones.

Each LLM is left out once; the others' grades make the bank. Then 10 to 80 questions are put to it, as `mar probe` asks
them (the first 16 chosen by what they are expected to tell) or all of them drawn, and its accuracy on all questions is
estimated. No card states anything.

uv run python benchmarks/probe.py [--seeds 5]
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from _outcomes import load_choices
from _shared import data_folder

from mar.controllers.belief.probing import Bank, Skill
from mar.evaluation.statistics import bootstrap_mean

COUNTS = (10, 20, 40, 80)
BATCH = 8  # as the command asks
WAYS = ("prior alone", "drawn, naive mean", "drawn, same posterior", "chosen, then drawn")
TABLE = 4000  # of the 12,000 questions, drawn by the seed


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", type=int, default=28)
    options = parser.parse_args()
    found = load_choices(data_folder())
    errors: dict[tuple[str, int, str], list[list[float]]] = defaultdict(list)  # (way, count, what) by model, by seed
    for model in range(0, len(found.models), max(1, len(found.models) // options.models)):
        mine = defaultdict[tuple[str, int, str], list[float]](list)
        for seed in range(options.seeds):
            rows = np.random.default_rng(seed).permutation(len(found.gold))[:TABLE]
            right, topics = found.right[rows], found.categories[rows].tolist()
            played(Bank.of(np.delete(right, model, axis=1), topics), right[:, model], mine)
        for key, values in mine.items():
            errors[key].append(values)
        print(found.models[model], f"{found.right[:, model].mean():.3f}", flush=True)
    shown(errors)


def played(bank: Bank, truth: np.ndarray, into: dict[tuple[str, int, str], list[float]]) -> None:
    """One seed of one model: adds every way's errors. The table's first questions are drawn ones."""
    noted("prior alone", 0, Skill.after(bank, {}), truth, into)
    grades: dict[int, float] = {}
    for count in COUNTS:
        drawn = {i: float(truth[i]) for i in range(count)}
        naive("drawn, naive mean", bank, drawn, truth, into)
        noted("drawn, same posterior", count, Skill.after(bank, drawn), truth, into)
        while len(grades) < count:
            more = Skill.after(bank, grades).worth_asking(min(BATCH, count - len(grades)))
            grades |= {i: float(truth[i]) for i in more}
        noted("chosen, then drawn", count, Skill.after(bank, grades), truth, into)


def noted(way: str, count: int, skill: Skill, truth: np.ndarray, into: dict[tuple[str, int, str], list[float]]) -> None:
    """Errors of a posterior, in points, and whether its intervals hold."""
    whole, by_topic = skill.accuracies()
    true = truth.mean()
    into[way, count, "all"].append(100 * abs(whole.mean - true))
    into[way, count, "held"].append(100.0 * (whole.low <= true <= whole.high))
    into[way, count, "width"].append(100 * (whole.high - whole.low))
    pairs = list(zip(by_topic.values(), topic_means(skill.bank, truth), strict=True))
    into[way, count, "topic"].append(100 * float(np.mean([abs(e.mean - t) for e, t in pairs])))
    into[way, count, "topics held"].append(100 * float(np.mean([e.low <= t <= e.high for e, t in pairs])))


def naive(
    way: str, bank: Bank, grades: dict[int, float], truth: np.ndarray, into: dict[tuple[str, int, str], list[float]]
) -> None:
    """Errors of means; a category without a question has the mean of all."""
    mean = float(np.mean(list(grades.values())))
    into[way, len(grades), "all"].append(100 * abs(mean - truth.mean()))
    of: dict[int, list[float]] = defaultdict(list)
    for question, grade in grades.items():
        of[int(bank.topic[question])].append(grade)
    means = [float(np.mean(of[t])) if of[t] else mean for t in range(len(bank.topics))]
    true = topic_means(bank, truth)
    into[way, len(grades), "topic"].append(100 * float(np.mean([abs(a - b) for a, b in zip(means, true, strict=True)])))


def topic_means(bank: Bank, truth: np.ndarray) -> list[float]:
    """True accuracies by topic."""
    return [float(truth[bank.topic == t].mean()) for t in range(len(bank.topics))]


def shown(errors: dict[tuple[str, int, str], list[list[float]]]) -> None:
    """Mean errors over models and seeds, with intervals over models (their seeds are averaged first)."""
    print("\n| questions | | error on all, points | by category | intervals on all hold, width | by category hold |")
    print("|---|---|---|---|---|---|")
    for count in (0, *COUNTS):
        for way in WAYS:
            if (way, count, "all") not in errors:
                continue
            cells = [interval(errors[way, count, what]) for what in ("all", "topic")]
            held = "| |"
            if (way, count, "held") in errors:
                means = [float(np.mean(errors[way, count, w])) for w in ("held", "width", "topics held")]
                held = f"| {means[0]:.0f}%, {means[1]:.1f} | {means[2]:.0f}% |"
            print(f"| {count} | {way} | {' | '.join(cells)} {held}")
    print("\nchosen, then drawn, less all drawn with the same posterior, points of error:")
    for count in COUNTS:
        for what in ("all", "topic"):
            ours, theirs = (np.array(errors[way, count, what]) for way in (WAYS[3], WAYS[2]))
            print(f"| {count} | {what} | {interval((ours - theirs).tolist())} |")


def interval(values: Sequence[Sequence[float]]) -> str:
    """A mean with its interval over models."""
    found = bootstrap_mean(np.array(values).mean(axis=1).tolist())
    return f"{found.mean:.2f} ({found.low:.2f} to {found.high:.2f})"


if __name__ == "__main__":
    main()
