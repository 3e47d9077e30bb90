# pyright: basic
"""Coordinates of texts, by which skills may differ."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """Coordinates of texts: principal components of their embeddings, standardised."""

    mean: torch.Tensor  # (E,)
    directions: torch.Tensor  # (E, K)
    edge: float = -1.0  # cosine with the mean that all but one in a hundred of the texts reach; -1: nothing is far
    middle: float = -1.0  # cosine with the mean that half of the texts reach

    @classmethod
    def none(cls, embedding: int) -> Topics:
        """No coordinates."""
        return cls(mean=torch.zeros(embedding), directions=torch.zeros(embedding, 0))

    @classmethod
    def of(cls, vectors: torch.Tensor, width: int) -> Topics:
        """The first components of some texts' embeddings (n, E)."""
        mean = vectors.mean(0)
        _, sizes, directions = torch.linalg.svd(vectors - mean, full_matrices=False)
        sign = torch.sign(directions.gather(1, directions.abs().argmax(1, keepdim=True)))  # else a matter of chance
        spread = sizes[:width] / math.sqrt(max(1, len(vectors) - 1))
        near = torch.nn.functional.cosine_similarity(vectors, mean[None], dim=1)
        edge, middle = torch.quantile(near, torch.tensor([0.01, 0.5])).tolist()
        across = ((directions * sign)[:width] / spread.clamp(min=1e-6)[:, None]).T.contiguous()
        return cls(mean=mean, directions=across, edge=edge, middle=middle)

    def near(self, vector: torch.Tensor) -> float:
        """Cosine of a text's embedding (E,) with the mean of the texts; 1 where there were none."""
        if self.edge == -1.0:
            return 1.0
        return float(torch.nn.functional.cosine_similarity(vector, self.mean, dim=0))

    def __call__(self, vectors: torch.Tensor) -> torch.Tensor:
        """Coordinates (n, K) of embeddings (n, E)."""
        return (vectors - self.mean) @ self.directions
