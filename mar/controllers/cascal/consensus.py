"""Consensus scores: how far a crowd of models backs each model's answer, without knowing the right one.

The published score weighs a vote by the confidence w of the model that casts it, a logistic function of its mean
log-probability in robust units (median and 1.4826 x MAD of that model), and takes a softmax of the options' weights
over the question's own options; a model's score is the probability of its own choice. Without log-probabilities w is 1.

Two simple rules stand beside it: the share of the pool that agrees, and one-coin Dawid-Skene (Dawid and Skene 1979
with one accuracy per model), which assumes that models err independently. They do not: see `families`.
"""

from __future__ import annotations

import warnings

import numpy as np

from mar.controllers.cascal.responses import Floats, Responses, agreement, ballots

MAD_TO_SD = 1.4826
LOWEST, HIGHEST = 0.01, 0.99
PUBLISHED_LETTERS = 20
"""The published code takes its softmax over the letters A to T, whatever options the question has."""


def z_scores(logprobs: Floats, centre: Floats | None = None, scale: Floats | None = None) -> Floats:
    """Each model's log-probabilities in robust units: (x - median) / (1.4826 MAD); NaN where unknown.

    Args:
        logprobs: Shape (Q, M).
        centre: Medians to use instead of these rows' own, shape (M,).
        scale: Scaled MADs to use, shape (M,).
    """
    if centre is None or scale is None:
        centre, scale = location_and_scale(logprobs)
    z = (logprobs - centre) / np.where(scale > 0, scale, 1.0)
    return np.where(scale > 0, z, np.where(np.isnan(logprobs), np.nan, 0.0))


def location_and_scale(logprobs: Floats) -> tuple[Floats, Floats]:
    """Median and 1.4826 x MAD of every column; NaN for a model without log-probabilities."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column of nothing but NaN
        centre = np.nanmedian(logprobs, axis=0)
        return centre, MAD_TO_SD * np.nanmedian(np.abs(logprobs - centre), axis=0)


def vote_weights(responses: Responses) -> Floats:
    """Weight of every vote, shape (Q, M): 0 for an abstention, 1 where no log-probability is known."""
    weights = np.ones(responses.choices.shape)
    if responses.logprobs is not None:
        z = z_scores(responses.logprobs)
        confident = np.clip(1 / (1 + np.exp(-z)), LOWEST, HIGHEST)
        weights = np.where(np.isnan(z), 1.0, confident)
    return np.where(responses.readable, weights, 0.0)


def consensus_scores(responses: Responses, *, letters: int | None = None) -> Floats:
    """The published score of every answer, shape (Q, M); an abstention scores 0.

    Args:
        responses: Answers with their log-probabilities, if any.
        letters: Number of options that the softmax runs over; default: those of the question.
    """
    width = letters or int(responses.options.max(initial=1))
    votes = ballots(responses, width)
    backing = np.einsum("qmo,qm->qo", votes, vote_weights(responses))
    sizes = np.full(len(responses.options), letters) if letters else responses.options
    exists = np.arange(width) < sizes[:, None]
    odds = np.where(exists, np.exp(backing - backing.max(axis=1, keepdims=True)), 0.0)
    posterior = odds / odds.sum(axis=1, keepdims=True)
    return np.einsum("qmo,qo->qm", votes, posterior)


def agreement_shares(responses: Responses) -> Floats:
    """Share of the pool that gave the same answer, oneself included, shape (Q, M)."""
    return agreement(responses.choices).mean(axis=2)


def dawid_skene(responses: Responses, *, rounds: int = 30) -> Floats:
    """Probability that each answer is right under one-coin Dawid-Skene, shape (Q, M)."""
    votes = ballots(responses)
    others = np.maximum(responses.options - 1, 1)[:, None]
    posterior = votes.sum(axis=1) / np.maximum(votes.sum(axis=(1, 2)), 1)[:, None]
    answered = np.maximum(responses.readable.sum(axis=0), 1)
    for _ in range(rounds):
        accuracy = np.clip(np.einsum("qmo,qo->m", votes, posterior) / answered, 0.02, 0.98)
        log_odds = np.log(accuracy * others / (1 - accuracy))
        support = np.einsum("qmo,qm->qo", votes, log_odds)
        support = np.where(np.arange(votes.shape[2]) < responses.options[:, None], support, -np.inf)
        odds = np.exp(support - support.max(axis=1, keepdims=True))
        posterior = odds / odds.sum(axis=1, keepdims=True)
    return np.einsum("qmo,qo->qm", votes, posterior)


def plurality(choices: Floats | np.ndarray, options: int) -> np.ndarray:
    """The option with the most votes in each row, ties to the option whose first voter stands first; ABSTAINED if none.

    Args:
        choices: Options chosen, -1 for an abstention, best voter first, shape (Q, K).
        options: The most options that a question has.
    """
    count = (choices[:, :, None] == np.arange(options)).sum(axis=1)
    mine = np.take_along_axis(count, np.maximum(choices, 0).astype(np.int64), axis=1)
    mine = np.where(choices < 0, 0, mine)
    first = mine.argmax(axis=1)
    return choices[np.arange(len(choices)), first]
