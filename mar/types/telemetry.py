"""What a pool knows about its models at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Circuit = Literal["closed", "open", "trial"]  # calls go through; fail at once; one may try whether the server is back


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTelemetry:
    """One model's load. None: not known. A stale record is old news: its model must not be taken for idle."""

    model: str
    running: int | None = None  # requests being computed
    waiting: int | None = None  # requests queued
    kv_cache_usage: float | None = None  # share of the KV cache in use, 0 to 1
    ttft_s: float | None = None  # recent mean time to first token
    inter_token_s: float | None = None  # recent mean time between tokens
    e2e_s: float | None = None  # recent mean end-to-end latency
    queue_s: float | None = None  # recent mean time in the queue
    requests_left: int | None = None  # calls that a hosted API's rate limit still allows in its present window
    tokens_left: int | None = None  # tokens, likewise
    age_s: float = 0.0  # how old these figures are
    stale: bool = False  # the server has not answered for too long
    circuit: Circuit = "closed"  # whether calls are let through to it
