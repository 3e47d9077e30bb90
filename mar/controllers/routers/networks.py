# pyright: basic
"""LinearR and MLPR: one linear layer, or two hidden ones, trained with binary cross-entropy (RouterEval).

Published are batches of one and a fixed number of epochs. Batches of `batch` with a learning rate that grows with
their square root reach the same accuracy in a hundredth of the time (docs/results/routereval.md), and the deep one,
whose 100 epochs overfit, is stopped when the validation loss has not fallen for `patience` of them. `batch=1,
patience=None` is the published training.

On NumPy: networks this small are trained several times over while PyTorch and its optimisers are being imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import cos, pi, sqrt
from typing import Any

import numpy as np

from mar.controllers.routers.base import Examples, Floats, Prompts, fitted


@dataclass(kw_only=True)
class Linear:
    """Logits of being right, linear in the embedding."""

    lr: float = 0.01
    epochs: int = 10
    batch: int = 64
    patience: int | None = None
    seed: int = 0
    hidden: tuple[int, ...] = ()

    def fit(self, train: Examples, validation: Examples) -> None:
        """Train, and keep the weights of the epoch with the lowest validation loss (without `patience`: the last)."""
        rng = np.random.default_rng(self.seed)
        network = _Network((train.vectors.shape[1], *self.hidden, train.scores.shape[1]), rng)
        optimizer, steps = _Adam(len(network.parameters)), self.epochs * -(-len(train) // self.batch)
        best, waited, kept = float("inf"), 0, network.parameters
        for _ in range(self.epochs):
            order = rng.permutation(len(train))
            for at in range(0, len(train), self.batch):
                rows = order[at : at + self.batch]
                gradient = network.gradient(train.vectors[rows], train.targets[rows])
                lr = self.lr * sqrt(self.batch) * (1 + cos(pi * optimizer.taken / steps)) / 2
                optimizer.step(network.parameters, gradient, lr)
            if self.patience is None:
                continue
            loss = network.loss(validation.vectors, validation.targets)
            waited = 0 if loss < best else waited + 1
            if loss < best:
                best, kept = loss, network.parameters.copy()
            if waited >= self.patience:
                break
        self.weights_, self.biases_ = _layers(kept, network.sizes)

    def score(self, prompts: Prompts) -> Floats:
        """Logits, shape (n, m)."""
        weights: Any = fitted(self, "weights_")
        biases: Any = fitted(self, "biases_")
        return _forward(prompts.vectors, weights, biases)[-1]


@dataclass(kw_only=True)
class Mlp(Linear):
    """The same with two hidden layers of 256."""

    lr: float = 1e-4
    epochs: int = 100
    patience: int | None = 3
    hidden: tuple[int, ...] = (256, 256)


class _Network:
    """Layers whose parameters lie in one vector, so that a step of the optimiser is a few operations on it."""

    def __init__(self, sizes: tuple[int, ...], rng: np.random.Generator) -> None:
        self.sizes = sizes
        bounds = [np.full((a + 1) * b, 1 / sqrt(a)) for a, b in pairwise(sizes)]
        self.parameters = np.concatenate([rng.uniform(-some, some) for some in bounds]).astype(np.float32)
        self.weights, self.biases = _layers(self.parameters, sizes)
        self._gradient = np.empty_like(self.parameters)
        self._slopes = _layers(self._gradient, sizes)

    def gradient(self, x: Floats, y: Floats) -> Floats:
        """Of the mean binary cross-entropy, by the parameters; overwritten by the next call."""
        *inputs, logits = _forward(x, self.weights, self.biases)
        slope = (1 / (1 + np.exp(-logits)) - y) / np.float32(y.size)
        for i in reversed(range(len(inputs))):
            np.matmul(inputs[i].T, slope, out=self._slopes[0][i])
            np.sum(slope, axis=0, out=self._slopes[1][i])
            if i:
                slope = (slope @ self.weights[i].T) * (inputs[i] > 0)
        return self._gradient

    def loss(self, x: Floats, y: Floats) -> float:
        """Mean binary cross-entropy."""
        logits = _forward(x, self.weights, self.biases)[-1]
        return float(np.mean(np.logaddexp(0, logits) - y * logits, dtype=np.float64))


class _Adam:
    """Adam (Kingma and Ba 2015), in place."""

    def __init__(self, size: int) -> None:
        self.taken = 0  # steps
        self._mean, self._square, self._spare = (np.zeros(size, dtype=np.float32) for _ in range(3))

    def step(self, parameters: Floats, gradient: Floats, lr: float) -> None:
        """Move the parameters; the gradient is overwritten."""
        self.taken += 1
        decay, decay_square, tiny = 0.9, 0.999, 1e-8
        spare = np.multiply(gradient, 1 - decay, out=self._spare)
        self._mean *= decay
        self._mean += spare
        np.multiply(gradient, gradient, out=gradient)
        gradient *= 1 - decay_square
        self._square *= decay_square
        self._square += gradient
        np.sqrt(self._square, out=spare)
        spare *= 1 / sqrt(1 - decay_square**self.taken)
        spare += tiny
        np.divide(self._mean, spare, out=spare)
        spare *= lr / (1 - decay**self.taken)
        parameters -= spare


def _layers(vector: Floats, sizes: Sequence[int]) -> tuple[tuple[Floats, ...], tuple[Floats, ...]]:
    """Views of one vector as the layers' weights (a, b) and biases (b,)."""
    weights, biases, at = [], [], 0
    for a, b in pairwise(sizes):
        weights.append(vector[at : at + a * b].reshape(a, b))
        biases.append(vector[at + a * b : at + a * b + b])
        at += (a + 1) * b
    return tuple(weights), tuple(biases)


def _forward(x: Floats, weights: Sequence[Floats], biases: Sequence[Floats]) -> list[Floats]:
    """The input of every layer, and the logits."""
    found = [x]
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        logits = found[-1] @ weight + bias
        found.append(logits if i == len(weights) - 1 else np.maximum(logits, 0))
    return found
