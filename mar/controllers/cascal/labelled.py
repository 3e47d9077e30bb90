# pyright: basic
"""Query-answer routers: what learns from generated answers as if they were right (the paper's baselines).

Each takes a table of labels (whether a model's answer equals the generated one) and scores the models for new
questions. They stand beside the query-only routers on the same generated data.
"""

from __future__ import annotations

import warnings
from typing import Literal, get_args

import numpy as np

from mar.controllers.cascal.clustering import unit
from mar.controllers.cascal.responses import Flags, Floats
from mar.controllers.cascal.skills import Vectors
from mar.errors import ConfigError

QueryAnswer = Literal["knn", "mlp", "elo"]
QUERY_ANSWER: tuple[QueryAnswer, ...] = get_args(QueryAnswer)


def query_answer_scores(kind: QueryAnswer, labels: Flags, train: Vectors, test: Vectors, *, seed: int = 0) -> Floats:
    """Scores of the models for every test question, shape (T, M).

    Args:
        kind: Which router.
        labels: Whether each model agrees with the generated answer, (Q, M).
        train: Vectors of the training questions, (Q, D).
        test: Vectors of the test questions, (T, D).
        seed: Of the MLP's start and the order of Elo's games.

    Raises:
        ConfigError: There is no such router.
    """
    routers = {"knn": _knn, "mlp": _mlp, "elo": _elo}
    if kind not in routers:
        raise ConfigError(f"router {kind!r}; expected {', '.join(QUERY_ANSWER)}")
    return routers[kind](labels.astype(np.float64), train, test, seed)


def _knn(labels: Floats, train: Vectors, test: Vectors, seed: int, *, k: int = 50) -> Floats:
    """Mean label of the k most similar questions."""
    k = min(k, len(train))
    found = np.empty((len(test), labels.shape[1]))
    for start in range(0, len(test), 1024):
        similarity = unit(test[start : start + 1024]) @ unit(train).T
        near = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        found[start : start + 1024] = labels[near].mean(axis=1)
    return found


def _mlp(labels: Floats, train: Vectors, test: Vectors, seed: int) -> Floats:
    """One hidden layer that predicts all labels; stops when a tenth held out, if there is one, gets no better."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    net = MLPRegressor(
        hidden_layer_sizes=(64,),
        alpha=1e-3,
        early_stopping=len(labels) >= 20,
        max_iter=60,
        n_iter_no_change=5,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of passes is a limit on time
        net.fit(train, labels if labels.shape[1] > 1 else labels[:, 0])
    return np.asarray(net.predict(test)).reshape(len(test), -1)


def _elo(labels: Floats, train: Vectors, test: Vectors, seed: int, *, near: int = 500) -> Floats:
    """Ratings from won and lost games of pairs: one of two models agrees with the generated answer, the other does not.

    Bradley-Terry's likelihood, which Elo's updates climb, is solved by minorisation (Hunter 2004), with one drawn game
    of each pair as a prior, over all questions and again over the nearest ones; a question's ratings are their mean.
    """
    overall = _ratings(labels)
    found = np.empty((len(test), labels.shape[1]))
    near = min(near, len(train))
    for start in range(0, len(test), 512):
        similarity = unit(test[start : start + 512]) @ unit(train).T
        rows = np.argpartition(-similarity, near - 1, axis=1)[:, :near]
        wins = np.einsum("tki,tkj->tij", labels[rows], 1 - labels[rows], optimize=True)
        found[start : start + 512] = (_solve(wins) + overall) / 2
    return found


def _ratings(labels: Floats) -> Floats:
    return _solve((labels.T @ (1 - labels))[None])[0]


def _solve(wins: Floats, rounds: int = 30) -> Floats:
    """Bradley-Terry log-strengths, mean 0, for a batch of tables of wins, shape (T, M, M)."""
    off = 1 - np.eye(wins.shape[-1])
    won = (wins + 0.5) * off
    games = won + np.swapaxes(won, 1, 2)
    strength = np.ones(wins.shape[:2])
    for _ in range(rounds):
        share = games / (strength[:, :, None] + strength[:, None, :])
        strength = won.sum(axis=2) / (share * off).sum(axis=2).clip(1e-12)
        strength /= np.exp(np.log(strength).mean(axis=1, keepdims=True))
    return np.log(strength)
