# pyright: basic
"""What a text tells about who answers it right: part 3 of fit_simulator.py.

A ridge regression on sentence embeddings: of an item's difficulty beyond its size, and of what every model gains on it
beyond its mean and the item's. The first principal components of the latter's predictions are the topics. What a
standard deviation of a topic is worth to a model is a regression on coordinates that were predicted for items left out,
so nothing is read into texts that they do not tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _difficulty import others
from _mistakes import STRONGEST
from _outcomes import load_choices, load_mbpp, read_lines
from numpy.typing import NDArray
from safetensors.numpy import save_file

from mar.pool.simulated import difficulty_from_complexity
from mar.pool.simulated.accuracy import mean_accuracy, solve_theta
from mar.pool.simulated.assumptions import DEFAULT, TopicEffects
from mar.pool.simulated.topics import Encoder, TopicMap, Vectors

Array = NDArray[np.float64]
TOLD_AGAIN, GAINED_AGAIN = 1.6, 1.3
"""What the correlation with difficulty and the loadings are multiplied by. Who reads texts on a simulated copy has to
learn the map again; with these, a copy of MMLU-Pro shows the recorded correlation, and a router the recorded gain."""
TOPICS = 6  # kept: further ones tell nothing that held-out answers confirm
RIDGES = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What texts were found to tell."""

    weights: Array  # from embeddings to coordinates, (384, 1 + topics)
    offset: Array  # (1 + topics,)
    difficulty: float  # correlation of difficulty with the first coordinate, held out
    effects: Array  # what a standard deviation of each topic adds to each model's share of right answers, (topics, M)
    explained: float  # share of the variance of gains that is told, held out
    accuracy: Array  # of each model, (M,)

    def loadings(self, benchmark: str) -> Array:
        """Effects in logits, (topics, M)."""
        return GAINED_AGAIN * self.effects / _slopes(self.accuracy, benchmark)


def told_by_texts(vectors: Array, solved: Array, complexity: Array, *, folds: int = 5) -> Told:
    """What texts tell of outcomes.

    Args:
        vectors: Embeddings, (n, 384).
        solved: Share of attempts that were right, (n, M).
        complexity: What the task's module takes for an item's size, (n,).
        folds: Of the cross-validation.
    """
    hard = np.array(difficulty_from_complexity((-solved.mean(axis=1)).tolist()))
    size = np.array(difficulty_from_complexity(complexity.tolist()))
    rest = hard - size * float(size @ hard) / max(float(size @ size), 1e-12)
    gains = solved - solved.mean(axis=1, keepdims=True) - solved.mean(axis=0) + solved.mean()
    first, first_predicted = _best(vectors, rest[:, None], folds)
    ridge, predicted = _best(vectors, gains, folds)
    main, main_offset = _direction(vectors, rest, first)
    middle = vectors.mean(axis=0)
    slopes = _ridge(vectors - middle, gains, ridge)
    _, _, axes = np.linalg.svd((vectors - middle) @ slopes, full_matrices=False)
    weights = slopes @ axes[:TOPICS].T
    weights = weights / ((vectors - middle) @ weights).std(axis=0)
    told = (predicted - predicted.mean(axis=0)) @ axes[:TOPICS].T
    effects = np.linalg.lstsq(told / told.std(axis=0), gains, rcond=None)[0]
    explained = 1 - float(((gains - predicted) ** 2).sum() / (gains**2).sum())
    if explained <= 0:  # nothing is told of who is better
        weights, effects = weights[:, :0], effects[:0]
    return Told(
        weights=np.column_stack([main, weights]),
        offset=np.r_[main_offset, middle @ weights],
        difficulty=max(float(np.corrcoef(first_predicted[:, 0], rest)[0, 1]), 0.0),
        effects=effects,
        explained=explained,
        accuracy=solved.mean(axis=0),
    )


def _direction(vectors: Array, target: Array, ridge: float) -> tuple[Array, float]:
    middle = vectors.mean(axis=0)
    slope = _ridge(vectors - middle, (target - target.mean())[:, None], ridge)[:, 0]
    slope = slope / ((vectors - middle) @ slope).std()
    return slope, float(middle @ slope)


def _best(vectors: Array, target: Array, folds: int) -> tuple[float, Array]:
    """The ridge with the least squared error in cross-validation, and its predictions."""
    tried = {ridge: _predicted(vectors, target, ridge, folds) for ridge in RIDGES}
    best = min(tried, key=lambda ridge: float(((target - tried[ridge]) ** 2).sum()))
    return best, tried[best]


def _predicted(vectors: Array, target: Array, ridge: float, folds: int) -> Array:
    found = np.zeros_like(target)
    for fold in range(folds):
        out = np.arange(len(target)) % folds == fold
        middle, mean = vectors[~out].mean(axis=0), target[~out].mean(axis=0)
        found[out] = mean + (vectors[out] - middle) @ _ridge(vectors[~out] - middle, target[~out] - mean, ridge)
    return found


