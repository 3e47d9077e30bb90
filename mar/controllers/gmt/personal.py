# pyright: basic
"""The router that beats a global ranking: a Bradley-Terry head, and what contexts, questions and users add to it.

    score(user, query, turn, llm) =
        skill[llm] + turn[llm] x turn + context(query) . match[llm]          known to every router
        + asked[question, llm] + again[question, llm] x turn                 what others said of these very answers
        + taste[user, llm] + trust[user] x consensus(query, llm)             what this user said before
        + context(query) . habit[user, llm]

Every line is one effect of a mixed logistic regression (`mar.controllers.gmt.mixed`): its coefficients shrink to zero
unless votes speak for them, by a prior variance that is learned from all users. `consensus` is what the first line
says, so a user with positive trust follows the crowd more sharply and one with negative trust goes against it. The
prior of (taste, trust) is a full covariance over LLMs: somebody who likes one LLM is thereby expected to like those
that people of that taste like, which is what matrix factorisation does, with as many factors as there are LLMs.

It is the graph of the published router read as inference: a rating is a message from a turn node to its user, query
and LLM, in both directions, and nodes hold posteriors instead of activations. So a new user starts at the prior (cold
start), a rating moves the next decision without any training, and every score has an uncertainty.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mar.controllers.embeddings import Vectors
from mar.controllers.gmt.comparisons import Comparisons, Floats, Ints, Names
from mar.controllers.gmt.mixed import Shape, Term, fit, posterior

# Prior variances that learning starts from; that of skill is broad and stays.
SKILL, TURN, MATCH, ASKED, AGAIN, TASTE, HABIT = 4.0, 0.1, 0.1, 0.5, 0.5, 0.2, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalSettings:
    """What the router can express and how it is fitted."""

    contexts: int = 8  # directions of the query embeddings that preferences may depend on
    rounds: int = 15  # of learning the priors
    multi_turn: bool = True  # preferences may change with the turn, and the opening query counts in later turns
    personal: bool = True  # False: the same router without any effect of users
    questions: bool = True  # what others said of the same question counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """Directions of query embeddings: the principal components of those seen in training, of unit variance."""

    centre: Floats  # (width,)
    directions: Floats  # (width, contexts)

    @classmethod
    def of(cls, vectors: Vectors, contexts: int) -> Basis:
        """The main directions of some vectors."""
        centre = vectors.mean(axis=0).astype(np.float64)
        _, spread, axes = np.linalg.svd(vectors - centre, full_matrices=False)
        kept = min(contexts, int((spread > 1e-6).sum()))
        scale = np.sqrt(len(vectors)) / spread[:kept]
        return cls(centre=centre, directions=(axes[:kept].T * scale).astype(np.float64))

    def __call__(self, vectors: npt.NDArray[np.floating[Any]]) -> Floats:
        """Coordinates, shape (n, contexts), kept within three standard deviations."""
        return np.clip((vectors - self.centre) @ self.directions, -3, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserState:
    """What is known about one user."""

    mean: Floats  # (d,)
    covariance: Floats  # (d, d)
    ratings: int  # how many interactions it rests on


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalModel:
    """A fitted router."""

    settings: PersonalSettings
    models: tuple[str, ...]
    basis: Basis
    population: dict[str, Floats]  # skill (M,), turn (M,), match (contexts, M)
    crowd: dict[str, Floats]  # the same three before users were told apart, of unit spread: what trust is in
    prior: Floats  # (d, d) covariance of a user's effects: taste (M), trust (1), habit (contexts x M)
    asked: dict[str, Floats]  # by question: (2, M), what holds for the whole conversation and how later turns differ
    learned: dict[str, float]  # prior variances, for people

    @property
    def width(self) -> int:
        """Numbers that describe a user."""
        return len(self.prior)

    def contexts(self, opening: Vectors, current: Vectors) -> Floats:
        """What a query is about, shape (n, contexts): itself and, in a conversation, how that began."""
        return self.basis((opening + current) / 2 if self.settings.multi_turn else current)

    def head(self, of: dict[str, Floats], contexts: Floats, turn: Ints) -> Floats:
        """Scores (n, M) from the skill, turn and match of `population` or `crowd`."""
        return of["skill"] + self.later(turn)[:, None] * of["turn"] + contexts @ of["match"]

    def later(self, turn: Ints) -> Floats:
        """+0.5 for later turns and -0.5 for first ones; 0 without multi_turn."""
        return (turn > 0).astype(np.float64) - 0.5 if self.settings.multi_turn else np.zeros(len(turn))

    def consensus(self, contexts: Floats, turn: Ints, questions: list[str]) -> Floats:
        """Scores (n, M) that hold for everybody, with what others said of the same questions."""
        unheard = np.zeros((2, len(self.models)))
        asked = np.array([self.asked.get(q, unheard) for q in questions]).reshape(-1, *unheard.shape)
        return self.head(self.population, contexts, turn) + asked[:, 0] + self.later(turn)[:, None] * asked[:, 1]

    def features(self, contexts: Floats, turn: Ints) -> Floats:
        """A user's features for every LLM: (n, M, width)."""
        n, m = len(contexts), len(self.models)
        crowd = self.head(self.crowd, contexts, turn)
        eye = np.broadcast_to(np.eye(m), (n, m, m))
        trust = (crowd - crowd.mean(axis=1, keepdims=True))[:, :, None]
        habit = np.einsum("np,ml->nmpl", contexts, np.eye(m)).reshape(n, m, -1)
        return np.concatenate([eye, trust, habit], axis=2)

    def state(self, x: Floats, offset: Floats, target: Floats, weight: Floats, ratings: int) -> UserState:
        """A user's posterior from their rows."""
        if not len(x) or not self.settings.personal:
            return UserState(mean=np.zeros(self.width), covariance=self.prior, ratings=0)
        mean, covariance = posterior(x, offset, target, weight, self.prior)
        return UserState(mean=mean, covariance=covariance, ratings=ratings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Comparisons in the terms of a model."""

    consensus: Floats  # (n, M)
    difference: Floats  # (n,) of the consensus between a and b
    x: Floats  # (n, width) of the user's features between a and b


def rows_of(model: PersonalModel, votes: Comparisons) -> Rows:
    """What a model sees in some votes; the outcomes play no part."""
    names, n = votes.names, np.arange(len(votes))
    position = {m: i for i, m in enumerate(model.models)}
    columns = np.array([position[m] for m in names.models])
    a, b = columns[votes.a], columns[votes.b]
    contexts = model.contexts(names.query_vectors[votes.opening], names.query_vectors[votes.query])
    questions = [names.questions[i] for i in votes.question]
    consensus = model.consensus(contexts, votes.turn, questions)
    x = model.features(contexts, votes.turn)
    return Rows(consensus=consensus, difference=consensus[n, a] - consensus[n, b], x=x[n, a] - x[n, b])


def states_of(model: PersonalModel, visible: Comparisons) -> dict[str, UserState]:
    """Every user's posterior, given what each of them said."""
    rows, found = rows_of(model, visible), dict[str, UserState]()
    for user in np.unique(visible.user):
        own = visible.user == user
        found[visible.names.users[user]] = model.state(
            rows.x[own], rows.difference[own], visible.target[own], visible.weight[own], int(own.sum())
        )
    return found


def predict(model: PersonalModel, states: dict[str, UserState], votes: Comparisons) -> Floats:
    """Scores (n,) by which a is expected to be preferred to b; users without a state are new."""
    rows, nobody = rows_of(model, votes), np.zeros(model.width)
    means = [states[u].mean if u in states else nobody for u in votes.names.users]
    return rows.difference + np.einsum("nd,nd->n", rows.x, np.array(means)[votes.user])


# Fitting ------------------------------------------------------------------------------------------------------


def fit_personal(votes: Comparisons, settings: PersonalSettings | None = None) -> PersonalModel:
    """A router from votes; ties count as half a win for both."""
    settings = settings or PersonalSettings()
    names, m = votes.names, len(votes.names.models)
    basis = Basis.of(names.query_vectors[np.unique(votes.opening)], settings.contexts)
    k = basis.directions.shape[1]
    nothing: dict[str, Floats] = {"skill": np.zeros(m), "turn": np.zeros(m), "match": np.zeros((k, m))}
    model = PersonalModel(
        settings=settings,
        models=names.models,
        basis=basis,
        population=nothing,
        crowd=nothing,
        prior=np.diag([TASTE] * m + [TASTE] + [HABIT] * (k * m)).astype(np.float64),
        asked={},
        learned={},
    )
    shared = _population_terms(model, votes)
    variances = [SKILL] * m + [TURN] * m + [MATCH] * (k * m)
    prior: dict[str, Floats] = {
        "population": np.diag(variances).astype(np.float64),
        "question": np.diag([ASKED] * m + [AGAIN] * m).astype(np.float64),
        "user": model.prior,
    }
    begun = fit(shared, votes.target, votes.weight, {t.name: prior[t.name] for t in shared}, rounds=settings.rounds)
    prior |= begun.prior
    model = _with(model, names, begun.coefficients, prior)
    model = replace(model, crowd=_crowd(model, votes))
    if not settings.personal:
        return model
    x = rows_of(model, votes).x
    kinds: tuple[tuple[int, Shape], ...] = ((m, "full"), (1, "isotropic"), (k * m, "isotropic"))
    terms = [*shared, Term(name="user", owner=votes.user, owners=len(names.users), x=x, parts=kinds)]
    begun.coefficients["user"] = np.zeros((len(names.users), model.width))
    found = fit(
        terms, votes.target, votes.weight, {t.name: prior[t.name] for t in terms}, rounds=settings.rounds, start=begun
    )
    return _with(model, names, found.coefficients, prior | found.prior)


def _population_terms(model: PersonalModel, votes: Comparisons) -> list[Term]:
    names, n, m = votes.names, len(votes), len(model.models)
    pair = np.eye(m)[votes.a] - np.eye(m)[votes.b]
    later = model.later(votes.turn)[:, None] * pair
    contexts = model.contexts(names.query_vectors[votes.opening], names.query_vectors[votes.query])
    match = np.einsum("np,nl->npl", contexts, pair).reshape(n, -1)
    kinds: tuple[tuple[int, Shape], ...] = ((m, "fixed"), (m, "isotropic"), (match.shape[1], "isotropic"))
    x = np.concatenate([pair, later, match], axis=1)
    terms = [Term(name="population", owner=np.zeros(n, dtype=np.int64), owners=1, x=x, parts=kinds)]
    if model.settings.questions and _asked_of_several(votes):
        kinds = ((m, "isotropic"), (m, "isotropic"))
        x = np.concatenate([pair, later], axis=1)
        terms.append(Term(name="question", owner=votes.question, owners=len(names.questions), x=x, parts=kinds))
    return terms


def _asked_of_several(votes: Comparisons) -> bool:
    """Whether any question was put to two users, without which there is nothing that others said of it."""
    asked = np.unique(np.stack([votes.question, votes.user]), axis=1)[0]
    return len(np.unique(asked)) < len(asked)


def _crowd(model: PersonalModel, votes: Comparisons) -> dict[str, Floats]:
    """The population's head, scaled so that its scores spread by 1 over LLMs and votes."""
    names = votes.names
    contexts = model.contexts(names.query_vectors[votes.opening], names.query_vectors[votes.query])
    spread = float(model.head(model.population, contexts, votes.turn).std()) or 1.0
    return {name: values / spread for name, values in model.population.items()}


def _with(model: PersonalModel, names: Names, found: dict[str, Floats], prior: dict[str, Floats]) -> PersonalModel:
    """The model with what a fit found."""
    m = len(model.models)
    skill, turn, match = np.split(found["population"][0], [m, 2 * m])
    asked = zip(names.questions, found["question"].reshape(-1, 2, m), strict=True) if "question" in found else ()
    spread = {name: np.diag(prior[name]) for name in prior}

    def mean(variances: Floats) -> float:
        """0 without contexts: what all questions have in common depends on none."""
        return float(variances.mean()) if len(variances) else 0.0

    learned = {"turn": float(spread["population"][m]), "match": mean(spread["population"][2 * m :])}
    if "question" in found:
        learned |= {"asked": float(spread["question"][0]), "again": float(spread["question"][m])}
    if "user" in found:
        own = spread["user"]
        learned |= {"taste": mean(own[:m]), "trust": float(own[m]), "habit": mean(own[m + 1 :])}
    return replace(
        model,
        population={"skill": skill, "turn": turn, "match": match.reshape(-1, m)},
        asked={q: c for q, c in asked if c.any()},
        prior=prior["user"],
        learned=learned,
    )
