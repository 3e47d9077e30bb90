# pyright: basic
"""The paper's main experiment in small: query-answer against query-only routers as the generator gets worse.

    MAR_DATA=... python benchmarks/cascal_generators.py [--part recorded simulated] [--picture FILE]

Recorded: MMLU-Pro answers of the ten middle models; a share of the labels that query-answer routers learn from is
replaced by another option, 0 to 60%; query-only routers never see labels, so theirs is one number. Simulated:
generators of falling skill hand out questions of MMLU-Pro with four options, the simulated pool answers them (made-up
answers), and all routers are tested on simulated answers to held-out questions.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from _shared import ROOT, RUNS, data_folder, machine
from safetensors.numpy import load_file

from mar import clock
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
from mar.learning.generated.records import Journal, Question
from mar.learning.generated.respond import RespondSettings, respond, to_responses
from mar.learning.generated.simulated import SimulatedGenerator, question_world
from mar.learning.progress import Progress
from mar.pool.simulated import simulated_pool
from mar.tasks.mmlu_pro import MmluPro

NOISE = (0.0, 0.15, 0.3, 0.45, 0.6)
SKILLS = (1.0, 0.8, 0.6, 0.4)
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


def recorded_part(recorded: Recorded, vectors: Vectors, questions: int, seeds: int) -> Lines:
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


def simulated_part(data: Path, vectors: Vectors, questions: int) -> Lines:
    """Generators of falling skill on the simulated pool."""
    items = MmluPro.load(data=data).all_items
    at = {i.question: n for n, i in enumerate(items)}
    chosen = [i for i in items if len(set(i.options)) >= 4]
    order = np.random.default_rng(0).permutation(len(chosen))
    whole = [
        Question(question_id=i.id, category=i.category, question=i.question, options=i.options, answer=i.gold)
        for i in (chosen[k] for k in order)
    ]
    source, held_out = whole[:-600], whole[-600:]
    subjects = sorted({q.category for q in source})
    keys = [(subjects[k % len(subjects)], k // len(subjects)) for k in range(questions)]
    lines: Lines = {}
    for skill in SKILLS:
        generator = SimulatedGenerator(source, skill=skill)
        pairs = [
            (f"{s}/{n}.0", generator.question(s, f"{s}/{n}.0"), generator.believed(s, f"{s}/{n}.0")) for s, n in keys
        ]
        truths = [q for _, q, _ in pairs if q is not None]
        believed = np.array([b for _, q, b in pairs if q is not None])
        train, test = answers(truths, held_out)
        train_vectors = vectors[[at[q.question] for q in truths]]
        test_vectors = vectors[[at[q.question] for q in held_out]]
        gold, labels = np.array([q.answer_index for q in held_out]), train.choices == believed[:, None]
        for name, kind in QUERY_ONLY.items():
            scores = query_only(kind, train, [q.category for q in truths], train_vectors, test_vectors, 0)
            add(lines, name, 100 * skill, top1(scores, test, gold))
        for kind in QUERY_ANSWER:
            scores = query_answer_scores(kind, labels, train_vectors, test_vectors)
            add(lines, _title(kind), 100 * skill, top1(scores, test, gold))
    return lines


def answers(train: Sequence[Question], test: Sequence[Question]) -> tuple[Responses, Responses]:
    """The simulated pool's answers."""
    pool = simulated_pool(question_world([*train, *test]))

    async def ask() -> tuple[Responses, Responses]:
        tables: list[Responses] = []
        for questions in (train, test):
            journal = Journal(RUNS / "cascal" / "simulated.journal.jsonl")
            journal.path.unlink(missing_ok=True)
            settings = RespondSettings(concurrency=256)
            answered = await respond(pool, pool.names, questions, journal, settings, Progress(quiet=True))
            tables.append(to_responses(questions, pool.names, answered))
        return tables[0], tables[1]

    return clock.run(ask, virtual=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", default=["recorded", "simulated"], choices=["recorded", "simulated"])
    parser.add_argument("--questions", type=int, default=2000, help="training questions")
    parser.add_argument("--seeds", type=int, default=5, help="splits of the recorded part")
    parser.add_argument("--picture", type=Path, default=ROOT / "docs", help="folder of the pictures")
    options = parser.parse_args()
    path = RUNS / "cascal" / "vectors.safetensors"
    if not path.is_file():
        raise SystemExit("no vectors of the questions yet; benchmarks/cascal_mmlu_pro.py makes them")
    vectors, data = load_file(path)["vectors"], data_folder()
    print(machine())
    if "recorded" in options.part:
        lines = recorded_part(read_recorded(data), vectors, options.questions, options.seeds)
        title = "Recorded MMLU-Pro answers, ten middle models"
        where = options.picture / "cascal_label_noise.png"
        plot_lines(lines, where, title=title, x="labels replaced, %", y="top-1 accuracy %")
    if "simulated" in options.part:
        lines = simulated_part(data, vectors, options.questions)
        title = "Simulated pool: answers are made up by a fitted model"
        where = options.picture / "cascal_generators.png"
        plot_lines(lines, where, title=title, x="generator's right answers, %", y="top-1 accuracy %")


if __name__ == "__main__":
    main()
