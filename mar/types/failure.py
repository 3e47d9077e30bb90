"""Failure as data: what went wrong, recorded as what it is and counted in every table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FailureKind = Literal[
    "call",  # a model call failed in a way without a better name
    "rate_limited",
    "server_fault",
    "timeout",
    "connection",
    "bad_reply",
    "bad_key",
    "unknown_model",
    "context_overflow",
    "bad_request",
    "refused",
    "broken_off",  # an answer that was being shown did not come to its end
    "lookup",  # a look-up service gave no answer
    "check",  # a check of one's own failed
    "tool",  # a tool that a model called did not do its work: too slow, gone, or failing
    "sandbox",  # generated code could not be run, or its answer could not be carried
    "unreadable",  # no answer could be read from the text
    "limit",  # a budget ended the work
    "called_off",  # the answer was settled without it: nothing went wrong
    "no_recording",  # a replay pool holds no answer for this item and model
    "simulated",  # a simulated pool was asked something it knows nothing about
    "no_answer",  # nobody produced anything to decide on
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One thing that failed."""

    kind: FailureKind
    reason: str  # one line for people, free of keys
    attempts: int = 1  # how often it was tried
    retry_after_s: float | None = None  # when the server asked to be asked again, where it did
