"""What an inference server says about itself: Prometheus text, read into one small record.

The names are vLLM's, the present ones and those of older servers. A mean over a time is the growth of a histogram's
sum over the growth of its count; a count that shrank belongs to a server that was restarted, and gives no mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING

from mar.errors import BadReply

if TYPE_CHECKING:
    from prometheus_client import Metric

RUNNING = ("vllm:num_requests_running",)
WAITING = ("vllm:num_requests_waiting",)
MOST = 1e300  # a figure beyond it, infinite or NaN is unknown; some are integers that fit no float
KV_CACHE = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")  # a share, 0 to 1, whatever it is called
TTFT = ("vllm:time_to_first_token_seconds",)
INTER_TOKEN = ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds")
E2E = ("vllm:e2e_request_latency_seconds",)
QUEUE = ("vllm:request_queue_time_seconds",)
PROMPT_TOKENS = ("vllm:prompt_tokens_total", "vllm:prompt_tokens")
GENERATED_TOKENS = ("vllm:generation_tokens_total", "vllm:generation_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """A histogram's totals since its server began."""

    sum: float = 0.0  # seconds
    count: float = 0.0

    def mean_since(self, before: Total) -> float | None:
        """Mean of what was observed since an earlier reading; None when nothing was, or the server began anew."""
        count = self.count - before.count
        return (self.sum - before.sum) / count if count > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerMetrics:
    """One reading of one model's server. None: the server does not say."""

    running: int | None = None  # requests being computed
    waiting: int | None = None  # requests queued
    kv_cache_usage: float | None = None  # share of the KV cache in use, 0 to 1
    ttft: Total = field(default_factory=Total)
    inter_token: Total = field(default_factory=Total)
    e2e: Total = field(default_factory=Total)
    queue: Total = field(default_factory=Total)
    prompt_tokens: float = 0.0  # since the server began
    generated_tokens: float = 0.0  # since the server began

    def restarted_since(self, before: ServerMetrics) -> bool:
        """Whether totals shrank, so that this reading is of a new process."""
        return self.e2e.count < before.e2e.count or self.generated_tokens < before.generated_tokens


def read_metrics(text: str, served_name: str) -> ServerMetrics:
    """Read the text of /metrics.

    Args:
        text: The reply's body.
        served_name: The server's name for the model; series that carry another one are left out. A server that does
            not know the name at all (it may be served under several) is read as a whole.

    Raises:
        BadReply: It is no Prometheus text, or holds none of the figures.
    """
    from prometheus_client.parser import text_string_to_metric_families  # only watched servers need it

    try:
        families = list(text_string_to_metric_families(text))
    except (ValueError, KeyError, IndexError) as error:
        raise BadReply(f"/metrics is no Prometheus text: {str(error)[:100]}") from None
    values = _values(families, served_name)
    if not any(_first(values, names) is not None for names in (RUNNING, WAITING)):
        raise BadReply("/metrics holds no queue figures; expected those of vLLM, such as vllm:num_requests_running")
    return ServerMetrics(
        running=_count(_first(values, RUNNING)),
        waiting=_count(_first(values, WAITING)),
        kv_cache_usage=_first(values, KV_CACHE),
        ttft=_total(values, TTFT),
        inter_token=_total(values, INTER_TOKEN),
        e2e=_total(values, E2E),
        queue=_total(values, QUEUE),
        prompt_tokens=_first(values, PROMPT_TOKENS) or 0.0,
        generated_tokens=_first(values, GENERATED_TOKENS) or 0.0,
    )


def _values(families: Iterable[Metric], served_name: str) -> Mapping[str, float]:
    """Samples by name: the model's own, over all engines the sum, of shares the mean."""
    samples = [s for family in families for s in family.samples if s.name.startswith("vllm:")]
    known = any(s.labels.get("model_name") == served_name for s in samples)
    found: dict[str, list[float]] = {}
    for s in samples:
        if abs(s.value) < MOST and (not known or s.labels.get("model_name", served_name) == served_name):
            found.setdefault(s.name, []).append(s.value)
    return {name: fmean(v) if name in KV_CACHE else sum(v) for name, v in found.items()}


def _first(values: Mapping[str, float], names: Iterable[str]) -> float | None:
    return next((values[name] for name in names if name in values), None)


def _count(value: float | None) -> int | None:
    return None if value is None else round(value)


def _total(values: Mapping[str, float], names: Iterable[str]) -> Total:
    for name in names:
        if f"{name}_count" in values:
            return Total(sum=values.get(f"{name}_sum", 0.0), count=values[f"{name}_count"])
    return Total()
