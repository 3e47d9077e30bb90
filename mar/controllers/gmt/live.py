# pyright: basic
"""Users in operation: each one's posterior, kept up to date as ratings arrive. Nothing is retrained.

A rating r in [0, 1] of one answer by LLM m says how it compares with what the user expects of an answer to that query:

    P(r is high) = sigmoid(level + consensus(q, m) - mean consensus(q) + z . (f(q, m) - mean f(q)))

with the user's effects z, whose prior was learned from votes, and a level of their own (how easily they are pleased).
Both are found together from all of the user's ratings, in a few Newton steps from where they stood before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mar.controllers.embeddings import Encoder
from mar.controllers.gmt.comparisons import Floats
from mar.controllers.gmt.mixed import posterior
from mar.controllers.gmt.personal import Basis, PersonalModel, PersonalSettings
from mar.controllers.gmt.store import Interaction, Interactions, Standing
from mar.remembered import remembers

LEVEL_VARIANCE = 1.0
EXPECTED_LENGTH = 2000  # characters of a query that decide what it is about; the encoder reads fewer tokens than that


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSettings:
    """How much room users get."""

    taste: float = 0.5  # least prior variance of a taste: votes of a test's judges may show none where people have some
    habit: float = 0.05  # least prior variance of a preference that depends on what is asked


def blank_model(models: Sequence[str], width: int) -> PersonalModel:
    """A router that knows nothing yet: every LLM is alike until users say otherwise."""
    m = len(models)
    zero: dict[str, Floats] = {"skill": np.zeros(m), "turn": np.zeros(m), "match": np.zeros((0, m))}
    return PersonalModel(
        settings=PersonalSettings(contexts=1),
        models=tuple(models),
        basis=Basis(centre=np.zeros(width), directions=np.zeros((width, 0))),
        population=zero,
        crowd=zero,
        prior=1e-4 * np.eye(m + 1),
        asked={},
        learned={},
    )


def adopt(model: PersonalModel, models: Sequence[str], live: LiveSettings) -> PersonalModel:
    """The router for another set of LLMs: those it knows keep what was learned, others start at the average."""
    at = {name: i for i, name in enumerate(model.models)}
    m, k, old = len(models), model.basis.directions.shape[1], len(model.models)

    def moved(values: Floats) -> Floats:
        """Values by LLM along the last axis."""
        average = values.mean(axis=-1)
        return np.stack([values[..., at[n]] if n in at else average for n in models], axis=-1)

    taste, trust, habit = np.diag(model.prior)[:old], model.prior[old, old], np.diag(model.prior)[old + 1 :]
    prior = np.zeros((m + 1 + k * m, m + 1 + k * m))
    for i, a in enumerate(models):
        for j, b in enumerate(models):
            if a in at and b in at and i != j:
                prior[i, j] = model.prior[at[a], at[b]]
    np.fill_diagonal(prior[:m, :m], moved(taste))
    prior[:m, :m] += np.eye(m) * max(0.0, live.taste - float(taste.mean()))
    prior[m, m] = trust
    spread = max(live.habit, float(habit.mean()) if len(habit) else 0.0)
    prior[m + 1 :, m + 1 :] = spread * np.eye(k * m)
    return replace(
        model,
        models=tuple(models),
        population={n: moved(v) for n, v in model.population.items()},
        crowd={n: moved(v) for n, v in model.crowd.items()},
        prior=prior,
        asked={},
    )


@dataclass(slots=True)
class LiveUser:
    """One user's rated interactions as rows, and what follows from them."""

    standing: Standing
    ratings: dict[int, tuple[Interaction, Floats, float]] = field(default_factory=dict)  # by id: row, offset
    mean: Floats | None = None  # (width + 1,) effects and level
    covariance: Floats | None = None


class LiveUsers:
    """Everybody's posteriors, computed when asked for and updated by what is new."""

    def __init__(self, model: PersonalModel, store: Interactions, encoder: Encoder, live: LiveSettings) -> None:
        self.model, self.store, self.encoder, self.live = model, store, encoder, live
        self._known: dict[str, LiveUser] = {}
        remembers(self)
        d = model.width + 1
        self._prior = np.zeros((d, d))
        self._prior[:-1, :-1] = model.prior
        self._prior[-1, -1] = LEVEL_VARIANCE
        self._place = {name: i for i, name in enumerate(model.models)}

    def features(self, openings: Sequence[str], queries: Sequence[str], turns: Sequence[int]) -> tuple[Floats, Floats]:
        """Consensus (n, M) and features (n, M, width) of queries, both as deviations from the mean over LLMs."""
        contexts = np.zeros((len(queries), 0))
        if self.model.basis.directions.size:  # else nothing depends on what is asked, and no encoder is needed
            vectors = self.encoder.encode([t[:EXPECTED_LENGTH] for t in (*openings, *queries)])
            contexts = self.model.contexts(vectors[: len(queries)], vectors[len(queries) :])
        turn = np.array(turns, dtype=np.int64)
        consensus = self.model.head(self.model.population, contexts, turn)
        x = self.model.features(contexts, turn)
        return consensus - consensus.mean(axis=1, keepdims=True), x - x.mean(axis=1, keepdims=True)

    def forget(self) -> None:
        """Drop everybody; whoever asks is read again."""
        self._known = {}

    def of(self, user: str) -> LiveUser:
        """A user as of now; somebody unknown is at the prior."""
        everybody = self._known  # who is forgotten meanwhile does not come back
        standing = self.store.standing(user)
        known = everybody.get(user)
        if known is None or known.standing.incarnation != standing.incarnation:
            known = LiveUser(standing=replace(standing, revision=0))  # new here, or deleted and come back
            everybody[user] = known
        if known.standing.revision != standing.revision:
            self._update(user, known)
        if known.mean is None:
            known.mean, known.covariance = np.zeros(len(self._prior)), self._prior
        known.standing = standing
        return known

    def _update(self, user: str, known: LiveUser) -> None:
        new = [i for i in self.store.since(user, known.standing.revision) if i.model in self._place]
        rated = [i for i in new if i.rating is not None]
        before = {n: entry[0].rating for n, entry in known.ratings.items()}
        for gone in new:
            known.ratings.pop(gone.id, None)  # its answer or rating changed
        if rated:
            turns = [i.turn for i in rated]
            consensus, x = self.features([i.opening for i in rated], [i.query for i in rated], turns)
            for n, interaction in enumerate(rated):
                m = self._place[interaction.model]
                row = np.append(x[n, m], 1.0)
                known.ratings[interaction.id] = (interaction, row, float(consensus[n, m]))
        if before == {n: entry[0].rating for n, entry in known.ratings.items()}:
            return  # an answer that is not rated yet says nothing
        entries = [known.ratings[n] for n in sorted(known.ratings)]
        if not entries:
            known.mean = known.covariance = None
            return
        x, offset = np.array([e[1] for e in entries]), np.array([e[2] for e in entries])
        target = np.array([e[0].rating for e in entries], dtype=np.float64)
        known.mean, known.covariance = posterior(
            x, offset, target, np.ones(len(entries)), self._prior, start=known.mean
        )
