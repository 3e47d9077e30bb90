# pyright: basic
"""What is believed of the models of a pool on one kind of question: an item-response model of answers.

Each question has, unseen, a right answer t, a popular mistake w, a difficulty z and a popularity v of that mistake
(both standard normal), for every family of models an effect u and for every model an effect r (standard normal): what
relatives, and one model however often it is asked, know or do not know together. A model i, asked with strategy s,

    knows t                 with logistic(theta_i + effect_s + text . (common + own_i) - sigma z + tau u + rho r
                            + heard)
    and if it does not
      repeats a mistake     it has read, with `copying`
      says nothing          with silence_i
      makes the mistake w   with delta = logistic(popular + by_difficulty z + spread v)
      guesses               among all options; where there are none, among `breadth` plausible answers

`heard` = gain log(1 + right messages read) - harm log(1 + wrong ones). On a share of the questions (`mislabelled`) the
answer that counts as right is not what those give who know. Of a program shown tests say: right ones pass, wrong ones
pass only on a share of the questions (`loose`), there with `alike`; nobody solves `mislabelled` ones. How sure a model
is (the mean log-probability of its tokens) shifts the odds that it knew.

All numbers are in logits unless said. Their priors are below, with where they come from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import wraps
from typing import Any, Literal, TypeVar

import numpy as np
import torch

from mar.controllers.belief.arrays import Array, arrays

T = TypeVar("T")

Form = Literal["options", "open", "programs"]
"""One of some options; anything, where two that are right are the same; programs, of which many are right."""


@dataclass(frozen=True, slots=True)
class Prior:
    """A normal prior of a number."""

    mean: float
    spread: float


# Centres: fits to recorded answers (docs/simulator.md) of GSM8K, MMLU-Pro and MBPP, between which they lie; spreads
# cover all of them. What reading does: published debates and mixtures of agents (the same page).
PRIORS: Mapping[str, Prior] = {
    "sigma": Prior(math.log(3.5), 0.25),  # logarithm
    "tau": Prior(math.log(1.2), 0.25),  # logarithm
    "rho": Prior(math.log(1.8), 0.2),  # logarithm
    "popular": Prior(-0.24, 0.4),
    "by_difficulty": Prior(-0.24, 0.3),
    "spread": Prior(-0.06, 0.15),  # logarithm
    "silence": Prior(-3.5, 0.7),
    "mislabelled": Prior(-2.8, 0.4),
    "loose": Prior(-1.35, 0.5),
    "alike": Prior(-0.16, 0.5),
    "gain": Prior(2.5, 0.7),
    "harm": Prior(0.9, 0.4),
    "copying": Prior(0.6, 0.5),
    "effect": Prior(0.0, 0.5),
    "overall": Prior(0.0, 3.0),
    "common": Prior(0.0, 0.3),
    "own": Prior(0.0, 0.12),
}
LEVEL, UNKNOWN_LEVEL = 2.0, 1.5  # mean skill of a model of which nothing is known, and its spread
SLIP = 0.005  # share of wrong programs that pass by another chance
BREADTH = 8.0  # plausible answers to an open question


@dataclass(kw_only=True)
class Beliefs:
    """Numbers of the model. Tensors are float32; M models, S strategies, K coordinates of texts."""

    models: tuple[str, ...]
    families: tuple[str, ...]  # of each model
    strategies: tuple[str | None, ...]
    form: Form
    theta: torch.Tensor  # (M,)
    level: torch.Tensor  # prior mean of theta, (M,)
    doubt: torch.Tensor  # prior spread of theta, (M,)
    common: torch.Tensor  # (K,)
    own: torch.Tensor  # (K, M)
    effect: torch.Tensor  # of every strategy but the first, (S - 1,)
    silence: torch.Tensor  # logit, (M,)
    overall: torch.Tensor = field(default_factory=lambda: _at("overall"))  # of the prior means of theta
    sigma: torch.Tensor = field(default_factory=lambda: _at("sigma"))
    tau: torch.Tensor = field(default_factory=lambda: _at("tau"))
    rho: torch.Tensor = field(default_factory=lambda: _at("rho"))
    popular: torch.Tensor = field(default_factory=lambda: _at("popular"))
    by_difficulty: torch.Tensor = field(default_factory=lambda: _at("by_difficulty"))
    spread: torch.Tensor = field(default_factory=lambda: _at("spread"))
    mislabelled: torch.Tensor = field(default_factory=lambda: _at("mislabelled"))
    loose: torch.Tensor = field(default_factory=lambda: _at("loose"))
    alike: torch.Tensor = field(default_factory=lambda: _at("alike"))
    gain: torch.Tensor = field(default_factory=lambda: _at("gain"))
    harm: torch.Tensor = field(default_factory=lambda: _at("harm"))
    copying: torch.Tensor = field(default_factory=lambda: _at("copying"))
    kept: dict[Any, Any] | None = None  # what follows from numbers that no longer change; None: they may

    @classmethod
    def vague(
        cls,
        models: Sequence[str],
        families: Sequence[str],
        form: Form,
        *,
        strategies: Sequence[str | None] = (None,),
        width: int = 0,
        levels: Mapping[str, Prior] | None = None,
    ) -> Beliefs:
        """The prior.

        Args:
            models: Their names.
            families: Of each.
            form: Of answers.
            strategies: That models may be asked with.
            width: Coordinates of texts.
            levels: What is known of models' skills beforehand, by name.
        """
        known = [(levels or {}).get(m, Prior(LEVEL, UNKNOWN_LEVEL)) for m in models]
        level = torch.tensor([p.mean for p in known])
        return cls(
            models=tuple(models),
            families=tuple(families),
            strategies=tuple(strategies),
            form=form,
            theta=level.clone(),
            level=level,
            doubt=torch.tensor([p.spread for p in known]),
            common=torch.zeros(width),
            own=torch.zeros(width, len(models)),
            effect=torch.zeros(len(strategies) - 1),
            silence=torch.full((len(models),), PRIORS["silence"].mean),
        )

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything that is a number, by name."""
        return {f.name: value for f in fields(self) if isinstance(value := getattr(self, f.name), torch.Tensor)}

    @property
    def learned(self) -> dict[str, torch.Tensor]:
        """What answers of this form tell about, by name."""
        other = {"programs": {"popular", "by_difficulty", "spread", "copying", "silence"}}.get(
            self.form, {"loose", "alike"}
        )
        return {n: t for n, t in self.tensors.items() if n not in other | {"level", "doubt"} and t.numel()}

    def penalty(self) -> torch.Tensor:
        """Negative logarithm of the prior, up to a constant."""
        total = (((self.theta - self.level - self.overall) / self.doubt) ** 2).sum() / 2
        for name, value in self.learned.items():
            if name != "theta":
                total = total + (((value - PRIORS[name].mean) / PRIORS[name].spread) ** 2).sum() / 2
        return total

    def settled(self) -> Beliefs:
        """The same in NumPy, to decide by: from then on they must not change, and what follows from them is kept."""
        return replace(self, kept={}, **{n: t.detach().numpy().astype(np.float64) for n, t in self.tensors.items()})

    @property
    def effects(self) -> Array:
        """Of every strategy, (S,)."""
        return _effects(self)

    def offsets(self, texts: torch.Tensor) -> torch.Tensor:
        """What texts (Q, K) tell about skills, (Q, M)."""
        return texts @ (self.common[:, None] + self.own)


def follows(find: Callable[[Beliefs], T]) -> Callable[[Beliefs], T]:
    """Makes a function of beliefs that is computed once where they no longer change."""

    @wraps(find)
    def found(beliefs: Beliefs) -> T:
        if beliefs.kept is None:
            return find(beliefs)
        if find not in beliefs.kept:
            beliefs.kept[find] = find(beliefs)
        return beliefs.kept[find]

    return found


@follows
def _effects(beliefs: Beliefs) -> Array:
    return arrays(beliefs.effect).cat([torch.zeros(1), beliefs.effect])


def _at(name: str) -> torch.Tensor:
    return torch.tensor(PRIORS[name].mean)
