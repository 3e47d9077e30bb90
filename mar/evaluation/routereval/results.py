"""One router on one routing problem: what it chose, what that is worth, how long it took."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mar.controllers.routers.base import Floats, Router, choose, distribution, prior
from mar.errors import DataError
from mar.evaluation.routereval.construct import RoutingSet
from mar.evaluation.routereval.metrics import Metrics, measure
from mar.evaluation.routereval.references import mixture, mixture_values

SINGLE = "best single"  # the LLM that was best in training: what every router is compared with


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one router reached on one problem."""

    router: str
    metrics: Metrics
    values: Floats  # (n,) score of the chosen LLM on each test prompt
    fit_s: float = 0.0  # seconds to fit
    score_s: float = 0.0  # seconds to score all test prompts


def run_router(
    router: Router, problem: RoutingSet, *, name: str, published_ties: bool = False, seed: int = 0
) -> Measured:
    """Fit on train, choose on test.

    Args:
        router: A fresh one.
        problem: What to route.
        name: How tables call the router.
        published_ties: Give ties to the first column, as the published code does.
        seed: Of the chance that settles ties which the training mean leaves.

    Raises:
        DataError: The router's scores have the wrong shape or are not finite.
    """
    begin = time.perf_counter()
    router.fit(problem.train, problem.validation)
    fitted = time.perf_counter()
    scores = checked(router.score(problem.test), problem.test.scores.shape, name)
    end = time.perf_counter()
    chosen = choose(scores, None if published_ties else prior(problem.train), seed=seed)
    metrics = measure(
        problem.test.scores, chosen, distribution(router, problem.test, scores), benchmark=problem.benchmark
    )
    values = problem.test.scores[np.arange(len(chosen)), chosen]
    return Measured(router=name, metrics=metrics, values=values, fit_s=fitted - begin, score_s=end - fitted)


def run_reference(p: float, problem: RoutingSet, *, name: str) -> Measured:
    """r_o(p): the oracle, chance, or between."""
    scores = problem.test.scores
    metrics = mixture(scores, p, benchmark=problem.benchmark)
    return Measured(router=name, metrics=metrics, values=mixture_values(scores, p))


def run_single(problem: RoutingSet) -> Measured:
    """The LLM that was best in training, for every prompt: what a router has to beat."""
    best = int(np.argmax(prior(problem.train)))
    scores = problem.test.scores
    certain = np.zeros_like(scores)
    certain[:, best] = 1
    metrics = measure(scores, np.full(len(scores), best), certain, benchmark=problem.benchmark)
    return Measured(router=SINGLE, metrics=metrics, values=scores[:, best])


def checked(scores: Floats, shape: Sequence[int], name: str) -> Floats:
    """A router's scores as floats.

    Raises:
        DataError: They have another shape, or are not finite.
    """
    found = np.asarray(scores, dtype=np.float32)
    if found.shape != tuple(shape):
        raise DataError(f"router {name}: scores of shape {found.shape}; expected {tuple(shape)}")
    if not np.isfinite(found).all():
        raise DataError(f"router {name}: {int((~np.isfinite(found)).sum())} scores are not finite")
    return found
