# pyright: basic
"""Recorded answers beside a simulated copy of them: the acceptance of a version of the simulator (--check).

MMLU-Pro: the half of the questions that likelihood, accuracies, silences, maps and loadings were not fitted on, and the
strongest models. Three numbers were set by looking at copies of both halves: the strength of a question's length and
the two multipliers in `_topics`; rows that they decide are marked. MBPP: all prompts, whose spreads were fitted on
them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from _answer_statistics import kendall, outcome_statistics, policies, router_gain, statistics_of
from _cited import Study
from _mistakes import STRONGEST
from _outcomes import Choices, load_choices, load_mbpp
from _simulated_copy import copy_of, profiles
from _topics import told_by_texts

from mar.pool.simulated.assumptions import DEFAULT
from mar.pool.simulated.topics import Encoder
from mar.tasks import mmlu_pro

SEEDS = range(3)
TOLERANCE = 0.02
UTILITY_TOLERANCE = 0.015


def check(data: Path, encoder: Encoder) -> bool:
    """Print every row and whether all of them hold."""
    held, copies = _copies(load_choices(data), encoder)
    vectors = encoder.encode(held.texts).astype(np.float64)
    print(f"MMLU-Pro: {len(held.gold)} held-out questions, {STRONGEST} models, mean of {len(copies)} simulated copies")
    fine = _compare(statistics_of(held), [statistics_of(c) for c in copies], TOLERANCE)
    gain, error = router_gain(held, vectors)
    simulated = float(np.mean([router_gain(c, vectors)[0] for c in copies]))
    fine &= abs(gain - simulated) <= error
    title = "ridge router on texts over the best single (tuned)"
    print(f"   {title}: {gain:+.4f} (standard error {error:.4f}) {simulated:+.4f}")
    told = [_told(c, vectors) for c in (held, *copies)]
    print(f"   variance of gains that texts tell (no tolerance): {told[0]:.4f} {np.mean(told[1:]):.4f}")
    print("Utility of simple policies, the same questions and copies")
    recorded, worth = policies(held, vectors), [policies(c, vectors) for c in copies]
    means = {name: float(np.mean([w[name] for w in worth])) for name in recorded}
    fine &= _compare(recorded, worth, UTILITY_TOLERANCE)
    tau = kendall(list(recorded.values()), [means[name] for name in recorded])
    print(f"   Kendall's tau of the two rankings: {tau:.2f}")
    print("MBPP, 11 models")
    return fine & (tau >= 0.8) & _mbpp(data)


def _told(data: Choices, vectors: np.ndarray) -> float:
    return told_by_texts(vectors, data.right, np.array(data.words())).explained


def _copies(recorded: Choices, encoder: Encoder) -> tuple[Choices, list[Choices]]:
    count = len(recorded.gold)
    half = recorded.only(np.arange(0, count, 2))
    chosen = half.strongest(STRONGEST)
    fitted = half.only(np.arange(len(half.gold)), chosen)
    held = recorded.only(np.arange(1, count, 2), chosen)
    told = told_by_texts(encoder.encode(fitted.texts).astype(np.float64), fitted.right, np.array(fitted.words()))
    loadings = told.loadings("mmlu_pro")
    unknown = 1 - fitted.right.mean(axis=0)
    known = profiles(
        held.models,
        held.families,
        fitted.right.mean(axis=0).tolist(),
        "mmlu_pro",
        silence=dict(zip(held.models, ((fitted.answers < 0).mean(axis=0) / unknown).tolist(), strict=True)),
        loadings={m: loadings[:, k].tolist() for k, m in enumerate(held.models)},
    )
    return held, [copy_of(held, known, encoder, mmlu_pro.RHO, DEFAULT, seed) for seed in SEEDS]


def _mbpp(data: Path) -> bool:
    recorded = load_mbpp(data)
    solved = recorded.successes.astype(np.float64)
    order = np.argsort(-solved.mean(axis=0), kind="stable")
    known = profiles(recorded.models, recorded.families, solved.mean(axis=0).tolist(), "mbpp")
    found = []
    for seed in SEEDS:
        study = Study(known, "Code", "mbpp", count=2000, seed=seed)
        rows = [[study.right([study.ask(i, recorded.models[m], number=0)]) for m in order] for i in study.items]
        found.append(outcome_statistics(np.array(rows, dtype=np.float64)))
    return _compare(outcome_statistics(solved[:, order]), found, TOLERANCE)


def _compare(recorded: Mapping[str, float], simulated: Sequence[Mapping[str, float]], tolerance: float) -> bool:
    fine = True
    for name, value in recorded.items():
        mean = float(np.mean([s[name] for s in simulated]))
        off = abs(mean - value) > tolerance
        fine &= not off
        print(f"   {name:66} {value:6.3f} {mean:6.3f} {mean - value:+.3f}{'  beyond the tolerance' if off else ''}")
    return fine
