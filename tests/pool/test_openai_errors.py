import inspect

import httpx
import openai
import pytest
from openai import _exceptions

from mar import errors
from mar.pool.openai_errors import error_class, from_openai


def vendor_exceptions():
    """Every exception class of the SDK, exported or not."""
    named = {**vars(_exceptions), **vars(openai)}.values()
    return sorted(
        {c for c in named if inspect.isclass(c) and issubclass(c, Exception) and c.__module__.startswith("openai")},
        key=lambda c: c.__name__,
    )


@pytest.mark.parametrize("kind", vendor_exceptions(), ids=lambda c: c.__name__)
def test_every_vendor_exception_is_mapped_to_a_named_error(kind):
    assert issubclass(error_class(kind), errors.CallError)
    assert error_class(kind) is not errors.CallError


def status_error(status, message="no", code=None, headers=None, kind=None):
    response = httpx.Response(status, headers=headers or {}, request=httpx.Request("POST", "http://h/v1"))
    kind = kind or {
        400: openai.BadRequestError,
        401: openai.AuthenticationError,
        403: openai.PermissionDeniedError,
        404: openai.NotFoundError,
        409: openai.ConflictError,
        422: openai.UnprocessableEntityError,
        429: openai.RateLimitError,
        500: openai.InternalServerError,
        503: openai.InternalServerError,
    }.get(status, openai.APIStatusError)
    return kind(message, response=response, body={"message": message, "code": code})


def mapped(*args, **kwargs):
    return from_openai(status_error(*args, **kwargs), model="m", host="h:1", key="sk-canary")


@pytest.mark.parametrize(
    ("status", "message", "code", "expected"),
    [
        (400, "bad parameter", None, errors.BadRequest),
        (422, "bad parameter", None, errors.BadRequest),
        (418, "teapot", None, errors.BadRequest),
        (401, "no", None, errors.BadKey),
        (403, "no", None, errors.BadKey),
        (404, "no", None, errors.UnknownModel),
        (400, "The model `x` does not exist", "model_not_found", errors.UnknownModel),
        (408, "slow", None, errors.CallTimeout),
        (409, "locked", None, errors.ServerFault),
        (429, "too many", None, errors.RateLimited),
        (429, "You exceeded your current quota", "insufficient_quota", errors.BadKey),
        (500, "died", None, errors.ServerFault),
        (503, "overloaded", None, errors.ServerFault),
        (413, "too large", None, errors.ContextOverflow),
        # OpenAI's wording
        (
            400,
            "This model's maximum context length is 4097 tokens. However, your messages resulted in 6988 tokens.",
            "context_length_exceeded",
            errors.ContextOverflow,
        ),
        # vLLM's, before and after 0.16
        (
            400,
            "This model's maximum context length is 131072 tokens. However, you requested 156632 tokens "
            "(152536 in the messages, 4096 in the completion).",
            "400",
            errors.ContextOverflow,
        ),
        (
            400,
            "You passed 1015 input tokens and requested 10 output tokens. However, the model's context length is "
            "only 1024 tokens, resulting in a maximum input length of 1014 tokens.",
            "400",
            errors.ContextOverflow,
        ),
        # llama.cpp's
        (400, "the request exceeds the available context size, try increasing it", None, errors.ContextOverflow),
        (400, "The response was filtered", "content_filter", errors.Refused),
        (400, "Your request was rejected by our safety system", "x", errors.Refused),
    ],
)
def test_statuses_and_wordings_get_the_right_error(status, message, code, expected):
    assert type(mapped(status, message, code)) is expected


def test_retry_after_is_read_in_seconds_milliseconds_and_dates():
    assert mapped(429, headers={"retry-after": "7"}).retry_after_s == 7
    assert mapped(429, headers={"retry-after-ms": "250"}).retry_after_s == 0.25
    assert mapped(429, headers={"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}).retry_after_s == 0  # long past
    assert mapped(429, headers={"retry-after": "soon"}).retry_after_s is None
    assert mapped(429).retry_after_s is None


def test_messages_say_where_and_what_in_one_short_line():
    error = mapped(500, "it\nbroke " + "x" * 1000)
    assert str(error).startswith("m at h:1: the server failed (500): it broke x")
    assert "\n" not in str(error)
    assert len(str(error)) < 400


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_a_server_that_repeats_the_key_is_not_quoted_on_it(status):
    assert "canary" not in str(mapped(status, "your key sk-canary is bad", "sk-canary"))
