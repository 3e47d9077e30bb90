# pyright: basic
"""SIMULATED users whose tastes drift: what a live router loses against the best fixed LLM of each user.

200 users ask 20 questions each; the answers' solve rates are recorded ones (`builders.simulated`), a user's weights
take a step of a random walk on the simplex after every turn, and each answer gets 1 to 5 by how it compares with what
seven LLMs offer on average. Regret is in the user's true value: the best fixed LLM of this user in hindsight, minus
the chosen one, summed over turns. Routers are the ones that serve people: store, posterior, exploration; nothing is
simulated but people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import Encoder
from mar.controllers.gmt import Exploration, GmtRouter, InteractionStore, PersonalModel, stars
from mar.controllers.gmt.builders.simulated import DrawWeights, Recorded, drawn_weights
from mar.controllers.gmt.comparisons import Floats
from mar.evaluation.statistics import Interval, bootstrap_mean
from mar.learning.progress import Progress
from mar.pool.cards import ModelCard
from mar.runtime.prompts import PromptLibrary
from mar.types import Query

USERS, TURNS = 200, 20
STEP = 0.08  # standard deviation of a step of each weight
NOISE = 0.15  # standard deviation of a perceived value
SPREAD = 0.25  # value that is worth one of five steps


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Users, their drifting weights, and what they ask."""

    recorded: Recorded
    weights: Floats  # (users, turns, attributes)
    asked: np.ndarray  # (users, turns) question numbers

    @classmethod
    def drawn(
        cls,
        recorded: Recorded,
        *,
        users: int = USERS,
        turns: int = TURNS,
        seed: int = 0,
        draw: DrawWeights = drawn_weights,
    ) -> World:
        """A world; everybody's shares are drawn and then drift, and what is liked or disliked stays so."""
        rng = np.random.default_rng([seed, 77])
        begun = draw(users, rng)
        weights = np.repeat(begun[:, None], turns, axis=1)
        sign = np.sign(begun)
        for t in range(1, turns):
            moved = np.clip(np.abs(weights[:, t - 1]) + STEP * rng.standard_normal(begun.shape), 0.0, None) + 1e-9
            weights[:, t] = sign * moved / moved.sum(axis=1, keepdims=True)
        asked = rng.integers(0, len(recorded.questions), (users, turns))
        return cls(recorded=recorded, weights=weights, asked=asked)

    @property
    def values(self) -> Floats:
        """What each answer is worth to its user, shape (users, turns, LLMs)."""
        solved = self.recorded.solved[self.asked]
        return self.weights[:, :, :1] * solved + self.weights[:, :, 1:] @ self.recorded.traits.T

    def ratings(self, seed: int) -> np.ndarray:
        """What each answer would be rated, 1 to 5, shape (users, turns, LLMs)."""
        rng = np.random.default_rng([seed, 78])
        perceived = self.values + NOISE * rng.standard_normal(self.values.shape)
        average = self.values.mean(axis=2, keepdims=True)
        return np.clip(np.rint(3 + (perceived - average) / SPREAD * 2), 1, 5).astype(int)


@dataclass(frozen=True, slots=True, kw_only=True)
class Regret:
    """What one way of choosing loses."""

    name: str
    by_turn: Floats  # (users, turns) against each user's best fixed LLM

    @property
    def curve(self) -> Floats:
        """Mean cumulative regret after each turn, shape (turns,)."""
        return self.by_turn.cumsum(axis=1).mean(axis=0)

    @property
    def total(self) -> Interval:
        """Mean regret per user over all turns, with an interval over users."""
        return bootstrap_mean(self.by_turn.sum(axis=1).tolist())


def regret_of(name: str, world: World, chosen: np.ndarray) -> Regret:
    """The regret of choices (users, turns) of LLMs."""
    values = world.values
    best = values.mean(axis=1).argmax(axis=1)
    fixed = np.take_along_axis(values, best[:, None, None], axis=2)[:, :, 0]
    got = np.take_along_axis(values, chosen[:, :, None], axis=2)[:, :, 0]
    return Regret(name=name, by_turn=fixed - got)


def simulate(
    name: str,
    world: World,
    model: PersonalModel | None,
    encoder: Encoder,
    progress: Progress,
    *,
    exploration: Exploration = "ucb",
    seed: int = 0,
) -> Regret:
    """Let all users talk to a live router, which sees the ratings of what it chose and nothing else."""
    models = world.recorded.models
    space = PlanSpace(cards=tuple(ModelCard(name=m) for m in models), prompts=PromptLibrary.load())
    store = InteractionStore(Path(":memory:"))
    router = GmtRouter(store, encoder, model=model, exploration=exploration)
    ratings, place = world.ratings(seed), {m: i for i, m in enumerate(models)}
    users, turns = world.asked.shape
    chosen = np.empty((users, turns), dtype=np.int64)
    with progress.bar(name, total=turns) as bar:
        for t in range(turns):
            texts = [world.recorded.questions[q] for q in world.asked[:, t]]
            queries = [Query(text=text, id=f"{u}/{t}", user_id=f"u{u}") for u, text in enumerate(texts)]
            for u, choice in enumerate(router.choose(queries, space)):
                chosen[u, t] = place[choice.model]
                identity = store.record(
                    f"u{u}",
                    conversation=f"{t}",
                    turn=0,
                    model=choice.model,
                    opening=texts[u],
                    query=texts[u],
                    response="",
                )
                store.rate(identity, stars(int(ratings[u, t, chosen[u, t]])))
            bar.advance()
    store.close()
    return regret_of(name, world, chosen)


def simple_choices(world: World, seed: int = 0) -> list[Regret]:
    """A random LLM, the global ranking's first, and each user's best fixed one in hindsight."""
    values = world.values
    users, turns, n = values.shape
    everybody = int(values.mean(axis=(0, 1)).argmax())
    fixed = values.mean(axis=1).argmax(axis=1)
    rng = np.random.default_rng([seed, 79])
    return [
        regret_of("random LLM", world, rng.integers(0, n, (users, turns))),
        regret_of("global ranking", world, np.full((users, turns), everybody)),
        regret_of("best fixed LLM per user, in hindsight", world, np.repeat(fixed[:, None], turns, axis=1)),
    ]


def table_of(regrets: Sequence[Regret]) -> str:
    """Total regret per user, as Markdown."""
    lines = ["| choice | regret per user over all turns | 95% |", "|---|---|---|"]
    for regret in regrets:
        total = regret.total
        lines.append(f"| {regret.name} | {total.mean:.3f} | {total.low:.3f} to {total.high:.3f} |")
    return "\n".join(lines)
