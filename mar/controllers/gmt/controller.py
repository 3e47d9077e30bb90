# pyright: basic
"""The live preference router as a controller: one agent on the LLM that this user will like best, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.special import expit

from mar.controllers.base import Planned, PlanSpace
from mar.controllers.baselines import team_of
from mar.controllers.embeddings import CachedEncoder, Encoder, MiniLM
from mar.controllers.gmt.checkpoint import load_personal
from mar.controllers.gmt.comparisons import Floats
from mar.controllers.gmt.live import LiveSettings, LiveUser, LiveUsers, adopt, blank_model
from mar.controllers.gmt.personal import PersonalModel
from mar.controllers.gmt.store import Interactions
from mar.errors import CheckpointError
from mar.types import AgentSpec, Domain, ModeSpec, Plan, Query

Exploration = Literal["ucb", "none"]
UCB_WIDTH = 1.0  # standard deviations


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which LLM, and what speaks for it."""

    model: str
    score: dict[str, float]  # log-odds against an average answer, by LLM
    sd: dict[str, float]  # standard deviation of the part that is this user's own
    personal: dict[str, float]  # the part of the score that this user's ratings make up
    why: str  # one line
    evidence: tuple[str, ...]  # this user's history with the LLM


class GmtRouter:
    """A single-agent controller that learns from every rating.

    Args:
        store: What users said.
        encoder: Of queries.
        model: A trained router. None: one that knows nothing yet.
        simulated: Whether the people that the trained router learned from were made up.
        live: How much room users get.
        exploration: ucb: the best that is still likely, so that LLMs which a user seldom rated get their chance; none:
            the best guess.
    """

    def __init__(
        self,
        store: Interactions,
        encoder: Encoder,
        *,
        model: PersonalModel | None = None,
        simulated: bool = False,
        live: LiveSettings | None = None,
        exploration: Exploration = "ucb",
    ) -> None:
        self.name = "GMT router (trained on simulated users)" if simulated else "GMT router"
        self.people = "simulated people" if simulated else "people"
        self.store, self.encoder, self.live = store, encoder, live or LiveSettings()
        self.exploration: Exploration = exploration
        self._model = model
        self._users: dict[tuple[str, ...], LiveUsers] = {}

    @classmethod
    def load(cls, checkpoint: Path | None, store: Interactions, encoder: Encoder | None = None) -> GmtRouter:
        """A router from a checkpoint file, or one that knows nothing yet.

        Raises:
            CheckpointError: The file is none, or was made for another encoder.
        """
        chosen = encoder or CachedEncoder(MiniLM())
        if checkpoint is None:
            return cls(store, chosen)
        loaded = load_personal(checkpoint, chosen)
        return cls(store, chosen, model=loaded.model, simulated=loaded.header.simulated)

    @property
    def models(self) -> tuple[str, ...]:
        """The LLMs that it was trained on; others start as the average of these."""
        return () if self._model is None else self._model.models

    def plan(self, queries: Sequence[Query], space: PlanSpace) -> list[Planned]:
        """One agent per query, on the LLM that its user will like best."""
        return [
            self._planned(query, choice) for query, choice in zip(queries, self.choose(queries, space), strict=True)
        ]

    def choose(self, queries: Sequence[Query], space: PlanSpace) -> list[Choice]:
        """The choices behind `plan`, with their reasons. Unknown users and queries without one are at the prior."""
        if not queries:
            return []
        users = self._for(tuple(card.name for card in space.cards))
        openings = [q.history[0].query if q.history else q.text for q in queries]
        consensus, x = users.features(openings, [q.text for q in queries], [len(q.history) for q in queries])
        return [self._choose(users, q, c, f) for q, c, f in zip(queries, consensus, x, strict=True)]

    def likes(self, queries: Sequence[Query], space: PlanSpace) -> list[dict[str, float]]:
        """What each query's user said so far, as log-odds by LLM: a prior for controllers that also weigh answers."""
        return [choice.personal for choice in self.choose(queries, space)]

    def _for(self, models: tuple[str, ...]) -> LiveUsers:
        if models not in self._users:
            known = self._model or blank_model(models, self.encoder.width)
            if len(known.basis.centre) != self.encoder.width:
                raise CheckpointError(
                    f"the router was trained on embeddings of width {len(known.basis.centre)}; "
                    f"{self.encoder.name} makes {self.encoder.width}"
                )
            self._users[models] = LiveUsers(adopt(known, models, self.live), self.store, self.encoder, self.live)
        return self._users[models]

    def _planned(self, query: Query, choice: Choice) -> Planned:
        domain: Domain = query.domain or "Commonsense"
        agent = AgentSpec(role=team_of(domain)[0], model=choice.model)
        plan = Plan(mode=ModeSpec(name="IO"), domain=domain, agents=(agent,))
        return Planned(
            plan=plan, notes={"model": choice.model, "why": choice.why, "evidence": "\n".join(choice.evidence)}
        )

    def _choose(self, users: LiveUsers, query: Query, consensus: Floats, x: Floats) -> Choice:
        names = users.model.models
        user = users.of(query.user_id or "")
        assert user.mean is not None
        assert user.covariance is not None
        personal = x @ user.mean[:-1]
        score = consensus + personal
        spread = np.sqrt(np.maximum(np.einsum("md,de,me->m", x, user.covariance[:-1, :-1], x), 0.0))
        best = int(np.argmax(score + UCB_WIDTH * spread if self.exploration == "ucb" else score))
        chosen, kept = self._sticky(query, user, names, score, best)
        why = _reason(names, score, consensus, chosen, best, kept, self.people)
        return Choice(
            model=names[chosen],
            score=dict(zip(names, score.tolist(), strict=True)),
            sd=dict(zip(names, spread.tolist(), strict=True)),
            personal=dict(zip(names, personal.tolist(), strict=True)),
            why=why,
            evidence=tuple(_evidence(user, names[chosen])),
        )

    def _sticky(self, query: Query, user: LiveUser, names: Sequence[str], score: Floats, best: int) -> tuple[int, bool]:
        """A follow-up stays with its LLM unless the gain is beyond the user's margin."""
        if query.user_id is None or query.conversation_id is None or not query.history:
            return best, False
        last = self.store.last_of(query.user_id, query.conversation_id)
        if last is None or last.model not in names:
            return best, False
        now = names.index(last.model)
        gain = float(expit(score[best] - score[now])) - 0.5
        return (best, False) if gain > user.standing.margin else (now, True)


