"""Requests as a gateway writes them down."""

from __future__ import annotations

from mar.serving.record import Entry
from mar.types import Usage


def entry(id="e1", **fields):
    usage = Usage(calls=1, prompt_tokens=10, completion_tokens=5, cost_usd=0.000123457, uncertain_usd=0.0)
    figures = {"usage": usage, "models": ("a",), "attempts": 1, "decision_s": 0.001, "seconds": 0.5, "first_s": None}
    text = {"guest": "key-1", "asked": "mar", "query": None, "controller": "cards", "plan": None, "label": "IO(a)"}
    given = {"at": 1.8e9, "status": 200, "keep": "text", "why": {"why": "cheap"}, **figures, **text, **fields}
    return Entry(id=id, **given)
