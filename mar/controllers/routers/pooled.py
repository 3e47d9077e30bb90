# pyright: basic
"""A ridge regression of scores with holes: what a log has, where each prompt was answered by one LLM or two.

Every LLM's score is a mean, plus what the prompt adds for all of them (its difficulty), plus what the LLM adds for all
prompts, plus what it adds along the prompts' principal directions. The last two are drawn to 0, the rarer an LLM the
more: its column is borrowed from the others until it has answers of its own. That is a hierarchical model with normal
priors, whose posterior mean is a ridge regression in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mar.controllers.routers.base import Examples, Floats, Prompts, fitted

SHARES = (0.02, 0.2, 1.0)  # of the greatest variance of what LLMs are good at
PRIOR = 0.2  # the noise's variance beforehand, which counts like one score
NOTHING = 1e-9  # a variance of as good as 0
EMPTY = 0.5  # the score of an LLM where no score is known at all


@dataclass(kw_only=True)
class Pooled:
    """Expected scores; unknown ones (NaN) are left out.

    Variances beforehand are in units of the noise's; prompts lie one unit from their centre in the mean. How much LLMs
    differ in what they are good at is the one that decides how much is routed; the evidence picks it from SHARES.
    """

    directions: int = 16  # principal directions of the embeddings
    difficulty: float = 0.15  # variance of what a prompt adds for all
    level: float = 0.1  # of what an LLM adds for all prompts
    special: float = 0.05  # of what an LLM adds along the directions, at most; 0: one LLM is the best of all prompts
    caution: float = 0.0  # standard deviations of an LLM's level by which it is taken to be worse: fewer answers, more

    def fit(self, train: Examples, validation: Examples) -> None:
        """Fit on all known scores; nothing is left to choose on validation."""
        basis, centre = directions_of(train.vectors, self.directions)
        rows, llms = np.nonzero(~np.isnan(train.targets))
        features = (train.vectors[rows] - centre) @ basis
        known = train.targets[rows, llms].astype(np.float64)
        mean = float(known.mean()) if len(known) else EMPTY
        m, d = train.targets.shape[1], basis.shape[1]
        found, unsure = self._posterior(_design(features, llms, m), known - mean, m, d)
        weights, levels = found[:d, None] + found[d + m :].reshape(m, d).T, found[d : d + m]
        self.weights_ = (basis @ weights).astype(np.float32)
        self.bias_ = (mean + levels - self.caution * unsure - centre @ basis @ weights).astype(np.float32)

    def score(self, prompts: Prompts) -> Floats:
        """Expected scores, shape (n, m)."""
        return prompts.vectors @ fitted(self, "weights_") + fitted(self, "bias_")

    def _posterior(
        self, design: npt.NDArray[np.float64], targets: npt.NDArray[np.float64], m: int, d: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Means of all coefficients, and standard deviations of the levels, where the evidence is greatest."""
        squares, moments, total = design.T @ design, design.T @ targets, float(targets @ targets)
        best = (-np.inf, np.zeros(len(moments)), np.full(m, np.sqrt(self.level)))
        for share in SHARES:
            special = max(self.special * share, NOTHING)
            variances = np.repeat([self.difficulty, self.level, special], [d, m, m * d])
            precision = squares + np.diag(1 / variances)
            inverse = np.linalg.inv(precision)
            means = inverse @ moments
            noise = (total - float(moments @ means) + PRIOR) / (len(targets) + 1)
            determinant = np.linalg.slogdet(precision)[1] + np.log(variances).sum()
            evidence = -(len(targets) * np.log(noise) + determinant) / 2
            if evidence > best[0]:
                best = (evidence, means, np.sqrt(noise * np.diag(inverse)[d : d + m]))
        return best[1], best[2]


def _design(features: npt.NDArray[np.float64], llms: npt.NDArray[np.int64], m: int) -> npt.NDArray[np.float64]:
    """What a prompt adds, what its LLM adds, and what the LLM adds along the directions."""
    n, d = features.shape
    found = np.zeros((n, d + m + m * d))
    found[:, :d] = features
    found[np.arange(n), d + llms] = 1.0
    found[np.arange(n)[:, None], d + m + llms[:, None] * d + np.arange(d)] = features
    return found


def directions_of(vectors: Floats, most: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Principal directions, (width, at most `most`), scaled so that vectors lie one unit from their centre, (width,).

    Without vectors, or where all are equal, there are none that tell prompts apart.
    """
    if not len(vectors):
        return np.zeros((vectors.shape[1], 0)), np.zeros(vectors.shape[1])
    centre: npt.NDArray[np.float64] = np.asarray(vectors.mean(axis=0, dtype=np.float64))
    centred = vectors - centre
    _, basis = np.linalg.eigh(centred.T @ centred)
    kept: npt.NDArray[np.float64] = basis[:, ::-1][:, :most].astype(np.float64)
    spread = float(np.sqrt(((centred @ kept) ** 2).sum(axis=1).mean()))
    return kept / max(spread, 1e-9), centre