def _ridge(x: Array, y: Array, strength: float) -> Array:
    return np.asarray(np.linalg.solve(x.T @ x + strength * np.eye(x.shape[1]), x.T @ y), dtype=np.float64)


def fit_topics(data: Path, encoder: Encoder) -> dict[str, tuple[TopicMap, TopicEffects]]:
    """Maps and effects of all benchmarks; of MMLU-Pro half of the questions are used.

    MATH has no recorded outcomes, and MMLU's are of seven models of two families, which differ by topic as little as
    chance would have it; both take MMLU-Pro's, standardised over their own texts.
    """
    recorded = load_choices(data)
    half = recorded.only(np.arange(0, len(recorded.gold), 2))
    chosen = half.only(np.arange(len(half.gold)), half.strongest(STRONGEST))
    told = {
        "mmlu_pro": told_by_texts(
            encoder.encode(chosen.texts).astype(np.float64), chosen.right, np.array(chosen.words())
        )
    }
    measured = {found.name: found for found in others(data)}
    for name in ("gsm8k", "humaneval"):
        found = measured[name]
        solved = found.outcomes.successes / found.outcomes.attempts
        vectors = encoder.encode(found.texts).astype(np.float64)
        told[name] = told_by_texts(vectors, solved, np.array(found.complexity))
    prompts = [row["prompt"] for row in read_lines(data / "outcomes/routerbench_mbpp/mbpp.jsonl.gz")]
    size_unknown = np.zeros(len(prompts))  # most prompts are no MBPP text to the letter
    solved = load_mbpp(data).successes.astype(np.float64)
    told["mbpp"] = told_by_texts(encoder.encode(prompts).astype(np.float64), solved, size_unknown)
    fitted = {name: (map_of(t), effects_of(t, name)) for name, t in told.items()}
    files = [data / f"benchmarks/MATH/{part}.jsonl" for part in ("train", "test")]
    problems = [row["problem"] for file in files for row in read_lines(file)]
    for name, texts in (("mmlu", measured["mmlu"].texts), ("math", problems)):
        fitted[name] = borrowed(*fitted["mmlu_pro"], encoder.encode(texts))
    return fitted


def map_of(told: Told) -> TopicMap:
    """As it is packaged."""
    return TopicMap(weights=told.weights.astype(np.float32), offset=told.offset.astype(np.float32))


def effects_of(told: Told, benchmark: str) -> TopicEffects:
    """In logits: over models, the spread of what a standard deviation of each topic is worth."""
    loadings = told.loadings(benchmark)
    difficulty = min(TOLD_AGAIN * told.difficulty, 0.9)
    return TopicEffects(difficulty=difficulty, loadings=tuple(np.sqrt((loadings**2).mean(axis=1)).tolist()))


def _slopes(accuracies: Array, benchmark: str) -> Array:
    """What a logit is worth of each model's share of right answers, (M,)."""
    spread = DEFAULT.spreads[benchmark]
    options = {"mmlu": 4, "mmlu_pro": 10}.get(benchmark, 0)

    def accuracy(theta: float) -> float:
        return mean_accuracy(theta, spread, DEFAULT, silence=0.03, options=options)

    thetas = [solve_theta(a, spread, DEFAULT, silence=0.03, options=options) for a in accuracies]
    return np.array([(accuracy(t + 0.1) - accuracy(t - 0.1)) / 0.2 for t in thetas])


def borrowed(topics: TopicMap, effects: TopicEffects, vectors: Vectors) -> tuple[TopicMap, TopicEffects]:
    """A map and its effects on other texts: with mean 0 and variance 1 there, and as much smaller as they vary less."""
    there = topics(vectors)
    spread = there.std(axis=0).astype(np.float32)
    moved = TopicMap(
        weights=topics.weights / spread, offset=((topics.offset + there.mean(axis=0)) / spread).astype(np.float32)
    )
    loadings = tuple(float(size * s) for size, s in zip(effects.loadings, spread[1:], strict=True))
    return moved, TopicEffects(difficulty=float(min(effects.difficulty * spread[0], 0.9)), loadings=loadings)


def write_topics(maps: Mapping[str, TopicMap], path: Path) -> None:
    """The file that ships with mar."""
    arrays = {f"{n}.weights": np.ascontiguousarray(m.weights) for n, m in sorted(maps.items())}
    save_file(arrays | {f"{n}.offset": m.offset for n, m in sorted(maps.items())}, path)


def show_topics(fitted: Mapping[str, tuple[TopicMap, TopicEffects]]) -> None:
    """Part 3, second half."""
    print("   What texts tell: correlation with difficulty beyond the item's size; loadings in logits by topic")
    for name, (_, effects) in fitted.items():
        packaged = DEFAULT.topics.get(name)
        stated = "" if packaged is None else f"   packaged {_numbers(packaged)}"
        print(f"      {name:10} {_numbers(effects)}{stated}")


def _numbers(effects: TopicEffects) -> str:
    return f"{effects.difficulty:.2f}; {' '.join(f'{x:.2f}' for x in effects.loadings)}"
