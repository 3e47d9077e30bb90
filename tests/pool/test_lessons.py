import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mar.pool.dialect import OPTIONAL, Dialect
from mar.pool.lessons import Lesson, learn
from mar.pool.server_words import Said, read_error

PLAIN = Dialect()
BODY = {
    "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
    "max_tokens": 1500,
    "temperature": 0.7,
    "top_p": 0.9,
    "stop": ["x"],
    "logprobs": True,
    "priority": 2,
    "stream_options": {"include_usage": True},
    "tools": [{"type": "function", "function": {"name": "f"}}],
}


def taught(words, *, status=400, dialect=PLAIN, body=BODY, **more):
    return learn(Said(status=status, words=words, codes=("invalid_request_error",), **more), body, dialect)


@pytest.mark.parametrize(
    "words",
    [
        "System role not supported",
        "Conversation roles must alternate user/assistant/user/assistant/...",
        "Developer instruction is not enabled for models/gemma-3-27b-it",
        "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
        "Only user and assistant roles are supported!",
        'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter',
        "Invalid role: system",
    ],
)
def test_a_server_without_a_system_role_is_given_none(words):
    assert taught(words).dialect == Dialect(system_role=False)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("`temperature` and `top_p` cannot both be specified for this model. Please use only one.", "top_p"),
        (
            "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) is.",
            "temperature",
        ),
        ("temperature is deprecated for this model", "temperature"),
        ("This model does not support temperature.", "temperature"),
        ("Unrecognized request argument supplied: top_p", "top_p"),
        ("Unsupported parameter: 'stop' is not supported with this model.", "stop"),
        ("You are not allowed to request logprobs from this model.", "logprobs"),
        ("Logprobs is not enabled for models/x", "logprobs"),
        ("Got priority 2 but Priority scheduling is not enabled.", "priority"),
        ("stream_options: Extra inputs are not permitted", "stream_options"),
    ],
)
def test_a_parameter_that_is_refused_by_name_is_left_out(words, name):
    assert taught(words).dialect == Dialect(leave_out=(name,))


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set', 400),  # vLLM
        ("registry.ollama.ai/library/gemma:2b does not support tools", 400),  # Ollama
        ("tools param requires --jinja flag", 500),  # llama.cpp
        ("No endpoints found that support tool use. Try disabling the tools.", 404),  # OpenRouter
        ("`tool calling` is not supported with this model", 400),  # Groq
        ("deepseek-reasoner does not support Function Calling", 400),
        ("Function calling is not enabled for models/gemma-3-27b-it", 400),
        ("Unsupported parameter: 'tools' is not supported with this model.", 400),
    ],
)
def test_a_server_that_refuses_tools_is_sent_none(words, status):
    assert taught(words, status=status).dialect == Dialect(leave_out=("tools",))


@pytest.mark.parametrize(
    ("words", "more"),
    [
        ("Invalid schema for function 'f': 'x' is not valid", {"param": "tools[0].function.parameters"}),
        ("Invalid 'tools': array too long. Expected an array with maximum length 128", {}),
        ("Failed to call a function. Please adjust your prompt.", {}),  # Groq, of one answer
        ("does not support tools", {"status": 429}),
        ("does not support tools", {"body": {"messages": [], "max_tokens": 100}}),  # nobody sent any
    ],
)
def test_what_is_wrong_with_one_tool_or_one_answer_says_nothing_of_all(words, more):
    assert taught(words, **more) is None


def test_what_was_left_out_before_stays_out():
    known = Dialect(leave_out=("temperature",))
    lesson = taught("Unrecognized request argument supplied: top_p", dialect=known)
    assert lesson.dialect.leave_out == ("temperature", "top_p")


def test_a_parameter_is_known_from_the_place_that_validation_names():
    detail = [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted", "type": "extra_forbidden"}]
    said = read_error({"detail": detail}, status=422)
    assert learn(said, BODY, PLAIN).dialect.leave_out == ("stream_options",)


def test_the_output_limit_goes_by_its_other_name_both_ways():
    newer = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    lesson = taught(newer)
    assert lesson.dialect == Dialect(output_limit="max_completion_tokens")
    older = {"messages": [], "max_completion_tokens": 1500}
    back = taught("Unrecognized argument: max_completion_tokens", dialect=lesson.dialect, body=older)
    assert back.dialect == PLAIN


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 5108 tokens (3608 in the messages, "
        "1500 in the completion). Please reduce the length of the messages or completion.",
        "You passed 3608 input tokens and requested 1500 output tokens. However, the model's context length is only "
        "4096 tokens, resulting in a maximum input length of 2596 tokens.",
        "'max_tokens' or 'max_completion_tokens' is too large: 1500. This model's maximum context length is 4096 "
        "tokens and your request has 3608 input tokens (1500 > 4096 - 3608).",
        "input length and `max_tokens` exceed context limit: 3608 + 1500 > 4096, decrease input length",
        "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 3608 `inputs` tokens and 1500 `max_new_tokens`",
        "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total of "
        "5108 tokens: 3608 tokens from the input messages and 1500 tokens for the completion.",
        "This model's maximum context length is 4,096 tokens. However, you requested 5,108 tokens.",
    ],
)
def test_a_prompt_that_fits_leaves_the_rest_of_the_context_to_the_answer(words):
    lesson = taught(words)
    assert (lesson.room, lesson.dialect) == (488, PLAIN)  # 4096 - 3608, for this call only


@pytest.mark.parametrize(
    ("words", "most"),
    [
        ("max_tokens is too large: 1500. This model supports at most 1024 completion tokens, you provided 1500.", 1024),
        ("max_tokens: 1500 > 1024, which is the maximum allowed number of output tokens for claude-x-20241022", 1024),
        ("`max_tokens` must be less than or equal to `1024`, the maximum is less than the `context_window`", 1024),
        ("Range of max_tokens should be [1, 1024]", 1024),
        ("maxOutputTokens of 1500, but the supported range is from 1 (inclusive) to 1025 (exclusive)", 1024),
    ],
)
def test_a_limit_that_the_server_states_is_kept(words, most):
    assert taught(words).dialect == Dialect(most_output_tokens=most)


@pytest.mark.parametrize(
    ("words", "more"),
    [
        ("The model `x` does not exist", {}),
        ("`temperature` must be between 0 and 2", {}),  # the caller's mistake
        ("Please stop sending invalid requests", {}),
        ("The input (5000 tokens) is longer than the model's context length (4096 tokens).", {}),
        ("max_tokens must be at least 1, got -186.", {}),
        ("This model's maximum context length is 4096 tokens. However, you requested 5580 tokens.", {}),  # room for 16
        ("Invalid request", {}),
        ("'temperature' is not supported", {"param": "model"}),  # it is about something else
        ("'temperature' is not supported", {"status": 429}),
        ("'temperature' is not supported", {"status": 401}),
        ("'seed' is not supported", {}),  # nobody sent one
    ],
)
def test_nothing_is_learned_from_a_refusal_that_names_nothing_that_was_sent(words, more):
    assert taught(words, **more) is None


@settings(max_examples=300)
@given(
    st.text(alphabet="abc 0123456789`'_[](),.:>+-", max_size=60),
    st.sampled_from([*OPTIONAL, "max_tokens", "system role"]),
)
def test_every_lesson_changes_the_request(noise, name):
    for words in (noise, f"{noise} '{name}' is not supported {noise}", f"context length {noise} max_tokens"):
        lesson = taught(words)
        assert lesson is None or lesson.dialect != PLAIN or (lesson.room or 0) < 1500
        assert isinstance(lesson, Lesson | None)