def _reason(
    names: Sequence[str], score: Floats, consensus: Floats, chosen: int, best: int, kept: bool, people: str
) -> str:
    name = names[chosen]
    if len(names) == 1:
        return f"{name}: the only LLM of this pool"
    order = np.argsort(-score)
    other = int(order[1] if order[0] == chosen else order[0])
    chance = 100 * float(expit(score[chosen] - score[other]))
    if kept:
        leads = "" if best == chosen or chance >= 50 else f": {names[other]} is preferred with {100 - chance:.0f}% only"
        return f"stays with {name}, which answered last{leads}"
    if not np.ptp(score):
        return f"{name}: nothing is known yet, all LLMs are alike"
    if score[chosen] < score[other]:
        return f"{name}: tried since too little is known of how you like it ({names[other]} leads so far)"
    own = (score - consensus)[chosen] - (score - consensus)[other]
    share = (
        "your ratings" if abs(own) > abs(consensus[chosen] - consensus[other]) else f"what {people} in general prefer"
    )
    return f"{name}: preferred to {names[other]} with {chance:.0f}%, mostly by {share}"


def _evidence(user: LiveUser, model: str) -> list[str]:
    """What this user said of an LLM before."""
    own = [entry[0] for _, entry in sorted(user.ratings.items()) if entry[0].model == model]
    if not own:
        return [f"you have not rated {model} yet"]
    mean = sum(i.rating or 0.0 for i in own) / len(own)
    everything = [entry[0].rating or 0.0 for entry in user.ratings.values()]
    lines = [
        f"{len(own)} of your {len(everything)} ratings are of {model}: {mean:.2f} on average, "
        f"{sum(everything) / len(everything):.2f} over all LLMs"
    ]
    recent = own[-1]
    shown = " ".join(recent.query.split())
    lines.append(f"last time {recent.rating:.2f} for {shown[:60]!r}{'…' if len(shown) > 60 else ''}")
    return lines
