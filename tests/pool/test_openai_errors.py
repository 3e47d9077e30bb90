import inspect

import httpx
import openai
import pytest
from openai import _exceptions

from mar import errors
from mar.pool.faults import Where
from mar.pool.openai_errors import from_openai
from mar.pool.server_words import Said

WHERE = Where(model="m", host="h:1", key="sk-canary")
REQUEST = httpx.Request("POST", "http://h/v1", headers={"Authorization": "Bearer sk-canary"})


def vendor_exceptions():
    """Every exception class of the SDK, exported or not."""
    named = {**vars(_exceptions), **vars(openai)}.values()
    return sorted(
        {c for c in named if inspect.isclass(c) and issubclass(c, Exception) and c.__module__.startswith("openai")},
        key=lambda c: c.__name__,
    )


def made(kind):
    """An exception of a class, whatever its constructor wants."""
    error = kind.__new__(kind)
    Exception.__init__(error, "vendor words")
    error.body = {"message": "vendor words"}
    error.response = httpx.Response(500, content=b"vendor words", request=REQUEST)
    return error


@pytest.mark.parametrize("kind", vendor_exceptions(), ids=lambda c: c.__name__)
def test_every_vendor_exception_is_words_of_the_server_or_a_named_error(kind):
    found = from_openai(made(kind), WHERE)
    if isinstance(found, Said):
        assert found.words == "vendor words"
    else:
        assert type(found) not in (errors.CallError, Exception)
        assert str(found).startswith("m at h:1: ")


def test_a_status_error_is_read_from_its_body_and_headers():
    response = httpx.Response(429, headers={"retry-after": "7"}, json={"error": {"message": "slow"}}, request=REQUEST)
    error = openai.RateLimitError("Error code: 429", response=response, body=None)
    assert from_openai(error, WHERE) == Said(status=429, words="slow", retry_after_s=7)


@pytest.mark.parametrize(
    ("cause", "charged"),
    [
        (httpx.ConnectError("refused"), "no"),
        (httpx.ConnectTimeout("slow"), "no"),
        (httpx.LocalProtocolError("Illegal header value b'Bearer sk-canary'"), "no"),
        (httpx.ReadError("reset"), "unknown"),
        (httpx.RemoteProtocolError("closed"), "unknown"),
    ],
)
def test_a_connection_that_was_never_made_costs_nothing_and_one_that_broke_may(cause, charged):
    error = openai.APIConnectionError(request=REQUEST)
    error.__cause__ = cause
    found = from_openai(error, WHERE)
    assert isinstance(found, errors.ConnectionLost)
    assert found.charge.charged == charged
    assert "canary" not in str(found)
