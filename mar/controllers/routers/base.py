"""What a router is: something that is fitted on scored prompts and says how good every LLM is on new ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from mar.errors import ConfigError

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

TIE = 1e-6  # scores closer than this are one: sums of the same numbers in another order differ by less


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """What a router sees of prompts."""

    vectors: Floats  # (n, d), L2-normalised embeddings
    texts: tuple[str, ...] = ()  # n texts; empty: only the embeddings are known

    def __len__(self) -> int:
        return len(self.vectors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples(Prompts):
    """Prompts with what each of m LLMs scored on them."""

    scores: Floats  # (n, m), 0 to 1
    labels: Floats | None = None  # (n, m), 0 or 1: what to train on where scores are not binary; None: the scores
    groups: tuple[str, ...] = ()  # n names of the benchmark a prompt is from; known in training only

    @property
    def targets(self) -> Floats:
        """What a router learns to predict, shape (n, m)."""
        return self.scores if self.labels is None else self.labels


def joined(a: Examples, b: Examples) -> Examples:
    """The prompts of two parts."""
    return Examples(
        vectors=np.concatenate([a.vectors, b.vectors]),
        texts=a.texts + b.texts,
        scores=np.concatenate([a.scores, b.scores]),
        labels=None if a.labels is None and b.labels is None else np.concatenate([a.targets, b.targets]),
        groups=a.groups + b.groups,
    )


@runtime_checkable
class Router(Protocol):
    """The whole of what a custom router has to be.

    A checkpoint holds a router's parameters, which are the fields of its dataclass, and what it learned: the attributes
    whose names end in an underscore, as in scikit-learn, when they are arrays, routers, or tuples of them.
    """

    def fit(self, train: Examples, validation: Examples) -> object:
        """Learn from `train`; `validation` is there to choose settings by."""
        ...

    def score(self, prompts: Prompts) -> Floats:
        """How good each LLM is on each prompt, shape (n, m); only the order within a row counts."""
        ...


def prior(train: Examples) -> Floats:
    """Mean score of each LLM in training, shape (m,): what breaks ties."""
    return train.scores.mean(axis=0, dtype=np.float64).astype(np.float32)


def choose(scores: Floats, ties: Floats | None, *, seed: int = 0) -> Indices:
    """The LLM that each prompt is given to, shape (n,).

    Args:
        scores: What a router said, shape (n, m).
        ties: Mean training scores, shape (m,), which decide between LLMs of equal score, and chance between those
            that are equal in both. None: the first column wins, as in the published code, where the order of the
            columns alone moves a kNN router by up to five points.
        seed: Of that chance.
    """
    best = scores >= scores.max(axis=1, keepdims=True) - TIE
    if ties is None:
        return best.argmax(axis=1)
    order = np.lexsort((np.random.default_rng(seed).random(len(ties)), ties))  # worst to best
    rank = np.empty(len(ties), dtype=np.int64)
    rank[order] = np.arange(len(ties))
    return np.where(best, rank, -1).argmax(axis=1)


def softmax(scores: Floats) -> Floats:
    """A softmax over the LLMs, shape (n, m)."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def share(scores: Floats) -> Floats:
    """Each LLM's share of a sum of scores that are 0 or more, uniform where all are 0; shape (n, m)."""
    total = scores.sum(axis=1, keepdims=True)
    uniform = np.full_like(scores, 1 / scores.shape[1])
    return np.divide(scores, total, out=uniform, where=total > 0)


def distribution(router: object, prompts: Prompts, scores: Floats) -> Floats:
    """The distribution over LLMs that E_p is the entropy of: the router's own `distribution`, else a softmax."""
    own: Callable[[Prompts, Floats], Floats] | None = getattr(router, "distribution", None)
    return softmax(scores) if own is None else own(prompts, scores)


def fitted(router: object, name: str) -> Floats:
    """What a router learned, by name.

    Raises:
        ConfigError: It has not been fitted.
    """
    value: Floats | None = getattr(router, name, None)
    if value is None:
        raise ConfigError(f"{type(router).__name__} has not been fitted")
    return value
