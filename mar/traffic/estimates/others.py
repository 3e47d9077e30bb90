"""What models are worth by ratings of few answers, where the other models were asked the rated questions, too.

A question has one rating, of the one answer that somebody saw. What the others would have said is known where they were
asked in shadow, and so is who says the same as whom. Three things follow that need nobody's further word:

- who says the same as many others is right more often. By how much is learned from the ratings, of all models together
  (a ridge regression in closed form: a mean, a model's own deviation, what its mean support adds, and what the support
  of an answer adds beside the mean of its model; supports are what normal priors draw the rest to);
- an answer that says the same as the rated one is as right as it is;
- where answers can be right in one way only (a letter, a number), one that says something else is wrong if the rated
  one is right. Of programs and free texts nothing follows.

A rating is taken to be wrong as often as WRONG says. Nothing here knows which answers are right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

UNASKED, ALONE = -2, -1  # in the place of what an answer says: there is none; it says what no other does
WRONG = 0.1  # share of ratings that say the opposite of what is so
NOISE = 0.2  # variance of a rating around what is expected of it
MIDDLE, APART, SUPPORT, BESIDE = 0.5, 0.1, (2.0, 1.0), (0.7, 0.3)  # priors: the mean's spread, a model's own, slopes
SHARED = 0.6  # of what a rating says beyond what was expected: what holds of an answer that says the same
LEAST, MOST = 0.01, 0.97  # probabilities before a rating
DRAWS, NOTHING = 1000, 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """What all models said about some requests, and what that cost. Rows are requests, columns models."""

    said: Ints  # number, within the request, of what an answer says; ALONE; UNASKED, (n, M)
    usd: Floats  # NaN: not known, (n, M)
    single: Flags  # whether answers that are right all say the same, (n,)

    def rows(self, at: Flags | Ints) -> Others:
        """Some of the rows."""
        return Others(said=self.said[at], usd=self.usd[at], single=self.single[at])

    def columns(self, at: Ints) -> Others:
        """Some of the models."""
        return Others(said=self.said[:, at], usd=self.usd[:, at], single=self.single)

    @property
    def whole(self) -> Flags:
        """Rows on which every model was asked, (n,): only these set all side by side."""
        return (self.said != UNASKED).all(axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Believed:
    """What ratings and others' answers say of models."""

    right: Floats  # how probably each answer is right, (n, M); on rows that are not whole as its model is
    mean: Floats  # how often each model is, (M,)
    covariance: Floats  # of what is not known of it, (M, M)


def believed(others: Others, drawn: Ints, worth: Floats, beforehand: Floats) -> Believed:
    """What is to be believed of models and their answers.

    Args:
        others: What they said about rated questions.
        drawn: Whose answer was rated, (n,).
        worth: Its rating, 0 to 1, (n,).
        beforehand: How often each is expected to be right, without any rating, (M,).
    """
    n, m = others.said.shape
    rows: Ints = np.arange(n, dtype=np.int64)
    same, whole = _same(others.said), others.whole
    support = (same.sum(axis=2) - np.diagonal(same, axis1=1, axis2=2)) / max(1, m - 1)
    mine = support[whole].mean(axis=0) if whole.any() else np.zeros(m)
    beside, between = np.where(whole[:, None], support - mine, 0.0), mine - mine.mean()
    design = np.zeros((n, 3 + m))
    design[:, 0], design[:, 1], design[:, 2] = 1.0, between[drawn], beside[rows, drawn]
    design[rows, 3 + drawn] = 1.0
    centre = float(beforehand.mean())
    prior = np.concatenate([[centre, SUPPORT[0], BESIDE[0]], beforehand - centre])
    precision = np.diag(1 / np.array([MIDDLE, SUPPORT[1], BESIDE[1], *[APART] * m]) ** 2)
    covariance = np.linalg.inv(precision + design.T @ design / NOISE)
    found = covariance @ (precision @ prior + design.T @ worth / NOISE)
    levels = np.column_stack([np.ones(m), between, np.zeros(m), np.eye(m)])
    expected = levels @ found + found[2] * beside
    free = _shared(expected, same[rows, :, drawn], drawn, worth)
    right = np.where(others.single[:, None], _single(expected, same, drawn, worth), free)
    right = np.where(whole[:, None], right, expected)
    return Believed(
        right=right,
        mean=right[whole].mean(axis=0) if whole.any() else levels @ found,
        covariance=levels @ covariance @ levels.T,
    )


def best_of(worth: Floats, covariance: Floats) -> Floats:
    """How probably each model is worth the most, (M,), of what is normal with this mean and covariance."""
    normal = np.random.default_rng(0).standard_normal((DRAWS, len(worth)))
    drawn = worth + normal @ np.linalg.cholesky(covariance + NOTHING * np.eye(len(worth))).T
    return np.bincount(drawn.argmax(axis=1), minlength=len(worth)) / DRAWS


def _same(said: Ints) -> Floats:
    """1 where two models say the same, (n, M, M); an answer that can be compared with none is alike to none."""
    return ((said[:, :, None] == said[:, None, :]) & (said >= 0)[:, :, None]).astype(np.float64)


def _shared(expected: Floats, same: Floats, drawn: Ints, worth: Floats) -> Floats:
    """Where many answers may be right: what was rated holds of those that say the same."""
    rows = np.arange(len(drawn))
    beyond = worth - expected[rows, drawn]
    same[rows, drawn] = 1.0
    return expected + SHARED * same * beyond[:, None]


def _single(expected: Floats, same: Floats, drawn: Ints, worth: Floats) -> Floats:
    """Where one answer is right: Bayes over what was said, of which at most one is right. (n, M)."""
    rows = np.arange(len(drawn))
    count = same.sum(axis=2)
    times = np.maximum(count, 1.0)
    together = (same * expected[:, None, :]).sum(axis=2) / times
    before: Floats = np.where(count > 0, np.clip(together, LEAST, MOST), LEAST)
    before /= np.maximum(1.0, (before / times).sum(axis=1, keepdims=True) / MOST)
    rated = before[rows, drawn]
    says_right = worth * (1 - WRONG) + (1 - worth) * WRONG  # of an answer that is right; the rest of one that is not
    after: Floats = rated * says_right / (rated * says_right + (1 - rated) * (1 - says_right))
    elsewhere = before * ((1 - after) / (1 - rated))[:, None]
    own = np.eye(expected.shape[1], dtype=np.bool_)[drawn]
    alike: Flags = (same[rows, :, drawn] > 0) | own
    return np.where(alike, after[:, None], elsewhere)
