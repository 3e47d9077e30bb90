# pyright: basic
"""The controller of thinkers, workers and verifiers.

Other than as published: the head reads coordinates of a small encoder's embedding and a few facts about the
conversation in place of a language model's hidden state of all of it, so it has some hundred parameters; parts are
played by roles that there are, and a verifier accepts by coming to the same answer; what is evolved for is quality less
price.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from mar.controllers.base import Planned, PlanSpace
from mar.controllers.belief.topics import Topics
from mar.controllers.embeddings import Encoder
from mar.controllers.trinity.head import Head
from mar.controllers.trinity.policy import TrinityPolicy
from mar.errors import ConfigError
from mar.types import Domain, Query


class Trinity:
    """Picks turn by turn.

    Args:
        head: What picks.
        topics: Coordinates of texts.
        encoder: Of texts; give a cached one.
        domain: Of queries that do not state one.
    """

    name = "TRINITY-like"

    def __init__(self, head: Head, topics: Topics, encoder: Encoder, domain: Domain) -> None:
        self.head, self.topics, self.encoder = head, topics, encoder
        self.domain: Domain = domain

    def plan(self, queries: Sequence[Query], space: PlanSpace) -> list[Planned]:
        """A policy for each query, of models in the space alone; texts are embedded together.

        Raises:
            ConfigError: The pool's answers have read nobody, or the head knows none of its models.
        """
        if space.alone:
            raise ConfigError("thinkers, workers and verifiers read each other; of this pool, first answers are known")
        models = {card.name for card in space.cards} & set(self.head.models)
        if not models:
            names = ", ".join(card.name for card in space.cards)
            raise ConfigError(f"the head knows none of {names}; it was evolved on {', '.join(self.head.models)}")
        texts = self.topics(torch.from_numpy(self.encoder.encode([q.text for q in queries]))).numpy()
        return [
            Planned(policy=partial(TrinityPolicy, self.head, text, models, query.domain or self.domain))
            for query, text in zip(queries, texts, strict=True)
        ]
