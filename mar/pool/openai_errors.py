"""The one place where the OpenAI SDK's exceptions become mar's.

Most classes map one to one. Three kinds of answers need a look at the text, because servers agree on the status but
not on the code: a prompt that overflows the context, a content filter, and a 429 that no waiting will cure because
the account's quota is spent.

No message carries a key: a refusal of the key never quotes the server (servers like to repeat the key), and any other
quotation is scrubbed of it.
"""

from __future__ import annotations

import email.utils
import re
import time
from typing import cast

import openai

from mar.errors import (
    BadKey,
    BadReply,
    BadRequest,
    CallError,
    CallTimeout,
    ConnectionLost,
    ContextOverflow,
    RateLimited,
    Refused,
    ServerFault,
    UnknownModel,
)

QUOTE_CHARS = 300  # of a server's own words, at most

# Most special first: the first class that the exception is an instance of decides.
_BY_CLASS: tuple[tuple[type[Exception], type[CallError]], ...] = (
    (openai.APITimeoutError, CallTimeout),
    (openai.APIConnectionError, ConnectionLost),
    (openai.RateLimitError, RateLimited),
    (openai.AuthenticationError, BadKey),
    (openai.PermissionDeniedError, BadKey),
    (openai.NotFoundError, UnknownModel),
    (openai.ConflictError, ServerFault),
    (openai.InternalServerError, ServerFault),
    (openai.BadRequestError, BadRequest),
    (openai.UnprocessableEntityError, BadRequest),
    (openai.APIResponseValidationError, BadReply),
    (openai.LengthFinishReasonError, BadReply),
    (openai.ContentFilterFinishReasonError, Refused),
    (openai.APIStatusError, BadRequest),  # other 4xx; 5xx and 408 are told apart by status below
    (openai.APIError, ServerFault),  # an error sent inside a stream
    (openai.OpenAIError, BadRequest),  # the SDK itself refuses, before anything is sent
    (openai.InvalidWebhookSignatureError, BadReply),  # cannot come from a chat call; mapped so that the map is whole
)

_WHAT: dict[type[CallError], str] = {
    CallTimeout: "no answer in time",
    ConnectionLost: "the connection failed",
    RateLimited: "too many requests",
    ServerFault: "the server failed",
    ContextOverflow: "the prompt does not fit the model's context",
    Refused: "the content filter refused",
    BadReply: "the reply is no chat completion",
}

_OVERFLOW = re.compile(
    r"context_length_exceeded|exceed_context_size|maximum context length|model's context length"
    r"|max_model_len|context window|available context size|prompt is too long"
    r"|input token count .* exceeds|decoder prompt .* is longer",
    re.IGNORECASE,
)
_FILTERED = re.compile(r"content[_ ](filter|policy|management)|responsible ai policy|safety system", re.IGNORECASE)
_UNKNOWN_MODEL = re.compile(
    r"model_not_found|model .{0,120}(does not exist|not found|not a valid model)", re.IGNORECASE
)
_QUOTA_SPENT = re.compile(r"insufficient_quota|billing_hard_limit|credit balance is too low", re.IGNORECASE)


def error_class(kind: type[Exception]) -> type[CallError]:
    """The error that a class of vendor exceptions stands for, before its text is looked at."""
    return next((ours for theirs, ours in _BY_CLASS if issubclass(kind, theirs)), CallError)


def from_openai(error: Exception, *, model: str, host: str, key: str = "") -> CallError:
    """The error of ours that a vendor exception stands for.

    Args:
        error: What the SDK raised.
        model: Name of the model that was asked.
        host: Where it was asked.
        key: The key in use, so that no message repeats it.
    """
    said = _said(error, key)
    kind = _classify(error, said)
    return kind(_explain(kind, error, said, model, host), retry_after_s=_retry_after(error))


def _classify(error: Exception, said: str) -> type[CallError]:
    kind = error_class(type(error))
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and kind is BadRequest:
        kind = CallTimeout if status == 408 else ServerFault if status >= 500 else BadRequest
    if kind is RateLimited:
        return BadKey if _QUOTA_SPENT.search(said) else kind
    if kind in (BadRequest, ServerFault) and _FILTERED.search(said):
        return Refused
    if kind in (BadRequest, ServerFault) and (status == 413 or _OVERFLOW.search(said)):
        return ContextOverflow
    if kind is BadRequest and _UNKNOWN_MODEL.search(said):
        return UnknownModel
    return kind


def _explain(kind: type[CallError], error: Exception, said: str, model: str, host: str) -> str:
    status = getattr(error, "status_code", None)
    where = f"{model} at {host}"
    code = f" ({status})" if isinstance(status, int) else ""
    if kind is BadKey:
        if isinstance(status, int) and status == 429:
            return f"{where}: the account's quota is spent{code}; no retry will help"
        return f"{where}: the server refused the key{code}; check the key that is set for this model"
    if kind is UnknownModel:
        return f"{where}: the server does not know this model or path{code}; check `served_name` and the base URL"
    what = _WHAT.get(kind, "the server rejects the request")
    return f"{where}: {what}{code}" + (f": {said}" if said else "")


def _said(error: Exception, key: str) -> str:
    """The server's words in one short line, with its code, free of the key."""
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__
        return "" if cause is None else _clean(f"{type(cause).__name__} {cause}", key)
    parts = [str(error)]
    body = getattr(error, "body", None)
    if isinstance(body, dict):
        fields = cast("dict[str, object]", body)
        message = fields.get("message")
        parts = [str(message)] if message else parts
        parts += [f"[{fields[name]}]" for name in ("code", "type") if fields.get(name)]
    return _clean(" ".join(parts), key)


def _clean(text: str, key: str) -> str:
    line = " ".join(text.split())
    if key:
        line = line.replace(key, "[key]")
    return line if len(line) <= QUOTE_CHARS else line[:QUOTE_CHARS] + "…"


def _retry_after(error: Exception) -> float | None:
    """Seconds that the server asked us to wait: Retry-After as seconds or as a date, or retry-after-ms."""
    if not isinstance(error, openai.APIStatusError):
        return None
    headers = error.response.headers
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        value = headers.get("retry-after")
        if not value:
            return None
        if re.fullmatch(r"\s*\d+(\.\d+)?\s*", value):
            return float(value)
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
