"""One line of JSON for every request that has ended."""

from __future__ import annotations

import logging

import orjson

from mar.serving.keys.key import without_secrets
from mar.serving.record import Entry

log = logging.getLogger("mar.access")


def write(entry: Entry) -> None:
    """Log a request."""
    usage = entry.usage
    line = {
        "at": round(entry.at, 3),
        "episode": entry.id,
        "guest": entry.guest,
        "asked": entry.asked,
        "status": entry.status,
        "reason": entry.reason,
        "plan": entry.label,
        "models": entry.models,
        "attempts": entry.attempts,
        "ms": round(entry.seconds * 1e3, 1),
        "first_ms": None if entry.first_s is None else round(entry.first_s * 1e3, 1),
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost_usd": None if usage.cost_usd is None else round(usage.cost_usd, 9),
    }
    log.info(without_secrets(orjson.dumps(line).decode()))
