# pyright: basic
"""How sure to call an answer: the aggregator's probability, corrected for whom one has listened to.

The aggregator is fitted to all sets of answers at once and is a compromise between them: of the strongest model alone
it is too sure, of two that agree not sure enough. A logistic regression on questions with known answers, decided in the
same way, puts that right: on the log-odds of the chosen option, and on who was asked, alone or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from mar.controllers.weighing.options import Flags, Floats, log_odds


@dataclass(kw_only=True)
class Certainty:
    """The correction."""

    penalty: float = 1.0  # of the regression's coefficients

    def fit(self, chances: Floats, asked: Flags, right: Flags) -> Self:
        """Learn from decided questions.

        Args:
            chances: Probability of the chosen option by the aggregator, (n,).
            asked: Who was asked, (n, m).
            right: Whether the chosen option was right, (n,).
        """
        from sklearn.linear_model import LogisticRegression

        model: Any = LogisticRegression(C=1 / self.penalty, max_iter=500)
        model.fit(_features(chances, asked), right)
        self.weights_, self.bias_ = model.coef_[0], float(model.intercept_[0])
        return self

    def of(self, chances: Floats, asked: Flags) -> Floats:
        """Probability that the chosen option is right, (n,)."""
        return 1 / (1 + np.exp(-(_features(chances, asked) @ self.weights_ + self.bias_)))


def _features(chances: Floats, asked: Flags) -> Floats:
    odds = log_odds(chances)
    alone = asked.sum(axis=1) == 1
    found: Floats = np.column_stack([odds, odds * alone, asked, asked * alone[:, None]]).astype(np.float64)
    return found
