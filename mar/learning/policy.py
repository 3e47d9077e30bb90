# pyright: basic
"""A policy as training sees it: noisy latents, draws that repeat themselves, advantages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mar.controllers.masrouter import Candidates, Cascade, CascadeOutput, Encoded, MasRouter
from mar.runtime.identity import digest


@dataclass(frozen=True, slots=True)
class Policy:
    """A pass of the network in training: its latents are noisy, with the same noise whenever the key is the same."""

    network: Cascade
    candidates: Candidates

    def __call__(self, inputs: Tensor, key: str, **how: Any) -> tuple[CascadeOutput, Encoded]:
        """Plans of a batch, drawn or evaluated as `Cascade.forward` says, and the candidates as they were seen."""
        noise = generator_of(key, "latents")
        encoded = self.network.encode(self.candidates, noise)
        return self.network(inputs, encoded, noise=noise, **how), encoded


def task_loss(router: MasRouter, output: CascadeOutput, truth: Tensor) -> Tensor:
    """Cross-entropy of the task classifier on true domains (B,); the published one puts a softmax into it twice."""
    logits = output.domain_logits if router.settings.fixes.learned_scale else output.domain_logits.softmax(-1)
    return nn.functional.cross_entropy(logits, truth)


def advantages(utility: Tensor, valid: Tensor, *, baseline: bool) -> Tensor:
    """Utilities (B, K) to advantages; rows that are not valid count for nothing, neither do queries with one row."""
    weight = valid.float()
    if not baseline or utility.shape[1] == 1:
        return utility * weight
    total, n = (utility * weight).sum(1, keepdim=True), weight.sum(1, keepdim=True)
    others = (total - utility * weight) / (n - 1).clamp(min=1)
    return (utility - others) * weight * (n > 1)


def generator_of(*key: str) -> torch.Generator:
    """A source of draws that is the same whenever the key is."""
    return torch.Generator().manual_seed(int(digest(*key, size=7), 16))


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean; NaN of nothing."""
    return sum(values) / len(values) if values else float("nan")
