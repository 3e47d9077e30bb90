# pyright: basic
"""The controllers that are learned from one table of calls. Each serves every price of money."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mar.controllers.base import Controller
from mar.controllers.cascades.agreement import Agreement
from mar.controllers.cascades.checkpoint import save_cascade
from mar.controllers.cascades.steps import Cascade
from mar.controllers.cascades.table import Table
from mar.controllers.cascades.threshold import Threshold
from mar.controllers.embeddings import Encoder
from mar.controllers.routers import Examples, RouterController, make_router, save_routed
from mar.controllers.routers.base import prior
from mar.controllers.sequential import Sequential, Terms, save_sequential
from mar.errors import ConfigError
from mar.evaluation.route.calls import Calls
from mar.extensions import parse_call
from mar.learning.sequential import learn_minds
from mar.numerics import one_thread
from mar.pool.cards import ModelCard
from mar.types import Domain

CASCADE, TEAMS, SEQUENTIAL = "cascade", "teams", "sequential"
STEPWISE = (CASCADE, TEAMS, SEQUENTIAL)  # decide step by step, by what was answered
KINDS = ("knn(k=10)", "kernel", "shrunken", *STEPWISE)
ALONE = (None,)  # strategies that were asked with


class Priced(Controller, Protocol):
    """A controller whose price of money may be set."""

    @property
    def cost_rate(self) -> float:
        """Utility per USD."""
        ...

    @cost_rate.setter
    def cost_rate(self, rate: float) -> None: ...


class Kind(Protocol):
    """A way of learning a controller."""

    @property
    def name(self) -> str:
        """How tables call it."""
        ...

    def fit(self, calls: Calls) -> Priced:
        """Learn from calls."""
        ...

    def save(self, path: Path, controller: Any, trained_on: Mapping[str, str], *, simulated: bool) -> None:
        """Write a checkpoint of what `fit` gave."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """A router to a single model, by the text alone. Its scores must be in units of quality."""

    router: str  # as a command line names it
    encoder: Encoder
    domain: Domain

    @property
    def name(self) -> str:
        """The router's."""
        return self.router

    def fit(self, calls: Calls) -> RouterController:
        """Fit on texts and qualities; costs are means."""
        texts = tuple(q.text for q in calls.queries)
        scores = calls.quality.astype(np.float32)
        train = Examples(vectors=self.encoder.encode(texts), texts=texts, scores=scores)
        nothing = Examples(vectors=train.vectors[:0], scores=scores[:0])
        router = _fresh(self.router)
        with one_thread():
            router.fit(train, nothing)
        return RouterController(
            router=router,
            models=calls.models,
            ties=prior(train),
            encoder=self.encoder,
            name=f"{self.router} router",
            domain=self.domain,
            costs=calls.usd.mean(axis=0).astype(np.float32),
        )

    def save(self, path: Path, controller: RouterController, trained_on: Mapping[str, str], *, simulated: bool) -> None:
        """Write it."""
        save_routed(path, controller, trained_on={**trained_on, "simulated": str(simulated)})


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeKind:
    """Cheap models first; on to a dearer one where an answer does not look right. Or, as teams: up to three models at
    once, and on to others where they do not agree.
    """

    cards: Sequence[ModelCard]
    encoder: Encoder
    domain: Domain
    name: str = CASCADE

    def fit(self, calls: Calls) -> Cascade:
        """Learn from answers, how they look, and texts."""
        with one_thread():
            table = Table.of(calls.asked, self.cards, self.encoder, 1.0)
            method = Agreement(table=table) if self.name == TEAMS else Threshold.learn(table)
            return Cascade(method, self.encoder, self.domain)

    def save(self, path: Path, controller: Cascade, trained_on: Mapping[str, str], *, simulated: bool) -> None:
        """Write it."""
        save_cascade(path, controller, trained_on=trained_on, simulated=simulated)


@dataclass(frozen=True, slots=True, kw_only=True)
class SequentialKind:
    """Asks on while that is worth its price, and takes the most probable answer."""

    cards: Sequence[ModelCard]
    encoder: Encoder
    domain: Domain
    name: str = SEQUENTIAL

    def fit(self, calls: Calls) -> Sequential:
        """Learn what is believed of the models. They are asked as they were here: once, alone, in their own way."""
        minds = learn_minds(calls.asked, self.cards, self.domain, self.encoder, strategies=ALONE)
        terms = Terms(cost_rate=0.0, reading=False, again=False)
        return Sequential(minds, self.encoder, terms, domain=self.domain)

    def save(self, path: Path, controller: Sequential, trained_on: Mapping[str, str], *, simulated: bool) -> None:
        """Write it."""
        save_sequential(path, controller, trained_on=trained_on, simulated=simulated)


def kinds_for(
    names: Sequence[str], calls: Calls, cards: Sequence[ModelCard], encoder: Encoder, domain: Domain
) -> list[Kind]:
    """Kinds by name; of scores alone only routers can be learned.

    Raises:
        ConfigError: None is left.
    """
    found: list[Kind] = []
    for name in dict.fromkeys(names):
        if name not in STEPWISE:
            found.append(Router(router=name, encoder=encoder, domain=domain))
        elif calls.asked:
            make = SequentialKind if name == SEQUENTIAL else CascadeKind
            found.append(make(cards=cards, encoder=encoder, domain=domain, name=name))
    if not found:
        raise ConfigError(f"--controllers {' '.join(names)} cannot be learned from scores alone; expected a router")
    return found


def check_kinds(names: Sequence[str]) -> None:
    """Refuse what is no kind.

    Raises:
        ConfigError: A name is none.
    """
    for name in names:
        kind, opened, _ = name.partition("(")
        if kind in STEPWISE and opened:
            raise ConfigError(f"--controllers names {name!r}; {kind} takes no parameters")
        if kind not in STEPWISE:
            _fresh(name)


def _fresh(router: str) -> Any:
    name, parameters = parse_call(router, "router")
    return make_router(name, **parameters)
