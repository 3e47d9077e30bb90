"""RouterEval's four metrics (arXiv 2503.10657, section 3) and the reference accuracies that one of them divides by.

- mu_o: mean score of the LLM that was chosen.
- V_R: mu_o over the accuracy of a reference model on that benchmark.
- V_B: mu_o over the mean score of the best single candidate on the same test prompts, chosen in hindsight.
- E_p: mean entropy, in bits, of the router's distribution over the candidates.

E_p does not compare between kinds of routers. In the published code each baseline turns something else into a
distribution: kNN takes a softmax of mean scores, which lie between 0 and 1, so it is nearly uniform whatever it knows
(2.30 of at most 2.32 bits with five LLMs); the linear and the MLP router take a softmax of logits, which have no
bounds; the clusters take inverse distances, and count only LLMs that are best in some cluster; the MLC takes shares
of positive logits; the oracle takes the true scores themselves. So compare E_p between settings of one router, not
between two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mar.controllers.routers.base import Floats, Indices
from mar.errors import DataError

REFERENCE: Mapping[str, float] = {
    "arc": 0.852,
    "hellaswag": 0.953,
    "mmlu": 0.864,
    "truthfulqa": 0.669,
    "winogrande": 0.875,
    "gsm8k": 0.92,
    "ifeval": 0.7689,
    "bbh": 0.8303,
    "gpqa": 0.397,
    "math": 0.4,
    "musr": 0.699,
    "mmlu_pro": 0.637,
    "mmlu_pro_query": 0.637,
}
"""Accuracy of the reference model of each benchmark, as published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """What a router reached on a test set. NaN: not defined here."""

    mu: float  # mu_o, 0 to 1
    vr: float  # V_R; NaN where the benchmark has no reference
    vb: float  # V_B; NaN where every candidate scores 0
    ep: float  # E_p, bits


def measure(scores: Floats, chosen: Indices, distribution: Floats, *, benchmark: str = "") -> Metrics:
    """The metrics of a choice.

    Args:
        scores: What every LLM scored on the test prompts, shape (n, m).
        chosen: The column picked for each prompt, shape (n,).
        distribution: The router's probabilities, shape (n, m); each row sums to 1.
        benchmark: Name whose reference accuracy V_R divides by.

    Raises:
        DataError: The distribution is none.
    """
    if distribution.shape != scores.shape or not np.allclose(distribution.sum(axis=1), 1, atol=1e-3):
        raise DataError(f"a distribution of shape {distribution.shape}; expected {scores.shape}, rows that sum to 1")
    mu = float(scores[np.arange(len(scores)), chosen].mean(dtype=np.float64))
    return metrics_of(mu, scores, entropy(distribution), benchmark=benchmark)


def metrics_of(mu: float, scores: Floats, ep: float, *, benchmark: str = "") -> Metrics:
    """The metrics, given the mean score of the choice and the entropy."""
    best = float(scores.mean(axis=0, dtype=np.float64).max())
    reference = REFERENCE.get(benchmark, np.nan)
    return Metrics(mu=mu, vr=mu / reference, vb=mu / best if best > 0 else np.nan, ep=ep)


def entropy(distribution: Floats) -> float:
    """Mean entropy of the rows, in bits."""
    p = distribution.astype(np.float64)
    logs = np.log2(p, out=np.zeros_like(p), where=p > 0)
    return float(-(p * logs).sum(axis=1).mean()) + 0.0  # no negative zero
