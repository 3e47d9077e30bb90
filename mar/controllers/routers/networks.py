# pyright: basic
"""LinearR and MLPR: one linear layer, or two hidden ones, trained with binary cross-entropy (RouterEval).

Published are batches of one and a fixed number of epochs. Batches of `batch` with a learning rate that grows with
their square root, stopped when the validation loss has not fallen for `patience` epochs, reach the same accuracy in
a hundredth of the time (docs/results.md); `batch=1, patience=None` is the published training.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from mar.controllers.routers.base import Examples, Floats, Prompts, fitted


@dataclass(kw_only=True)
class Linear:
    """Logits of being right, linear in the embedding."""

    lr: float = 0.01
    epochs: int = 10
    batch: int = 64
    patience: int | None = 3
    seed: int = 0
    hidden: tuple[int, ...] = ()

    def fit(self, train: Examples, validation: Examples) -> None:
        """Train, and keep the weights of the epoch with the lowest validation loss (without `patience`: the last)."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # bitwise the same wherever it runs, and no slower at this size
        try:
            layers = self._train(train, validation)
        finally:
            torch.set_num_threads(threads)
        self.weights_ = tuple(layer.weight.detach().numpy().T.copy() for layer in layers)
        self.biases_ = tuple(layer.bias.detach().numpy().copy() for layer in layers)

    def score(self, prompts: Prompts) -> Floats:
        """Logits, shape (n, m)."""
        found = prompts.vectors
        for i, (weight, bias) in enumerate(zip(fitted(self, "weights_"), fitted(self, "biases_"), strict=True)):
            found = (np.maximum(found, 0) if i else found) @ weight + bias
        return found

    def _train(self, train: Examples, validation: Examples) -> list[nn.Linear]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            sizes = (train.vectors.shape[1], *self.hidden, train.scores.shape[1])
            layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
            network = nn.Sequential(*[part for layer in layers for part in (nn.ReLU(), layer)][1:])
            self._descend(network, _tensors(train), _tensors(validation) if self.patience is not None else None)
        return layers

    def _descend(self, network: nn.Module, train: tuple, validation: tuple | None) -> None:
        x, y = train
        optimizer = torch.optim.Adam(network.parameters(), lr=self.lr * sqrt(self.batch))
        steps = self.epochs * -(-len(x) // self.batch)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        best, waited, kept = float("inf"), 0, {}
        for _ in range(self.epochs):
            for rows in torch.randperm(len(x)).split(self.batch):
                optimizer.zero_grad()
                functional.binary_cross_entropy_with_logits(network(x[rows]), y[rows]).backward()
                optimizer.step()
                schedule.step()
            if validation is None:
                continue
            with torch.inference_mode():
                loss = float(functional.binary_cross_entropy_with_logits(network(validation[0]), validation[1]))
            if loss < best:
                best, waited, kept = loss, 0, {k: v.clone() for k, v in network.state_dict().items()}
            else:
                waited += 1
                if waited >= (self.patience or 0):
                    break
        if kept:
            network.load_state_dict(kept)


@dataclass(kw_only=True)
class Mlp(Linear):
    """The same with two hidden layers of 256."""

    lr: float = 1e-4
    epochs: int = 100
    hidden: tuple[int, ...] = (256, 256)


def _tensors(examples: Examples) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(np.ascontiguousarray(examples.vectors)), torch.from_numpy(examples.targets.copy())
