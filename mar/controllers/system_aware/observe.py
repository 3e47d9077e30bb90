# pyright: basic
"""What a policy sees when an agent is about to run, as numbers: the same record for every network.

A network makes its own features of these raw figures in one tensor pass, so what is stored with a decision does not
depend on who decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mar.controllers.system_aware.delay import loads
from mar.pool.cards import ModelCard
from mar.types import ModelTelemetry

Array = npt.NDArray[np.float32]

COLUMNS = ("running", "waiting", "kv", "ttft_s", "inter_token_s", "e2e_s", "service_s", "slots", "stale")
RUNNING, WAITING, KV, TTFT, INTER_TOKEN, E2E, SERVICE, SLOTS, STALE = range(len(COLUMNS))
SILENT_SHARE = 8.0  # calls per slot that a silent server is taken to have: far more than a full one
STEP_COLUMNS = ("agents left / 6", "agents / 6", "decider", "round", "log(1 + query tokens)")
AGENTS_LEFT, AGENTS, DECIDER, ROUND, LOG_TOKENS = range(len(STEP_COLUMNS))


def model_rows(cards: Sequence[ModelCard], telemetry: Mapping[str, ModelTelemetry]) -> Array:
    """The load of every model in the cards' order, shape (L, len(COLUMNS)); what is not known is 0.

    A silent server's figures are old, so it is shown as flooded: it must never look idle.
    """
    rows = np.zeros((len(cards), len(COLUMNS)), dtype=np.float32)
    for row, card, load in zip(rows, cards, loads(cards, telemetry), strict=True):
        t = telemetry.get(card.name)
        row[SERVICE], row[SLOTS] = load.service_s, card.concurrency
        if t is None:
            continue
        row[:SERVICE] = [
            0.0 if x is None or not x > 0 else x
            for x in (t.running, t.waiting, t.kv_cache_usage, t.ttft_s, t.inter_token_s, t.e2e_s)
        ]
        if not load.answers:
            row[RUNNING], row[WAITING], row[KV], row[STALE] = card.concurrency, SILENT_SHARE * card.concurrency, 1, 1
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One decision's inputs."""

    query: Array  # embedding, (E,)
    role: Array  # embedding of the role's description, (E,); zeros for decisions about a whole query
    remaining_s: float  # until the deadline; not below 0
    budget_s: float  # from arrival to deadline
    models: Array  # (L, len(COLUMNS)), see `model_rows`
    step: Array  # (len(STEP_COLUMNS),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Observations of a batch as tensors."""

    query: Tensor  # (B, E)
    role: Tensor  # (B, E)
    remaining: Tensor  # (B,), seconds
    budget: Tensor  # (B,), seconds
    models: Tensor  # (B, L, len(COLUMNS))
    step: Tensor  # (B, len(STEP_COLUMNS))

    @classmethod
    def stack(cls, seen: Sequence[Observation]) -> Inputs:
        """One row per observation."""
        return cls(
            query=_stacked([o.query for o in seen]),
            role=_stacked([o.role for o in seen]),
            remaining=torch.tensor([o.remaining_s for o in seen], dtype=torch.float32),
            budget=torch.tensor([o.budget_s for o in seen], dtype=torch.float32),
            models=_stacked([o.models for o in seen]),
            step=_stacked([o.step for o in seen]),
        )

    def rows(self, index: Tensor) -> Inputs:
        """Some of the rows."""
        return Inputs(
            query=self.query[index],
            role=self.role[index],
            remaining=self.remaining[index],
            budget=self.budget[index],
            models=self.models[index],
            step=self.step[index],
        )

    @property
    def silent(self) -> Tensor:
        """Models (B, L) that must not be chosen: silent servers, unless all are."""
        stale = self.models[..., STALE] > 0
        return stale & ~stale.all(-1, keepdim=True)


def _stacked(arrays: Sequence[Array]) -> Tensor:
    return torch.from_numpy(np.stack(arrays))
