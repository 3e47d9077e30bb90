# pyright: basic
"""What a personal router has to beat, all fitted on the same votes, each in a few lines over standard libraries.

Every baseline is a function of (training votes, votes to predict) to scores; the outcomes of the latter play no part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mar.controllers.gmt.comparisons import Comparisons, Floats
from mar.controllers.gmt.mixed import Fitted, Term, fit

SHRINKAGE = 100.0  # votes that the global win rate counts for in a user's own
GLOBAL_VARIANCE = 4.0
NEIGHBOURS = 10
FACTORS = 4

Baseline = Callable[[Comparisons, Comparisons], Floats]


def _pair(votes: Comparisons) -> Floats:
    m = np.eye(len(votes.names.models))
    return m[votes.a] - m[votes.b]


def _bradley_terry(train: Comparisons) -> Fitted:
    x = _pair(train)
    one = Term(name="skill", owner=np.zeros(len(train), dtype=np.int64), owners=1, x=x, parts=((x.shape[1], "fixed"),))
    return fit([one], train.target, train.weight, {"skill": GLOBAL_VARIANCE * np.eye(x.shape[1])}, rounds=0)


def bradley_terry(train: Comparisons, asked: Comparisons) -> Floats:
    """One ranking for everybody; a tie is half a win (Bradley and Terry 1952)."""
    return _pair(asked) @ _bradley_terry(train).coefficients["skill"][0]


def _win_rates(train: Comparisons) -> tuple[Floats, Floats]:
    """Wins and votes, by user and LLM."""
    shape = (len(train.names.users), len(train.names.models))
    wins, votes = np.zeros(shape), np.zeros(shape)
    for llm, won in ((train.a, train.target), (train.b, 1 - train.target)):
        np.add.at(wins, (train.user, llm), train.weight * won)
        np.add.at(votes, (train.user, llm), train.weight)
    return wins, votes


def user_win_rate(train: Comparisons, asked: Comparisons) -> Floats:
    """Each user's win rate of each LLM, shrunk to everybody's."""
    wins, votes = _win_rates(train)
    everybody = (wins.sum(axis=0) + 1) / (votes.sum(axis=0) + 2)
    return _of(asked, (wins + SHRINKAGE * everybody) / (votes + SHRINKAGE))


def _of(asked: Comparisons, table: Floats) -> Floats:
    """Differences of a table by user and LLM."""
    return table[asked.user, asked.a] - table[asked.user, asked.b]


def nearest_user(train: Comparisons, asked: Comparisons) -> Floats:
    """Win rates of the users whose win rates are most alike (cosine of deviations), shrunk to everybody's."""
    wins, votes = _win_rates(train)
    everybody = (wins.sum(axis=0) + 1) / (votes.sum(axis=0) + 2)
    own = (wins + 5 * everybody) / (votes + 5) - everybody
    unit = own / np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-9)
    alike = unit @ unit.T
    table = np.empty_like(wins)
    for user in range(len(wins)):
        near = np.argsort(-alike[user], kind="stable")[: NEIGHBOURS + 1]  # the user is among them
        table[user] = (wins[near].sum(axis=0) + SHRINKAGE * everybody) / (votes[near].sum(axis=0) + SHRINKAGE)
    return _of(asked, table)


def matrix_factorisation(train: Comparisons, asked: Comparisons) -> Floats:
    """User and LLM factors from a truncated SVD of shrunken deviations from the global win rate."""
    wins, votes = _win_rates(train)
    everybody = (wins.sum(axis=0) + 1) / (votes.sum(axis=0) + 2)
    deviation = (wins + 10 * everybody) / (votes + 10) - everybody
    u, s, v = np.linalg.svd(deviation, full_matrices=False)
    k = min(FACTORS, len(s))
    return _of(asked, everybody + (u[:, :k] * s[:k]) @ v[:k])


def network(train: Comparisons, asked: Comparisons) -> Floats:
    """A multilayer perceptron over query embedding and both LLMs, blind to users."""
    from sklearn.neural_network import MLPClassifier

    rows, again = _inputs(train), _inputs(asked)
    decided = train.decided
    labels = train.sign[decided] > 0
    if len(np.unique(labels)) < 2:
        return np.zeros(len(asked))
    learner: Any = MLPClassifier((32,), alpha=1.0, max_iter=60, random_state=0, early_stopping=True)
    both = np.concatenate([rows[0][decided], rows[1][decided]])  # every pair in both orders
    learner.fit(both, np.concatenate([labels, ~labels]))
    p = [np.clip(learner.predict_proba(r)[:, 1], 1e-6, 1 - 1e-6) for r in again]
    return (np.log(p[0] / (1 - p[0])) - np.log(p[1] / (1 - p[1]))) / 2


def _inputs(votes: Comparisons) -> tuple[Floats, Floats]:
    m, q = np.eye(len(votes.names.models)), votes.names.query_vectors[votes.query]
    later = (votes.turn > 0)[:, None]
    a, b = m[votes.a], m[votes.b]
    rows = np.concatenate([q, later, a, b], axis=1, dtype=np.float64)
    again = np.concatenate([q, later, b, a], axis=1, dtype=np.float64)
    return rows, again


def item_lookup(train: Comparisons, asked: Comparisons) -> Floats:
    """What others said of the same pair of answers, on top of the global ranking: shows what such votes leak."""
    seen = dict[tuple[int, int, int], list[float]]()
    for query, a, b, target in zip(train.query, train.a, train.b, train.target, strict=True):
        seen.setdefault((int(query), int(a), int(b)), []).append(target - 0.5)
        seen.setdefault((int(query), int(b), int(a)), []).append(0.5 - target)
    said = [np.sum(seen.get(key, [0.0])) for key in zip(asked.query, asked.a, asked.b, strict=True)]
    return bradley_terry(train, asked) + 4.0 * np.array(said)


BASELINES: dict[str, Baseline] = {
    "global Bradley-Terry": bradley_terry,
    "user win rate, shrunk": user_win_rate,
    "nearest users": nearest_user,
    "matrix factorisation": matrix_factorisation,
    "MLP, not personal": network,
    "item look-up": item_lookup,
}
