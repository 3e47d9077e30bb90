import pytest

from mar.errors import (
    BadKey,
    BadReply,
    BadRequest,
    CallTimeout,
    Charge,
    ContextOverflow,
    ModelLoading,
    RateLimited,
    Refused,
    ServerFault,
    UnknownModel,
)
from mar.pool.faults import NoServer, Where, classify, fault
from mar.pool.server_words import read_error

WHERE = Where(model="m", host="h:1", key="sk-canary")


def err(message, code=None, kind=None, **more):
    return {"error": {"message": message, "code": code, "type": kind, **more}}


FAULTS = [  # status, body, error
    (400, err("bad parameter"), BadRequest),
    (422, err("bad parameter"), BadRequest),
    (418, err("teapot"), BadRequest),
    (501, err("not implemented"), BadRequest),
    (401, err("no"), BadKey),
    (401, {"detail": "Unauthorized"}, BadKey),
    (403, "", BadKey),
    (403, err("You do not have access with this API key"), BadKey),
    (403, err("Country, region, or territory not supported", "unsupported_country_region_territory"), BadRequest),
    (403, {"error": "Your IP range is blocked"}, BadRequest),
    (403, "<html><title>Attention Required!</title>", NoServer),
    (402, err("This request requires more credits"), BadKey),
    (404, "", UnknownModel),
    (404, {"detail": "Not Found"}, UnknownModel),
    (404, "<html>404", NoServer),
    (404, err("The model `x` does not exist", "model_not_found"), UnknownModel),
    (404, err("No endpoints found matching your data policy"), BadRequest),
    (400, err("The model `x` does not exist", "model_not_found"), UnknownModel),
    (400, err("x is not a valid model ID"), UnknownModel),
    (408, err("slow"), CallTimeout),
    (409, err("locked"), ServerFault),
    (429, err("too many"), RateLimited),
    (429, "<html>slow down", RateLimited),
    (429, err("You exceeded your current quota", "insufficient_quota"), BadKey),
    (
        429,
        err("You exceeded your current quota", 429, "RESOURCE_EXHAUSTED", details=[{"retryDelay": "26s"}]),
        RateLimited,
    ),
    (413, err("Request too large on tokens per minute (TPM): Limit 6000, Used 500, Requested 5900"), RateLimited),
    (413, err("Request too large on tokens per minute (TPM): Limit 6000, Requested 8000"), BadRequest),  # never fits
    (400, err("ThrottlingException: rate exceeded"), RateLimited),
    (500, err("died"), ServerFault),
    (503, err("overloaded"), ServerFault),
    (529, err("Overloaded", kind="overloaded_error"), ServerFault),
    (524, "<!DOCTYPE html><title>A timeout occurred</title>", ServerFault),
    (503, err("Loading model", 503, "unavailable_error"), ModelLoading),
    (503, {"error": "Model x/y is currently loading", "estimated_time": 20.0}, ModelLoading),
    (500, err("the model is still being loaded"), ModelLoading),
    (200, "<html>portal", NoServer),
    # Errors inside replies and streams: the code or the type stands for the status.
    (None, err("Provider returned error", 429), RateLimited),
    (None, err("Upstream error: overloaded", 502), ServerFault),
    (None, err("no", kind="rate_limit_error"), RateLimited),
    (None, err("no", kind="invalid_request_error"), BadRequest),
    (None, err("no", kind="authentication_error"), BadKey),
    (None, err("Something went wrong"), ServerFault),
    (None, {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, BadKey),
    # Filters.
    (400, err("The response was filtered", "content_filter"), Refused),
    (400, err("Your request was rejected by our safety system"), Refused),
    (400, err("Output data may contain inappropriate content.", "data_inspection_failed"), Refused),
    (403, err("Your input was flagged"), Refused),
]

OVERFLOWS = [  # every vendor has its words
    (400, "This model's maximum context length is 4097 tokens. However, your messages resulted in 6988 tokens."),
    (
        400,
        "You passed 1015 input tokens and requested 10 output tokens. However, the model's context length is only 1024",
    ),
    (400, "the request exceeds the available context size, try increasing it"),
    (413, "too large"),
    (400, "The input (5000 tokens) is longer than the model's context length (4096 tokens)."),
    (400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
    (400, "prompt is too long: 210000 tokens > 200000 maximum"),
    (400, "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000"),
    (422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens"),
    (400, "max_tokens must be at least 1, got -186."),
    (400, "Input is too long for requested model."),
    (400, "This model's maximum prompt length is 131072 but the request contains 537812 tokens."),
    (400, "The number of tokens to keep from the initial prompt is greater than the context length."),
    (400, "Range of input length should be [1, 30720]"),
    (400, "Invalid request: Your request exceeded model token limit: 131072"),
    (400, "Prompt exceeds max length"),
    (400, "prompt token count of 130000 exceeds the limit of 64000"),
    (400, "Prompt contains 40000 tokens, too large for model with 32768 maximum context length"),
    (400, "too many tokens: size limit exceeded by 1000 tokens"),
    (500, "context window exceeded"),
]


@pytest.mark.parametrize(("status", "body", "expected"), FAULTS)
def test_status_code_and_words_together_say_whose_fault_it_is(status, body, expected):
    assert classify(read_error(body, status=status)) is expected


@pytest.mark.parametrize(("status", "words"), OVERFLOWS)
def test_a_prompt_that_does_not_fit_is_known_in_every_wording(status, words):
    assert classify(read_error(err(words, kind="invalid_request_error"), status=status)) is ContextOverflow


@pytest.mark.parametrize(("status", "body", "expected"), FAULTS)
def test_a_message_names_model_and_host_and_quotes_the_server_in_one_line(status, body, expected):
    said = read_error(body, status=status)
    message = str(fault(said, WHERE))
    assert message.startswith("m at h:1: ")
    assert said.words in message
    assert message.isprintable()


def test_a_message_says_what_to_do():
    def message(status, body):
        return str(fault(read_error(body, status=status), WHERE))

    assert "check the key" in message(401, "")
    assert "no retry will help" in message(429, err("no", "insufficient_quota"))
    assert "`served_name`" in message(404, err("The model `x` does not exist"))
    assert "base URL" in message(200, "<html>")
    assert "max_output_tokens" in message(413, err("TPM: Limit 6000, Requested 8000"))


def test_quotes_are_cut_and_free_of_control_characters():
    error = fault(read_error("it\nbroke\x1b[31m " + "x" * 1000, status=500), WHERE)
    assert str(error).startswith("m at h:1: the server failed (500): it broke [31m x")
    assert len(str(error)) < 400


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_a_server_that_repeats_the_key_is_not_quoted_on_it(status):
    bodies = (
        err("your key sk-canary is bad", "sk-canary"),
        {"detail": "Bearer sk-canary"},
        "sk-canary",
        err("Incorrect API key provided: sk-ca****ary."),
        err("Incorrect API key provided: canary*****ary"),
    )
    for body in bodies:
        message = str(fault(read_error(body, status=status), WHERE))
        assert "ca****" not in message
        assert "canary" not in message


def test_what_is_said_before_an_answer_costs_nothing():
    assert fault(read_error("no", status=500), WHERE).charge == Charge(charged="no")
    assert issubclass(NoServer, BadReply)
    assert not NoServer.retryable
