"""What routers are measured between: the oracle, chance, and the mixture r_o(p) of both (RouterEval, section 3).

They see the test scores, so they are no routers and cannot be saved or run.
"""

from __future__ import annotations

import re

import numpy as np

from mar.controllers.routers.base import Floats, share
from mar.errors import ConfigError
from mar.evaluation.routereval.metrics import Metrics, entropy, metrics_of

_MIXTURE = re.compile(r"r_o_(\d*\.?\d+)")


def probability(name: str) -> float | None:
    """The p of a reference's name: oracle is 1, random 0, r_o_0.5 is 0.5; None for any other name.

    Raises:
        ConfigError: p is above 1.
    """
    if name in ("oracle", "random"):
        return float(name == "oracle")
    found = _MIXTURE.fullmatch(name)
    if found is None:
        return None
    if (p := float(found[1])) > 1:
        raise ConfigError(f"{name}: the probability is {p}; expected 0 to 1")
    return p


def mixture_values(scores: Floats, p: float) -> Floats:
    """Expected score on each prompt of the best LLM with probability p, else of one drawn uniformly; shape (n,).

    The published code draws 1,000 times; this is the mean that those draws scatter about.
    """
    return p * scores.max(axis=1) + (1 - p) * scores.mean(axis=1)


def mixture(scores: Floats, p: float, *, benchmark: str = "") -> Metrics:
    """The metrics of r_o(p); its distribution is p * scores / sum(scores) + (1 - p) / m."""
    mu = float(mixture_values(scores, p).mean(dtype=np.float64))
    distribution = (p * share(scores) + (1 - p) / scores.shape[1]).astype(np.float32)
    return metrics_of(mu, scores, entropy(distribution), benchmark=benchmark)
