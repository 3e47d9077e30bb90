import email.utils
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mar.pool.server_words import duration_s, error_in, read_error, wait_in_words

UPSTREAM = json.dumps({"error": {"message": "the upstream's words"}})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "no", "code": "c"}}, "no"),
        ({"error": "no"}, "no"),
        ({"detail": "no"}, "no"),
        (
            {"detail": [{"loc": ["body", "top_p"], "msg": "Extra inputs", "type": "extra_forbidden"}]},
            "top_p: Extra inputs",
        ),
        ({"message": "no"}, "no"),
        ({"Message": "no"}, "no"),
        ({"error_msg": "no", "error_code": 17}, "no"),
        ({"errors": ["no", "never"]}, "no: never"),
        ({"errors": [{"message": "no"}]}, "no"),
        ([{"error": {"message": "no", "status": "INVALID_ARGUMENT"}}], "no"),
        (
            {"error": {"message": "Provider error", "metadata": {"raw": UPSTREAM}}},
            "Provider error: the upstream's words",
        ),
        ({"error": {"message": UPSTREAM}}, "the upstream's words"),
        ({"base_resp": {"status_code": 1004, "status_msg": "no"}}, "no"),
        ({"object": "error", "message": "no", "code": 400}, "no"),
        (b'{"error": {"message": "no"}}', "no"),
        ("no", "no"),
        (b"no", "no"),
        ("<!doctype html><title>One &amp; all</title>", "a web page, 'One & all'"),
        (b"<html><body>", "a web page"),
        ({"error": True}, ""),
        (None, ""),
        ("", ""),
        (7, ""),
    ],
)
def test_the_words_of_an_error_are_found_in_every_form(body, words):
    assert read_error(body).words == words


def test_codes_and_the_parameter_are_kept():
    said = read_error({"error": {"message": "no", "type": "t", "code": "c", "param": "top_p"}}, status=400)
    assert (said.codes, said.param, said.status) == (("c", "t"), "top_p", 400)


def test_a_code_stands_for_a_status_that_is_missing():
    assert read_error({"error": {"message": "no", "code": 502}}).status == 502
    assert read_error({"error": {"message": "no", "code": "429"}}).status == 429
    assert read_error({"error": {"message": "no", "code": 20012}}).status is None
    assert read_error({"error": {"message": "no", "code": 502}}, status=400).status == 400


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Please try again in 12s.", 12),
        ("Please try again in 1m2.5s. Visit", 62.5),
        ("Please try again in 6m0s", 360),
        ("try again in 20ms", 0.02),
        ("Try again in about 2 hours", 7200),
        ("retry after 20 seconds", 20),
        ("Please retry in 26.5s.", 26.5),
        ("retry-after: 7", 7),
        ("wait for 1 minute 30 seconds", 90),
        ("Please wait before trying again. Wait 30 secs", 30),
        ("Limit resets in 5s", 5),
        ("try again later", None),
        ("Limit 3, Used 3, Requested 1", None),
        ("the model takes 12s", None),
    ],
)
def test_waits_are_read_from_words(words, seconds):
    assert wait_in_words(words) == (None if seconds is None else pytest.approx(seconds))


def test_durations_of_every_spelling():
    assert [duration_s(t) for t in ("26s", "1h", "250 ms", "2 minutes", "3")] == [26, 3600, 0.25, 120, 3]


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"error": {"message": "quota", "details": [{"@type": "RetryInfo", "retryDelay": "26s"}]}}, 26),
        ({"error": {"message": "quota", "retry_delay": {"seconds": 26}}}, 26),
        ({"error": "Model is loading", "estimated_time": 20.5}, 20.5),
        ({"error": {"message": "slow", "retry_after_ms": 250}}, 0.25),
        ({"message": "slow", "retry_after": 3}, 3),
        ({"message": "slow", "retry_after": -3}, None),
    ],
)
def test_waits_are_read_from_fields(body, seconds):
    assert read_error(body, status=429).retry_after_s == seconds


def test_a_header_goes_before_words():
    def wait(**headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return read_error({"message": "try again in 9s"}, status=429, headers=named).retry_after_s

    assert wait() == 9
    assert wait(retry_after="7") == 7
    assert wait(retry_after_ms="250", retry_after="7") == 0.25
    assert wait(retry_after="Wed, 21 Oct 2015 07:28:00 GMT") == 0  # long past
    assert wait(retry_after="soon") == 9
    in_a_minute = email.utils.formatdate(time.time() + 60, usegmt=True)
    assert 55 < wait(retry_after=in_a_minute) <= 60


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"choices": None, "error": {"message": "no", "code": 429}}, "no"),
        ({"id": "x", "error": {"message": "no"}}, "no"),
        ({"choices": [{"message": {}}], "error": {"message": "no"}}, "no"),
        ({"code": 20012, "message": "no", "data": None}, "no"),
        ({"base_resp": {"status_code": 1004, "status_msg": "no"}}, "no"),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "no"}}, "no"),
        ({"choices": [{"message": {}}], "error": None}, None),
        ({"choices": [{"message": {}}], "error": {}, "message": "kept", "detail": "low"}, None),
        ({"choices": [], "usage": {"prompt_tokens": 1}}, None),
        ({"type": "ping"}, None),
        ({"base_resp": {"status_code": 0, "status_msg": "success"}}, None),
    ],
)
def test_an_error_inside_a_reply_is_told_from_a_reply(payload, words):
    said = error_in(payload)
    assert (said and said.words) == words


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda x: st.lists(x, max_size=4) | st.dictionaries(st.text() | st.sampled_from(["error", "message", "detail"]), x),
    max_leaves=12,
)


@settings(max_examples=150)
@given(JSON)
def test_any_body_can_be_read(body):
    said = read_error(body, status=400)
    assert len(said.words) <= 2000
    assert error_in({"choices": [], "error": body}) is None or isinstance(body, (str, dict, list))
