"""Published relatives of the sequential controller, learned from the same graded calls, for comparison on one pool.

`threshold` is a cascade in the manner of FrugalGPT, `agreement` one by agreement, `routing` cascade routing; `table` is
what they are learned from, `logistic` and `estimates` how, `steps` plays an episode by any of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from mar.controllers.base import Controller
from mar.controllers.cascades.agreement import Agreement
from mar.controllers.cascades.routing import Routing
from mar.controllers.cascades.steps import Cascade
from mar.controllers.cascades.table import Table
from mar.controllers.cascades.threshold import Threshold
from mar.controllers.embeddings import Encoder
from mar.controllers.sequential.calls import Asked
from mar.numerics import one_thread
from mar.pool.cards import ModelCard
from mar.types import Domain


def relatives(
    asked: Sequence[Asked], cards: Sequence[ModelCard], domain: Domain, encoder: Encoder, cost_rate: float
) -> list[Controller]:
    """The three cascades, learned in seconds and without a call.

    Args:
        asked: Training questions with graded calls; of each model the first call that read nothing counts.
        cards: Of the models that may be asked.
        domain: Of queries that do not state one.
        encoder: Of texts; give a cached one.
        cost_rate: Price of money, utility per USD.

    Raises:
        ConfigError: No call is of a model of the cards whose price is known.
    """
    with one_thread():
        table = Table.of(asked, cards, encoder, cost_rate)
        methods = (Threshold.learn(table), Agreement(table=table), Routing.learn(table))
        for method in methods:
            method.rules(table.among(cards), len(table.models), table.texts[:1])  # what is chosen once is chosen here
    return [Cascade(method, encoder, domain) for method in methods]


__all__ = ["Agreement", "Cascade", "Routing", "Table", "Threshold", "relatives"]
