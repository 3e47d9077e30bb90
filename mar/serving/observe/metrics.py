"""What a worker counts, for Prometheus; docs/gateway.md says what each figure means."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

from mar.serving.record import Entry
from mar.types import Circuit, ModelTelemetry

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
CIRCUIT: Mapping[Circuit, int] = {"closed": 0, "trial": 1, "open": 2}
MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"  # where workers put their counts, as the client library wants it called


def forget_dead_workers() -> None:
    """Leave out of the figures how things stood with workers that are no more; what they counted stays."""
    for file in Path(os.environ[MULTIPROCESS]).glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)  # asks only whether it is there
        except ProcessLookupError:
            multiprocess.mark_process_dead(pid)  # pyright: ignore[reportUnknownMemberType]


class Metrics:
    """The figures of one worker."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        counter = partial(Counter, namespace="mar", registry=registry)
        histogram = partial(Histogram, namespace="mar", registry=registry, buckets=SECONDS)
        self._requests = counter("requests", "Requests that were let in, by status", ["asked", "status"])
        self._seconds = histogram("request_seconds", "From the request to its end", ["asked"])
        self._first = histogram("first_piece_seconds", "To a stream's first piece", ["asked"])
        self._decide = histogram("decision_seconds", "Planning a request", ["controller"])
        self._tokens = counter("tokens", "Tokens that servers counted", ["asked", "kind"])
        self._cost = counter("cost_usd", "USD of all calls whose price is known", ["asked"])
        self._unpriced = counter("unpriced_requests", "Requests with a call of unknown price", ["asked"])
        self._plans = counter("plans", "Plans, by collaboration mode", ["controller", "mode"])
        self._models = counter("model_requests", "Requests that asked a model", ["model"])
        self._attempts = counter("attempts", "Tries of calls", ["asked"])
        self._refused = counter("refusals", "Requests that were not let in or not understood", ["status"])
        self._shadows = counter(
            "shadows", "Requests that a candidate planned in shadow, by what became of it", ["state"]
        )
        self._verdicts = counter(
            "shadow_verdicts", "Answers in shadow, by what was said of them beside the served one", ["verdict"]
        )
        self._others = counter(
            "others", "Models that were asked a rated question in shadow, by what came of it", ["state"]
        )
        self._drifts = counter("drifts", "Changes that were noticed, by what changed", ["what"])
        self._dropped = counter("records_dropped", "Requests that were not written down: the store was away too long")
        self._circuit = Gauge(
            "circuit",
            "Whether calls go through to a model's server: 0 yes, 1 one may try, 2 none",
            ["model"],
            namespace="mar",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._seen_dropped = 0

    def add(self, entry: Entry) -> None:
        """Count a request that has ended."""
        asked, usage = entry.asked, entry.usage
        self._requests.labels(asked, str(entry.status)).inc()
        self._seconds.labels(asked).observe(entry.seconds)
        if entry.first_s is not None:
            self._first.labels(asked).observe(entry.first_s)
        self._tokens.labels(asked, "prompt").inc(usage.prompt_tokens or 0)
        self._tokens.labels(asked, "completion").inc(usage.completion_tokens or 0)
        if usage.cost_usd is None:
            self._unpriced.labels(asked).inc()
        else:
            self._cost.labels(asked).inc(usage.cost_usd)
        self._attempts.labels(asked).inc(entry.attempts)
        self._decide.labels(entry.controller or "none").observe(entry.decision_s)
        mode = entry.label if entry.plan is None or not entry.controller else entry.plan.mode.name
        self._plans.labels(entry.controller or "none", mode).inc()
        for model in entry.models:
            self._models.labels(model).inc()

    def refused(self, status: int) -> None:
        """Count a request that came to nothing before it was worked on."""
        self._refused.labels(str(status)).inc()

    def shadowed(self, state: str) -> None:
        """Count a request in shadow."""
        self._shadows.labels(state).inc()

    def compared(self, verdict: str) -> None:
        """Count what was said of an answer in shadow, or why nothing was."""
        self._verdicts.labels(verdict).inc()

    def heard(self, state: str) -> None:
        """Count a model that was asked a rated question in shadow."""
        self._others.labels(state).inc()

    def drifted(self, what: str) -> None:
        """Count a change that was noticed."""
        self._drifts.labels(what).inc()

    def look(self, telemetry: Mapping[str, ModelTelemetry], dropped: int) -> None:
        """Take down how things stand: each model's circuit, and how many requests were not written down so far."""
        for model, figures in telemetry.items():
            self._circuit.labels(model).set(CIRCUIT[figures.circuit])
        self._dropped.inc(dropped - self._seen_dropped)
        self._seen_dropped = dropped

    def text(self) -> bytes:
        """All figures of all workers, as Prometheus reads them."""
        registry = self.registry
        if MULTIPROCESS in os.environ:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)
        return generate_latest(registry)
