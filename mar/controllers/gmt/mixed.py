# pyright: basic
"""Mixed-effects logistic regression on pairs: every effect has an owner, and a Gaussian prior shared by all owners.

A row's score is the sum over terms of x_i . c[owner_i], where x_i are the row's features in that term and c[o] ~ N(0,
S) are the coefficients of owner o (one owner: a population effect; one per user: a personal effect, and so on). Rows
say how likely a beats b: P = sigmoid(score). Three steps, repeated: all coefficients at their joint mode (L-BFGS in
whitened coordinates), each owner's posterior covariance at the mode (Laplace, given the other terms), each term's
prior covariance S at its expectation (EM). An effect for which the data speak against variation shrinks to nothing by
itself, which is what shrinkage in Bradley-Terry models with few votes a user needs; nothing is tuned on held-out
votes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from mar.controllers.gmt.comparisons import Floats, Ints

ROUGH, FINAL = 40, 300  # iterations of L-BFGS
FLOOR = 1e-4  # smallest prior variance, so that covariances can be inverted
Shape = Literal["fixed", "isotropic", "full"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One kind of effect on n rows."""

    name: str
    owner: Ints  # (n,), from 0
    owners: int  # how many there are
    x: Floats  # (n, d) features
    parts: tuple[tuple[int, Shape], ...]  # the features' kinds, in order: how many, and how their prior is learned


@dataclass(slots=True, kw_only=True)
class Fitted:
    """Coefficients and priors by term."""

    coefficients: dict[str, Floats]  # (owners, d)
    prior: dict[str, Floats]  # (d, d) covariance


def fit(
    terms: Sequence[Term],
    target: Floats,
    weight: Floats,
    prior: dict[str, Floats],
    *,
    rounds: int,
    start: Fitted | None = None,
) -> Fitted:
    """Coefficients at their joint mode, and priors learned over `rounds` of EM.

    Args:
        terms: The effects.
        target: (n,) 1 where a was preferred, 0 where b, 0.5 at a tie.
        weight: (n,) of each row.
        prior: Covariance (d, d) that each term starts from.
        rounds: Of EM; 0 keeps the priors.
        start: Coefficients to start from.
    """
    fitted = Fitted(coefficients={} if start is None else dict(start.coefficients), prior=dict(prior))
    for _ in range(rounds):
        # Near the mode is enough to learn priors from; the last search goes all the way.
        fitted.coefficients = _mode(terms, target, weight, fitted, iterations=ROUGH)
        score = sum(score_of(t, fitted.coefficients[t.name]) for t in terms)
        p = expit(score)
        curvature = weight * p * (1 - p)
        for term in terms:
            fitted.prior[term.name] = _expected_prior(term, curvature, fitted)
    fitted.coefficients = _mode(terms, target, weight, fitted, iterations=FINAL)
    return fitted


def score_of(term: Term, coefficients: Floats) -> Floats:
    """A term's part of each row's score, shape (n,)."""
    return np.einsum("nd,nd->n", term.x, coefficients[term.owner])


def _mode(
    terms: Sequence[Term], target: Floats, weight: Floats, fitted: Fitted, *, iterations: int
) -> dict[str, Floats]:
    """The coefficients that maximise the posterior."""
    roots = [np.linalg.cholesky(fitted.prior[t.name]) for t in terms]
    whitened = [t.x @ root for t, root in zip(terms, roots, strict=True)]
    shapes = [(t.owners, t.x.shape[1]) for t in terms]
    ends = np.cumsum([0, *(a * b for a, b in shapes)])
    sums = [_summing(t) for t in terms]

    def loss(flat: Floats) -> tuple[float, Floats]:
        parts = [flat[i:j].reshape(s) for i, j, s in zip(ends[:-1], ends[1:], shapes, strict=True)]
        score = sum(np.einsum("nd,nd->n", x, c[t.owner]) for t, x, c in zip(terms, whitened, parts, strict=True))
        value = weight @ (np.logaddexp(0, score) - target * score) + 0.5 * flat @ flat
        residual = weight * (expit(score) - target)
        slopes = [(total @ (residual[:, None] * x)).ravel() for total, x in zip(sums, whitened, strict=True)]
        return float(value), np.concatenate(slopes) + flat

    start = np.zeros(ends[-1])
    if fitted.coefficients:
        known = [
            np.linalg.solve(root, fitted.coefficients[t.name].T).T.ravel() for t, root in zip(terms, roots, strict=True)
        ]
        start = np.concatenate(known)
    found: Any = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": iterations, "ftol": 1e-9})
    parts = [found.x[i:j].reshape(s) for i, j, s in zip(ends[:-1], ends[1:], shapes, strict=True)]
    return {t.name: c @ root.T for t, root, c in zip(terms, roots, parts, strict=True)}


