# pyright: basic
"""`linear` and `mlp` once more, with PyTorch's layers and optimiser: what our own on NumPy is timed against."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mar.controllers.routers.base import Examples, Floats, Prompts
from mar.controllers.routers.networks import Linear, Mlp


@dataclass(kw_only=True)
class TorchLinear(Linear):
    """`linear`, trained as ours is."""

    def fit(self, train: Examples, validation: Examples) -> None:
        import torch

        torch.manual_seed(self.seed)
        x, y, vx, vy = (
            torch.from_numpy(np.ascontiguousarray(some))
            for some in (train.vectors, train.targets, validation.vectors, validation.targets)
        )
        sizes = (x.shape[1], *self.hidden, y.shape[1])
        layers = [layer for a, b in pairwise(sizes) for layer in (torch.nn.Linear(a, b), torch.nn.ReLU())]
        self.network = torch.nn.Sequential(*layers[:-1])
        optimizer = torch.optim.Adam(self.network.parameters(), lr=self.lr * self.batch**0.5, fused=True)
        steps = self.epochs * -(-len(x) // self.batch)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        loss_of = torch.nn.BCEWithLogitsLoss()
        best, waited, kept = float("inf"), 0, None
        for _ in range(self.epochs):
            for rows in torch.randperm(len(x)).split(self.batch):
                optimizer.zero_grad()
                loss_of(self.network(x[rows]), y[rows]).backward()
                optimizer.step()
                schedule.step()
            if self.patience is None:
                continue
            with torch.inference_mode():
                loss = float(loss_of(self.network(vx), vy))
            waited = 0 if loss < best else waited + 1
            if loss < best:
                best, kept = loss, {name: value.clone() for name, value in self.network.state_dict().items()}
            if waited >= self.patience:
                break
        if kept is not None:
            self.network.load_state_dict(kept)

    def score(self, prompts: Prompts) -> Floats:
        import torch

        with torch.inference_mode():
            return self.network(torch.from_numpy(prompts.vectors)).numpy()


@dataclass(kw_only=True)
class TorchMlp(TorchLinear):
    """`mlp`, trained as ours is."""

    lr: float = Mlp.lr
    epochs: int = Mlp.epochs
    patience: int | None = Mlp.patience
    hidden: tuple[int, ...] = Mlp.hidden
