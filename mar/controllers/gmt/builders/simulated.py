# pyright: basic
"""Simulated users over recorded outcomes: questions and solve rates are real, preferences are a model, and ours.

For GSM8K and MMLU nobody published who preferred which answer. What is recorded is how often seven 7-8B LLMs solved
each question (RouterDC's measurements, shuhao02/RouterDC). A simulated user u values an answer of LLM m to question q
at

    U(u, q, m) = w_u . (solved(q, m), thrift(m), chat(m)),     |w_u| ~ Dirichlet(1, 1, 1)

with solved: the recorded solve rate; thrift: 1 for the LLM with the fewest parameters, 0 for the one with the most,
linear between (what it costs to serve); chat: 1 for LLMs tuned to converse, 0.5 for those tuned on tasks, 0 for base
models (how an answer reads). Half of the users want conversation and half want plain text: the weight of chat is
negative for them. Users perceive U with Gumbel noise of scale 1 / SHARPNESS, so a preference between two answers is a
logistic choice (Bradley-Terry given u and q), and rate k answers side by side by how many each one beats, over k - 1;
differences below INDIFFERENT are ties. A conversation is two questions drawn independently from one topic (GSM8K and
MMLU are one each), answered by the same LLMs.

The weights are kept apart from the ratings, for a reference that is told them. Numbers measured on these users show
whether preferences that are there are found; they say nothing about people.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mar.controllers.gmt.comparisons import Floats, Ints
from mar.controllers.gmt.records import Conversation, Exchange, Group
from mar.errors import DataError
from mar.tasks.readers import read_located

SHARPNESS = 8.0
INDIFFERENT = 0.02
TURNS = 2
SIZES = {"gsm8k": 2, "mmlu": 3}
"""LLMs side by side in a group."""
ATTRIBUTES = ("solved", "thrift", "chat")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What is known of an LLM apart from its answers."""

    billions: float  # parameters, from its model card
    chat: float  # 1 tuned to converse, 0.5 tuned on tasks, 0 a base model


CANDIDATES: Mapping[str, Candidate] = {
    "mistralai/Mistral-7B-v0.1": Candidate(billions=7.24, chat=0.0),
    "meta-math/MetaMath-Mistral-7B": Candidate(billions=7.24, chat=0.5),
    "itpossible/Chinese-Mistral-7B-v0.1": Candidate(billions=7.49, chat=0.0),
    "HuggingFaceH4/zephyr-7b-beta": Candidate(billions=7.24, chat=1.0),
    "cognitivecomputations/dolphin-2.6-mistral-7b": Candidate(billions=7.24, chat=1.0),
    "meta-llama/Meta-Llama-3-8B": Candidate(billions=8.03, chat=0.0),
    "cognitivecomputations/dolphin-2.9-llama3-8b": Candidate(billions=8.03, chat=1.0),
}


