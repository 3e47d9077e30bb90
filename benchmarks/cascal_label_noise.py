# pyright: basic
"""The paper's main experiment in small: query-answer against query-only routers as labels get worse.

    MAR_DATA=... python benchmarks/cascal_label_noise.py [--picture FILE]

Recorded MMLU-Pro answers of the ten middle models; a share of the labels that query-answer routers learn from is
replaced by another option, 0 to 60%; query-only routers never see labels, so theirs is one number.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from _shared import ROOT, RUNS, data_folder, machine
from safetensors.numpy import load_file

from mar.controllers.cascal import Responses
from mar.controllers.cascal.labelled import QUERY_ANSWER, QueryAnswer, query_answer_scores
from mar.controllers.cascal.responses import Floats
from mar.controllers.cascal.skills import Vectors
from mar.controllers.embeddings import MiniLM
from mar.evaluation.generated import judge, percent
from mar.evaluation.plots import plot_lines
from mar.evaluation.recorded import Recorded, read_recorded, split_rows
from mar.evaluation.statistics import Interval, bootstrap_mean
from mar.learning.generated.consensus import Consensus, learn, score_responses

NOISE = (0.0, 0.15, 0.3, 0.45, 0.6)
QUERY_ONLY: dict[str, Consensus] = {"CASCAL, families (ours)": "families", "CASCAL (paper, mended)": "consensus"}
Lines = dict[str, list[tuple[float, Interval]]]
Gold = npt.NDArray[np.int64]


def noisy(gold: Gold, options: npt.NDArray[np.int64], share: float, rng: np.random.Generator) -> Gold:
    """Labels of which a share is replaced by another option."""
    other = (gold + rng.integers(1, np.maximum(options, 2))) % np.maximum(options, 1)
    return np.where(rng.random(len(gold)) < share, other, gold)


def top1(scores: Floats, test: Responses, gold: Gold) -> list[float]:
    """Whether the best model by these scores is right, by question."""
    right = judge("", scores, test, gold).top1
    assert right is not None
    return right.tolist()


def query_only(
    kind: Consensus, train: Responses, subjects: Sequence[str], vectors: Vectors, test: Vectors, seed: int
) -> Floats:
    """Scores of a router that sees no labels."""
    scored = score_responses(train, kind, seed=seed)
    return learn(train, scored, kind, subjects, vectors, encoder=MiniLM.name).routes(test).scores


def add(lines: Lines, name: str, x: float, values: list[float]) -> None:
    """One point of a line."""
    lines.setdefault(name, []).append((x, bootstrap_mean(values, draws=500)))
    print(f"{name} at {x:g}: {percent(lines[name][-1][1])}", flush=True)


def noisy_labels(recorded: Recorded, vectors: Vectors, questions: int, seeds: int) -> Lines:
    """Label noise on recorded answers."""
    lines: Lines = {}
    everyone = recorded.responses.of(recorded.group("middle"))
    found: dict[tuple[str, float], list[float]] = {}
    for seed in range(seeds):
        parts = split_rows(len(recorded.gold), seed)
        rows, rng = parts.train[:questions], np.random.default_rng(seed)
        train, test = everyone.take(rows), everyone.take(parts.test)
        gold, subjects = recorded.gold[parts.test], [recorded.subjects[i] for i in rows]
        for name, kind in QUERY_ONLY.items():
            scores = query_only(kind, train, subjects, vectors[rows], vectors[parts.test], seed)
            for noise in NOISE:
                found.setdefault((name, noise), []).extend(top1(scores, test, gold))
        for noise in NOISE:
            labels = train.choices == noisy(recorded.gold[rows], train.options, noise, rng)[:, None]
            for kind in QUERY_ANSWER:
                scores = query_answer_scores(kind, labels, vectors[rows], vectors[parts.test], seed=seed)
                found.setdefault((_title(kind), noise), []).extend(top1(scores, test, gold))
    for (name, noise), values in sorted(found.items()):
        add(lines, name, 100 * noise, values)
    return lines


def _title(kind: QueryAnswer) -> str:
    return f"{kind} (query-answer)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=2000, help="training questions")
    parser.add_argument("--seeds", type=int, default=5, help="splits")
    parser.add_argument("--picture", type=Path, default=ROOT / "docs", help="folder of the pictures")
    options = parser.parse_args()
    path = RUNS / "cascal" / "vectors.safetensors"
    if not path.is_file():
        raise SystemExit("no vectors of the questions yet; benchmarks/cascal_mmlu_pro.py makes them")
    print(machine())
    lines = noisy_labels(read_recorded(data_folder()), load_file(path)["vectors"], options.questions, options.seeds)
    title = "Recorded MMLU-Pro answers, ten middle models"
    where = options.picture / "cascal_label_noise.png"
    plot_lines(lines, where, title=title, x="labels replaced, %", y="top-1 accuracy %")


if __name__ == "__main__":
    main()
