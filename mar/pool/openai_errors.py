"""The one place where the OpenAI SDK's exceptions are read: a server's words, or a failure on the way to it.

What the words stand for is decided in `mar.pool.faults`, which knows no SDK.
"""

from __future__ import annotations

import openai

from mar.errors import BadReply, BadRequest, CallError, CallTimeout, Charge, ConnectionLost, Refused
from mar.pool.faults import Where
from mar.pool.server_words import Said, read_error

# Most special first: the first class that the exception is an instance of decides.
_BY_CLASS: tuple[tuple[type[Exception], type[CallError]], ...] = (
    (openai.APITimeoutError, CallTimeout),
    (openai.APIConnectionError, ConnectionLost),
    (openai.APIResponseValidationError, BadReply),
    (openai.LengthFinishReasonError, BadReply),
    (openai.ContentFilterFinishReasonError, Refused),
    (openai.InvalidWebhookSignatureError, BadReply),  # cannot come from a chat call; mapped so that the map is whole
    (openai.OpenAIError, BadRequest),  # the SDK itself refuses, before anything is sent
)
_WHAT: dict[type[CallError], str] = {
    CallTimeout: "no answer in time",
    ConnectionLost: "the connection failed",
    BadReply: "the reply is no chat completion",
    Refused: "the content filter refused",
    BadRequest: "the request cannot be sent",
}
# Failures before a request was sent, by the names that they have in every version of the HTTP library.
_NEVER_SENT = (
    "ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol", "LocalProtocolError",
)  # fmt: skip


def from_openai(error: Exception, where: Where) -> Said | CallError:
    """What a server said, or the error of ours that an exception of the SDK stands for.

    Args:
        error: What the SDK raised.
        where: Who was asked.
    """
    if isinstance(error, openai.APIStatusError):
        body = error.response.content or error.body
        return read_error(body, status=error.response.status_code, headers=error.response.headers)
    if type(error) is openai.APIError:  # an error sent inside a stream
        return read_error(error.body or str(error))
    kind = next((ours for theirs, ours in _BY_CLASS if isinstance(error, theirs)), BadRequest)
    cause = error.__cause__
    said = str(error) if cause is None else f"{type(cause).__name__} {cause}"
    unsent = kind is BadRequest or type(cause).__name__ in _NEVER_SENT
    return kind(
        f"{where}: {_WHAT[kind]}" + (f": {where.quote(said)}" if said else ""),
        charge=Charge(charged="no") if unsent else None,
    )