def candidate_traits() -> Floats:
    """Thrift and chat of every candidate, shape (candidates, 2)."""
    size = np.array([c.billions for c in CANDIDATES.values()])
    thrift = (size.max() - size) / (size.max() - size.min())
    return np.stack([thrift, np.array([c.chat for c in CANDIDATES.values()])], axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Questions, how often each LLM solves them, and what else users care about."""

    questions: tuple[str, ...]
    models: tuple[str, ...]
    solved: Floats  # (questions, models)
    traits: Floats  # (models, attributes - 1): those that do not depend on the question
    topic: Ints  # (questions,) numbers; a conversation stays within one

    def values(self, weights: Floats, question: int) -> Floats:
        """What a user with these weights thinks of every LLM's answer, shape (models,)."""
        return weights[0] * self.solved[question] + self.traits @ weights[1:]

    def only(self, questions: Ints) -> Recorded:
        """The same LLMs on some of the questions."""
        asked = tuple(self.questions[i] for i in questions.tolist())
        return replace(self, questions=asked, solved=self.solved[questions], topic=self.topic[questions])


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedUsers:
    """Ratings of simulated users, and what made them."""

    groups: tuple[Group, ...]
    weights: dict[str, Floats]  # of each user, by ATTRIBUTES
    recorded: Recorded


def read_recorded(folder: Path, name: str) -> Recorded:
    """The recorded solve rates of one benchmark from `folder`/outcomes/model7.

    Raises:
        DataError: A file is missing or a row is wrong.
    """
    place = folder / "outcomes" / "model7"
    solved = dict[str, list[float]]()
    for part in ("train", "test"):
        path = place / f"{name}_{part}.jsonl.gz"
        for where, row in read_located(path):
            given: Any = row.get("scores")
            scores: dict[str, float] = given if isinstance(given, dict) else {}
            if not isinstance(row.get("question"), str) or set(scores) != set(CANDIDATES):
                raise DataError(f"{where}: expected question and scores of {len(CANDIDATES)} known LLMs")
            # GSM8K: a mean of ten attempts; MMLU: a probability where the right option was chosen, else 0
            known = [float(scores[m]) for m in CANDIDATES]
            solved.setdefault(row["question"], known if name == "gsm8k" else [float(s > 0) for s in known])
    return Recorded(
        questions=tuple(solved),
        models=tuple(CANDIDATES),
        solved=np.array(list(solved.values())),
        traits=candidate_traits(),
        topic=np.zeros(len(solved), dtype=np.int64),
    )


def drawn_weights(users: int, rng: np.random.Generator) -> Floats:
    """Weights of users, shape (users, 3): shares, with a negative one of chat for half of them in expectation."""
    weights = rng.dirichlet(np.ones(len(ATTRIBUTES)), users)
    weights[:, 2] *= rng.choice([-1.0, 1.0], users)
    return weights


DrawWeights = Callable[[int, np.random.Generator], Floats]
"""Number of users and randomness to weights, shape (users, attributes)."""


def simulate_users(
    recorded: Recorded,
    *,
    size: int,
    users: int = 100,
    conversations: int = 40,
    questions: int = 800,
    seed: int = 0,
    draw: DrawWeights = drawn_weights,
) -> SimulatedUsers:
    """Let simulated users talk to LLMs and rate them.

    Args:
        recorded: Questions and solve rates.
        size: How many LLMs answer side by side.
        users: How many there are.
        conversations: Of each user.
        questions: How many different questions they ask.
        seed: Of everything drawn.
        draw: What users care about.
    """
    rng = np.random.default_rng(seed)
    recorded = recorded.only(
        rng.choice(len(recorded.questions), min(questions, len(recorded.questions)), replace=False)
    )
    weights = {f"user-{i:03d}": w for i, w in enumerate(draw(users, rng))}
    groups = [
        _converse(recorded, user, w, f"{user}-{n}", size, rng)
        for user, w in weights.items()
        for n in range(conversations)
    ]
    return SimulatedUsers(groups=tuple(groups), weights=weights, recorded=recorded)


def _converse(
    recorded: Recorded, user: str, weights: Floats, identity: str, size: int, rng: np.random.Generator
) -> Group:
    chosen = [int(m) for m in rng.choice(len(recorded.models), size, replace=False)]
    within = recorded.topic == recorded.topic[rng.integers(len(recorded.topic)) if recorded.topic.any() else 0]
    asked = [int(q) for q in rng.choice(np.flatnonzero(within), TURNS, replace=False)]
    ratings = [rate(recorded.values(weights, q)[chosen], rng) for q in asked]
    return Group(
        tuple(
            Conversation(
                question_id=identity,
                turn=TURNS,
                judge=user,
                model=recorded.models[m],
                conversation=tuple(
                    Exchange(query=recorded.questions[q], rating=float(r[place]))
                    for q, r in zip(asked, ratings, strict=True)
                ),
            )
            for place, m in enumerate(chosen)
        )
    )


def rate(values: Floats, rng: np.random.Generator) -> Floats:
    """Ratings from 0 to 1 of answers side by side: the share of the others that each one beats."""
    perceived = values + rng.gumbel(size=len(values)) / SHARPNESS
    ahead = perceived[:, None] - perceived[None, :]
    beats = np.where(np.abs(ahead) < INDIFFERENT, 0.5, ahead > 0)
    np.fill_diagonal(beats, 0.0)
    return beats.sum(axis=1) / (len(values) - 1)
