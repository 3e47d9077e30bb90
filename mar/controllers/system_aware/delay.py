"""What a call sent now would wait for, estimated from a model's telemetry."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mar.pool.cards import ModelCard
from mar.types import ModelTelemetry

UNKNOWN_SERVICE_S = 10.0  # taken for the service time of a model that has answered nothing yet, where none has


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How busy one model is. A model whose server is silent is infinitely busy, never idle."""

    model: str
    slots: int  # calls that it computes at once
    busy: float  # calls under way or queued
    service_s: float  # recent mean seconds from the start of a call's computation to its last token

    @property
    def answers(self) -> bool:
        """Whether its server is heard of."""
        return math.isfinite(self.busy)

    @property
    def share(self) -> float:
        """Calls per slot: 1 when the batch is full, more when calls queue."""
        return self.busy / self.slots

    @property
    def delay_s(self) -> float:
        """Seconds until a call sent now would be answered: the calls ahead of it in the queue, then itself.

        The queue empties by `slots` calls per service time, and it is only there once the batch is full.
        """
        ahead = max(0.0, self.busy - self.slots + 1)
        return self.service_s * (1 + ahead / self.slots)


def loads(cards: Sequence[ModelCard], telemetry: Mapping[str, ModelTelemetry]) -> list[Load]:
    """The load of every model, in the cards' order."""
    services = {card.name: _service(telemetry.get(card.name)) for card in cards}
    known = [s for s in services.values() if s is not None]
    otherwise = sum(known) / len(known) if known else UNKNOWN_SERVICE_S
    found: list[Load] = []
    for card in cards:
        service = services[card.name]
        found.append(
            Load(
                model=card.name,
                slots=_slots(card, telemetry.get(card.name)),
                busy=_busy(telemetry.get(card.name)),
                service_s=otherwise if service is None else service,
            )
        )
    return found


def _slots(card: ModelCard, t: ModelTelemetry | None) -> int:
    """What the server is seen to compute at once, where that tells; else as many calls as we would send it."""
    if t is None or t.stale or t.running is None or t.running < 1:
        return card.concurrency
    full = (t.waiting or 0) > 0  # a server that lets calls wait has no free slot, whatever the card says
    return math.ceil(t.running) if full or t.running > card.concurrency else card.concurrency


def _busy(t: ModelTelemetry | None) -> float:
    if t is None or (t.running is None and t.waiting is None):
        return 0.0  # nothing has been counted: no call was made yet
    return math.inf if t.stale else float((t.running or 0) + (t.waiting or 0))


def _service(t: ModelTelemetry | None) -> float | None:
    if t is None or t.e2e_s is None:
        return None
    return max(t.e2e_s - (t.queue_s or 0.0), 1e-3)
