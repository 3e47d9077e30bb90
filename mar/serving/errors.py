"""What a client is told when it gets no answer: one refusal, in the form of whichever protocol it speaks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mar.serving.keys.key import without_secrets
from mar.types import Episode, Failure, FailureKind, Stopped


class Refusal(Exception):
    """A request that is not answered.

    Args:
        message: What is wrong and what to do about it, in one line, for whoever wrote the client.
        status: Of HTTP.
        code: What is wrong, as a word that programs can tell apart.
        param: Which field of the request is wrong, if one is.
        retry_after_s: When to ask again, where that is known.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str = "invalid_value",
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        # A client that confuses its fields (its key for a model's name) is not told, nor logged, the key.
        self.message, self.status, self.code = without_secrets(message), status, code
        self.param = None if param is None else without_secrets(param)
        super().__init__(self.message)
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the reply."""
        return {} if self.retry_after_s is None else {"retry-after": f"{max(1, math.ceil(self.retry_after_s))}"}


_KINDS: Mapping[int, str] = {  # of OpenAI's errors, by status
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_ANTHROPIC: Mapping[int, str] = {  # of Anthropic's errors, where they differ
    402: "billing_error",
    404: "not_found_error",
    413: "request_too_large",
}


def openai_error(refusal: Refusal) -> dict[str, Any]:
    """OpenAI's error object."""
    kind = _KINDS.get(refusal.status, "api_error")
    return {"error": {"message": refusal.message, "type": kind, "param": refusal.param, "code": refusal.code}}


def anthropic_error(refusal: Refusal) -> dict[str, Any]:
    """Anthropic's error object."""
    kind = _ANTHROPIC.get(refusal.status) or _KINDS.get(refusal.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": refusal.message}}


# Status and code of what failed beneath. A server's own trouble with its key or its models is no fault of the client.
_STATUS: Mapping[FailureKind, tuple[int, str]] = {
    "rate_limited": (429, "rate_limit_exceeded"),
    "timeout": (504, "upstream_timeout"),
    "context_overflow": (400, "context_length_exceeded"),
    "bad_request": (400, "upstream_refused_request"),
    "refused": (400, "content_filter"),
    "limit": (402, "budget_exceeded"),
}


def cause(episode: Episode) -> Failure:
    """Why an episode has no answer: its time was over, or what failed last, rather than that nobody said anything."""
    if any(isinstance(event, Stopped) and event.why == "seconds" for event in episode.events):
        return Failure(kind="timeout", reason="nobody had answered by the deadline that was asked for")
    failures = [f for f in episode.failures if f.kind not in ("no_answer", "called_off")]
    return failures[-1] if failures else Failure(kind="no_answer", reason="no model produced anything")


def of_failure(failure: Failure) -> Refusal:
    """What a client is told about a failure beneath."""
    status, code = _STATUS.get(failure.kind, (502, "upstream_error"))
    reason = " ".join(failure.reason.splitlines())
    return Refusal(reason, status=status, code=code, retry_after_s=failure.retry_after_s)
