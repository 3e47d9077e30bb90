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
        return cls(mean=mean, directions=((directions * sign)[:width] / spread.clamp(min=1e-6)[:, None]).T.contiguous())

    def __call__(self, vectors: torch.Tensor) -> torch.Tensor:
        """Coordinates (n, K) of embeddings (n, E)."""
        return (vectors - self.mean) @ self.directions
