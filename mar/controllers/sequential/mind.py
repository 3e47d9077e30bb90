# pyright: basic
"""All that is believed about one kind of question: beliefs about models, their habits, and what texts tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from mar.controllers.belief.beliefs import Beliefs, Form, Prior
from mar.controllers.belief.families import families_of
from mar.controllers.belief.topics import Topics
from mar.controllers.sequential.habits import Habits
from mar.controllers.stated import stated_percents
from mar.pool.cards import ModelCard
from mar.types import Domain

SCALE = 2.76
"""Skill per unit of log-odds of accuracy, where the unseen has the prior's spread: sqrt(1 + pi/8 sum of variances)."""
STATED_DOUBT = 1.2  # spread of a skill about what a card states


@dataclass(frozen=True, slots=True, kw_only=True)
class Mind:
    """What is believed about one kind of question."""

    domain: Domain
    beliefs: Beliefs
    habits: Habits
    topics: Topics

    @property
    def kind(self) -> str:
        """What it is called among other minds."""
        return f"{self.domain}/{self.beliefs.form}"

    @classmethod
    def vague(
        cls,
        cards: Sequence[ModelCard],
        domain: Domain,
        form: Form,
        *,
        strategies: Sequence[str | None],
        embedding: int,
        use_cards: bool = True,
    ) -> Mind:
        """Before any call: what cards state."""
        names = [c.name for c in cards]
        levels = {c.name: known for c in cards if use_cards and (known := stated_level(c, domain)) is not None}
        beliefs = Beliefs.vague(names, families_of(names), form, strategies=strategies, levels=levels)
        habits = Habits.unknown(names, strategies)
        return cls(domain=domain, beliefs=beliefs, habits=habits, topics=Topics.none(embedding))

    def knowing(self, cards: Sequence[ModelCard]) -> Mind:
        """The same with the models of a pool that it never heard, as their cards state."""
        new = [c for c in cards if c.name not in self.beliefs.models]
        if not new:
            return self
        b, h = self.beliefs, self.habits
        vague = Mind.vague(new, self.domain, b.form, strategies=b.strategies, embedding=len(self.topics.mean))
        extra = vague.beliefs
        names = (*b.models, *extra.models)
        beliefs = replace(
            b,
            models=names,
            families=families_of(names),
            theta=torch.cat([b.theta, extra.theta + b.overall]),
            level=torch.cat([b.level, extra.level]),
            doubt=torch.cat([b.doubt, extra.doubt]),
            own=torch.cat([b.own, torch.zeros(len(b.own), len(new))], dim=1),
            silence=torch.cat([b.silence, extra.silence]),
        )
        habits = replace(
            h,
            models=names,
            written=np.concatenate([h.written, np.full(len(new), h.written.mean())]),
            seconds=np.concatenate([h.seconds, np.full(len(new), h.seconds.mean())]),
            centre=np.concatenate([h.centre, np.full(len(new), h.centre.mean())]),
        )
        return replace(self, beliefs=beliefs, habits=habits)

    def answering(self, form: Form) -> Mind:
        """The same for answers of another form: what is known of the models stays, the rest is as believed before."""
        return self if form == self.beliefs.form else replace(self, beliefs=replace(self.beliefs, form=form))

    def skill(self, vectors: torch.Tensor) -> torch.Tensor:
        """What embeddings (n, E) tell about each model's skill, (n, M)."""
        return self.beliefs.offsets(self.topics(vectors))


def stated_level(card: ModelCard, domain: Domain) -> Prior | None:
    """A model's skill as its card states it: by the scores of benchmarks of the domain, in percent."""
    found = [p / 100 for p in stated_percents(card, domain).values()]
    if not found:
        return None
    return Prior(SCALE * float(np.mean([math.log(p / (1 - p)) for p in found])), STATED_DOUBT)