def _summing(term: Term) -> Any:
    """The matrix (owners, n) that adds up the rows of each owner."""
    from scipy.sparse import csr_matrix

    n = len(term.owner)
    return csr_matrix((np.ones(n), (term.owner, np.arange(n))), shape=(term.owners, n))


def _expected_prior(term: Term, curvature: Floats, fitted: Fitted) -> Floats:
    """The prior covariance that explains the owners' coefficients and what is unknown about them.

    Its shape is EM's; its size is MacKay's fixed point (1992): the coefficients' squares over the number of
    directions that the rows determine, which has EM's solution and gets to small variances in far fewer rounds.
    """
    prior, c = fitted.prior[term.name], fitted.coefficients[term.name]
    precision = np.linalg.inv(prior)
    order = np.argsort(term.owner, kind="stable")
    present, starts = np.unique(term.owner[order], return_index=True)
    seen = np.empty((len(present), *prior.shape))
    for n, rows in enumerate(np.split(order, starts[1:])):
        x = term.x[rows]
        seen[n] = x.T @ (curvature[rows, None] * x)
    unknown = np.linalg.inv(precision + seen).sum(axis=0)
    known = c.T @ c
    learned, at = prior.copy(), 0
    for width, shape in term.parts:
        part = slice(at, at + width)
        at += width
        if shape == "fixed":
            continue
        own = np.linalg.inv(prior[part, part])
        determined = len(present) * width - np.trace(own @ unknown[part, part])
        size = np.trace(own @ known[part, part]) / max(determined, 1e-9)
        form = np.eye(width) * np.trace(prior[part, part]) / width
        if shape == "full":
            form = (known[part, part] + unknown[part, part]) / len(present)
            form *= width / np.trace(own @ form)
        learned[part, part] = np.clip(size, 0.1, 10.0) * form + FLOOR * np.eye(width)
    return learned


def posterior(
    x: Floats, offset: Floats, target: Floats, weight: Floats, prior: Floats, *, start: Floats | None = None
) -> tuple[Floats, Floats]:
    """One owner's coefficients given its rows and what the other terms say of them: Newton's method.

    Args:
        x: (n, d) features.
        offset: (n,) score from all other terms.
        target: (n,) outcomes from 0 to 1.
        weight: (n,) of each row.
        prior: (d, d) covariance.
        start: (d,) coefficients to start from, such as the mode before the last rating.

    Returns:
        The mode (d,) and the covariance of the Laplace approximation (d, d).
    """
    d = len(prior)
    precision, mode = np.linalg.inv(prior), np.zeros(d) if start is None else start
    value, hessian = np.inf, precision
    step: npt.NDArray[np.float64] = np.zeros(d)
    for _ in range(50):
        score = offset + x @ (mode + step)
        new = float(
            weight @ (np.logaddexp(0, score) - target * score) + 0.5 * (mode + step) @ precision @ (mode + step)
        )
        if new > value + 1e-12:  # overshot: half the step
            step = step / 2
            continue
        mode, done, value = mode + step, value - new < 1e-10, new
        p = expit(score)
        hessian = precision + x.T @ ((weight * p * (1 - p))[:, None] * x)
        if done:
            break
        step = -np.linalg.solve(hessian, x.T @ (weight * (p - target)) + precision @ mode)
    return mode, np.linalg.inv(hessian).astype(np.float64)
