# pyright: basic
"""The two published executor networks: which LLM and which prompt strategy an agent gets, and what it is worth.

published   semantic path [e_query | e_role] -> 128; budget -> 16 and metrics -> 16, together -> 64; both -> 128;
            one joint head over LLM x strategy and a value head. Metrics of a model: (running + waiting) / 16,
            log(1 + recent latency) / log 300, share of the KV cache in use.
early       one layer of 128 over query, role, remaining budget and six raw metrics of each model; separate heads for
            LLM and strategy, and a value head.

Both know the models by their place in the pool, so a checkpoint is for one pool.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mar.controllers.system_aware.estimators import CallEstimator
from mar.controllers.system_aware.observe import E2E, KV, RUNNING, SERVICE, WAITING, Inputs

LONGEST_S = 300.0  # the latency that features count as 1, as published
BATCH = 16.0  # calls of a full model, as published
IMPOSSIBLE = -1e9


class PublishedExecutor(nn.Module):
    """The dual-path network.

    Args:
        embedding: Width of a text embedding, E.
        models: L.
        strategies: S.
        estimates: Also take the estimator's expected tokens and seconds of every choice.
    """

    def __init__(self, embedding: int, models: int, strategies: int, *, estimates: bool = False) -> None:
        super().__init__()
        self.semantic = nn.Linear(2 * embedding, 128)
        self.budget = nn.Linear(1, 16)
        self.metrics = nn.Linear(3 * models, 16)
        self.estimator = CallEstimator(models, strategies) if estimates else None
        self.estimates = nn.Linear(2 * models * strategies, 16) if estimates else None
        self.resource = nn.Linear(48 if estimates else 32, 64)
        self.merge = nn.Linear(192, 128)
        self.policy = nn.Linear(128, models * strategies)
        self.value = nn.Linear(128, 1)

    def forward(self, seen: Inputs) -> tuple[Tensor, Tensor]:
        """Logits (B, L, S) and values (B,)."""
        m = seen.models
        busy = (m[..., RUNNING] + m[..., WAITING]) / BATCH
        metrics = torch.stack([busy, torch.log1p(m[..., E2E]) / math.log(LONGEST_S), m[..., KV]], -1)
        budget = (seen.remaining.clamp(min=1.0).log() / math.log(LONGEST_S)).unsqueeze(-1)
        parts = [torch.relu(self.budget(budget)), torch.relu(self.metrics(metrics.flatten(1)))]
        if self.estimator is not None and self.estimates is not None:
            expected = torch.stack(self.estimator(seen), -1) / math.log(LONGEST_S)
            parts.append(torch.relu(self.estimates(expected.flatten(1))))
        semantic = torch.relu(self.semantic(torch.cat([seen.query, seen.role], -1)))
        hidden = torch.relu(self.merge(torch.cat([semantic, torch.relu(self.resource(torch.cat(parts, -1)))], -1)))
        logits = self.policy(hidden).view(len(m), m.shape[1], -1)
        return _answering(logits, seen), self.value(hidden).squeeze(-1)


class EarlyExecutor(nn.Module):
    """The first release's network: one hidden layer, separate heads."""

    def __init__(self, embedding: int, models: int, strategies: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(2 * embedding + 1 + SERVICE * models, 128)
        self.llm = nn.Linear(128, models)
        self.strategy = nn.Linear(128, strategies)
        self.value = nn.Linear(128, 1)

    def forward(self, seen: Inputs) -> tuple[Tensor, Tensor]:
        """Logits (B, L, S), the sum of both heads', and values (B,)."""
        raw = seen.models[..., :SERVICE].flatten(1)
        everything = torch.cat([seen.query, seen.role, seen.remaining.unsqueeze(-1), raw], -1)
        hidden = torch.relu(self.hidden(everything))
        logits = self.llm(hidden).unsqueeze(-1) + self.strategy(hidden).unsqueeze(1)
        return _answering(logits, seen), self.value(hidden).squeeze(-1)


def _answering(logits: Tensor, seen: Inputs) -> Tensor:
    """Logits (B, L, S) with silent servers ruled out."""
    return logits.masked_fill(seen.silent.unsqueeze(-1), IMPOSSIBLE)
