# pyright: basic
"""What a policy sees when an agent is about to run, as numbers: the same record for every network.

A network makes its own features of these raw figures in one pass, so what is stored with a decision does not depend on
who decided. A batch comes as NumPy arrays, or as tensors to learn from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mar.controllers.system_aware.delay import Load, loads
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
    rows = [_row(load, telemetry.get(load.model)) for load in loads(cards, telemetry)]
    return np.array(rows, dtype=np.float32)


def _row(load: Load, t: ModelTelemetry | None) -> list[float]:
    slots = load.slots
    if t is None:
        return [0, 0, 0, 0, 0, 0, load.service_s, slots, 0]
    raw = (t.running, t.waiting, t.kv_cache_usage, t.ttft_s, t.inter_token_s, t.e2e_s)
    known = [0.0 if x is None or not x > 0 else x for x in raw]
    if not load.answers:
        known[:3] = slots, SILENT_SHARE * slots, 1.0
    return [*known, load.service_s, slots, not load.answers]


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
    """Observations of a batch, all as arrays or all as tensors."""

    query: Any  # (B, E)
    role: Any  # (B, E)
    remaining: Any  # (B,), seconds
    budget: Any  # (B,), seconds
    models: Any  # (B, L, len(COLUMNS))
    step: Any  # (B, len(STEP_COLUMNS))

    @classmethod
    def stack(cls, seen: Sequence[Observation]) -> Inputs:
        """One row per observation, as arrays."""
        return cls(
            query=_stacked([o.query for o in seen]),
            role=_stacked([o.role for o in seen]),
            remaining=np.array([o.remaining_s for o in seen], dtype=np.float32),
            budget=np.array([o.budget_s for o in seen], dtype=np.float32),
            models=_stacked([o.models for o in seen]),
            step=_stacked([o.step for o in seen]),
        )

    def tensors(self) -> Inputs:
        """Arrays as tensors over the same memory."""
        return Inputs(
            query=torch.from_numpy(self.query),
            role=torch.from_numpy(self.role),
            remaining=torch.from_numpy(self.remaining),
            budget=torch.from_numpy(self.budget),
            models=torch.from_numpy(self.models),
            step=torch.from_numpy(self.step),
        )

    def rows(self, index: Any) -> Inputs:
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
    def silent(self) -> Any:
        """Models (B, L) that must not be chosen: silent servers, unless all are."""
        stale = self.models[..., STALE] > 0
        return stale & ~stale.all(-1)[..., None]


Decide = Callable[[Inputs], tuple[Array, Array]]  # a batch's arrays to logits and values


def decide_by(network: nn.Module) -> Decide:
    """A network as a function of arrays: by its own way to compute with them where it has one."""
    own = getattr(network, "in_arrays", None)
    if own is not None:
        return own()

    def by_tensors(seen: Inputs) -> tuple[Array, Array]:
        with torch.inference_mode():
            logits, values = network(seen.tensors())
        return logits.numpy(), values.numpy()

    return by_tensors


def _stacked(arrays: Sequence[Array]) -> Array:
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)
