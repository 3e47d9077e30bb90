import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mar.errors import BadReply, CallError, Charge, Refused, ServerFault
from mar.pool.decoded import mend
from mar.pool.faults import Where
from mar.pool.openai_reply import FILTERED, LENGTH, STOP, Hopeless, NoCompletion, ReplyBuilder

WHERE = Where(model="m", host="h")


def build(*parts, on_delta=None, **builder):
    builder = ReplyBuilder(on_delta=on_delta, **builder)
    for part in parts:
        builder.add(part)
    assert builder.error is None
    return builder.build(model="m", where=WHERE, latency_s=1.0, ttft_s=None)


def build_whole(body):
    builder = ReplyBuilder()
    builder.add_whole(body)
    return builder.build(model="m", where=WHERE, latency_s=1.0, ttft_s=None)


def whole(content, finish="stop", **message):
    return {"choices": [{"message": {"content": content, **message}, "finish_reason": finish}]}


@pytest.mark.parametrize(
    "message",
    [
        {"reasoning_content": "2+2"},
        {"reasoning": "2+2"},
        {"reasoning": {"content": "2+2"}},
        {"reasoning": [{"text": "2+"}, {"text": "2"}]},
        {"thinking": "2+2"},
        {"reasoning": "2+2", "reasoning_content": "2+2"},  # said twice
        {"reasoning_details": [{"type": "reasoning.text", "text": "2+2"}]},
    ],
)
def test_reasoning_fields_are_kept_apart_from_the_answer(message):
    reply = build(whole("4", **message))
    assert (reply.text, reply.reasoning) == ("4", "2+2")


def test_a_list_of_parts_is_read_by_their_types():
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "2"}, {"type": "text", "text": "+2"}]},
        {"type": "reasoning", "text": "=4"},
        {"type": "redacted_thinking", "data": "xx"},
        {"type": "text", "text": "fo"},
        {"type": "output_text", "text": {"value": "u"}},
        {"text": "r"},
        "!",
        {"type": "image_url", "image_url": {"url": "http://h"}},
        None,
    ]
    reply = build(whole(content))
    assert (reply.text, reply.reasoning) == ("four!", "2+2=4")


def test_a_part_that_refuses_is_a_refusal():
    with pytest.raises(Refused):
        build(whole([{"type": "refusal", "refusal": "I cannot"}]))


def test_the_mean_log_probability_is_over_the_answers_tokens():
    body = whole("a b")
    body["choices"][0]["logprobs"] = {"content": [{"token": "a", "logprob": -1.0}, {"token": "b", "logprob": -0.5}]}
    assert build(body).mean_logprob == -0.75
    assert build(whole("a b")).mean_logprob is None


@pytest.mark.parametrize("nothing", [None, float("-inf"), -9999.0, "x", {}])
def test_a_log_probability_that_is_none_belongs_to_no_mean(nothing):
    body = whole("a b")
    body["choices"][0]["logprobs"] = {"content": [{"logprob": nothing}, {"logprob": -0.5}, {"logprob": -0.25}]}
    assert build(body).mean_logprob == -0.375


def test_older_log_probabilities_are_read():
    body = whole("a b")
    body["choices"][0]["logprobs"] = {"token_logprobs": [None, -0.5]}
    assert build(body).mean_logprob == -0.5


def test_usage_that_the_server_does_not_state_is_unknown():
    assert build(whole("a")).prompt_tokens is None
    reply = build(whole("a") | {"usage": {"prompt_tokens": 3, "completion_tokens": 0}})
    assert (reply.prompt_tokens, reply.completion_tokens) == (3, 0)


@pytest.mark.parametrize(
    ("stated", "read"),
    [(12, 12), (12.0, 12), (0, 0), (1.5, None), (-1, None), (2**53, None), (1e300, None), ("12", None), (True, None)],
)
def test_counts_that_can_be_none_are_unknown(stated, read):
    reply = build(whole("a") | {"usage": {"prompt_tokens": stated, "completion_tokens": stated}})
    assert (reply.prompt_tokens, reply.completion_tokens) == (read, read)


@pytest.mark.parametrize(
    "body", [whole(""), whole("", finish="length"), whole("x", finish="content_filter"), whole(None, refusal="no")]
)
def test_an_answer_of_no_use_carries_what_was_charged_for_it(body):
    with pytest.raises(CallError) as caught:
        build(body | {"usage": {"prompt_tokens": 3, "completion_tokens": 5}})
    assert caught.value.charge == Charge(charged="yes", prompt_tokens=3, completion_tokens=5)


def test_pieces_of_answer_are_handed_on_and_reasoning_is_not():
    heard = []
    parts = [{"choices": [{"delta": {"content": p}}]} for p in ("<thi", "nk>no</think> y", "es")]
    reply = build(*parts, on_delta=lambda delta: heard.append(delta.text))
    assert (heard, reply.text) == (["y", "es"], "yes")


@pytest.mark.parametrize("content", [None, "", "  \n"])
def test_an_empty_text_is_a_bad_reply(content):
    with pytest.raises(BadReply) as caught:
        build(whole(content))
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (whole("<think>on and on", finish="length"), "output limit"),
        (whole("", finish="max_tokens", reasoning="on and on"), "output limit"),
        (whole(None, reasoning_content="The answer is 4"), "only reasoning"),
        (whole("<think>on and on</think>"), "only reasoning"),
    ],
)
def test_an_answer_that_was_spent_on_reasoning_is_not_tried_again(body, words):
    with pytest.raises(Hopeless, match=words) as caught:
        build(body)
    assert (caught.value.retryable, caught.value.kind) == (False, "bad_reply")


@pytest.mark.parametrize("body", [whole("so far", finish="content_filter"), whole(None, refusal="I cannot")])
def test_a_content_filter_is_a_refusal(body):
    with pytest.raises(Refused):
        build(body)


@pytest.mark.parametrize("finish", [*STOP, "STOP", "Stop", None, ""])
def test_an_answer_that_ended_is_one_whatever_the_end_is_called(finish):
    assert build(whole("four", finish=finish)).finish_reason == "stop"


@pytest.mark.parametrize("finish", [*LENGTH, "MAX_TOKENS"])
def test_an_answer_that_was_cut_says_so(finish):
    reply = build(whole("four", finish=finish))
    assert (reply.text, reply.finish_reason) == ("four", "length")


@pytest.mark.parametrize("finish", FILTERED)
def test_an_answer_that_was_filtered_is_a_refusal(finish):
    with pytest.raises(Refused):
        build(whole("four", finish=finish))


@pytest.mark.parametrize("finish", ["error", "abort", "aborted", "cancelled", "unknown", "network_error", "x"])
def test_half_an_answer_is_a_fault_that_was_paid_for(finish):
    with pytest.raises(ServerFault, match=finish) as caught:
        build(whole("The answer is", finish=finish) | {"usage": {"prompt_tokens": 3, "completion_tokens": 5}})
    assert caught.value.retryable
    assert caught.value.charge == Charge(charged="yes", prompt_tokens=3, completion_tokens=5)


@pytest.mark.parametrize("where", ["choice", "reply"])
def test_an_error_beside_half_an_answer_is_kept_with_what_came_before(where):
    body = whole("The answer is")
    (body["choices"][0] if where == "choice" else body)["error"] = {"message": "provider gone", "code": 502}
    builder = ReplyBuilder()
    builder.add(body)
    assert (builder.error.words, builder.error.status, builder.error.generated) == ("provider gone", 502, True)


def test_a_tool_call_is_no_answer():
    calls = [{"id": "1", "function": {"name": "python", "arguments": "{}"}}]
    for body in (
        whole(None, finish="tool_calls", tool_calls=calls),
        whole("I run it:", finish="tool_calls", tool_calls=calls),
        whole(None, tool_calls=calls),
    ):
        with pytest.raises(BadReply, match="tool"):
            build(body)
    assert build(whole("four", finish="tool_calls")).text == "four"  # some servers say so of a plain answer


def test_reasoning_that_nothing_opened_is_taken_out_and_noticed():
    builder = ReplyBuilder()
    builder.add(whole("6*7\n</think>\n\n42"))
    reply = builder.build(model="m", where=WHERE, latency_s=1.0, ttft_s=None)
    assert (reply.text, reply.reasoning, builder.unopened) == ("42", "6*7", True)


def test_halves_of_surrogate_pairs_are_joined_or_replaced():
    assert mend("\ud83d\ude00 \ud83d") == "\U0001f600 \ufffd"
    heard = []
    pieces = [{"choices": [{"delta": {"content": p}}]} for p in ("a \ud83d", "\ude00", " b", "\ud83d")]
    reply = build(*pieces, on_delta=lambda delta: heard.append(delta.text))
    assert reply.text == "".join(heard) == "a \U0001f600 b\ufffd"


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}, (10, 5)),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 45}, (10, 35)),  # reasoning counted apart
        ({"prompt_tokens": 10, "total_tokens": 15}, (10, 5)),
        ({"input_tokens": 10, "output_tokens": 5}, (10, 5)),
        ("many", (None, None)),
        ([1], (None, None)),
    ],
)
def test_usage_is_read_under_every_name(usage, tokens):
    reply = build(whole("a") | {"usage": usage})
    assert (reply.prompt_tokens, reply.completion_tokens) == tokens


def test_usage_in_a_chunk_without_choices_is_the_streams():
    parts = [
        {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}], "usage": None},
        {"usage": {"prompt_tokens": 3, "completion_tokens": 5}},
    ]
    reply = build(*parts)
    assert (reply.prompt_tokens, reply.completion_tokens) == (3, 5)


def test_a_body_that_is_not_called_json_is_read_all_the_same():
    assert build_whole(json.dumps(whole("four"))).text == "four"
    assert build_whole("\ufeff" + json.dumps(whole("four"))).text == "four"
    events = [{"choices": [{"delta": {"content": "fo"}}]}, {"choices": [{"delta": {"content": "ur"}}]}]
    stream = "".join(f"data: {json.dumps(e)}\n\n" for e in events) + "data: [DONE]\n\n"
    assert build_whole(stream).text == "four"


@pytest.mark.parametrize("body", ["four", "", "[1]", None, [whole("four")], 4])
def test_a_body_that_is_no_completion_is_said_to_be_none(body):
    with pytest.raises(NoCompletion):
        build_whole(body)


def test_a_web_page_is_an_error():
    builder = ReplyBuilder()
    builder.add_whole("<!doctype html><title>One</title>")
    assert (builder.error.page, builder.error.words) == (True, "a web page, 'One'")


NAMES = st.sampled_from(["content", "type", "text", "usage", "prompt_tokens", "logprob", "logprobs", "code", "error"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda x: st.lists(x, max_size=4) | st.dictionaries(st.text(max_size=5) | NAMES, x, max_size=4),
    max_leaves=12,
)
OPTIONAL = ("usage", "id", "object", "created", "model", "system_fingerprint", "service_tier", "x_groq", "detail")
IN_CHOICE = ("index", "logprobs", "stop_reason", "content_filter_results", "usage", "text")
IN_MESSAGE = (
    "role",
    "refusal",
    "tool_calls",
    "function_call",
    "reasoning",
    "reasoning_content",
    "annotations",
    "audio",
)


@settings(max_examples=300)
@given(st.data())
def test_no_value_of_any_other_field_makes_an_answer_unreadable(data):
    body = whole("four")
    for place, names in (
        (body, OPTIONAL),
        (body["choices"][0], IN_CHOICE),
        (body["choices"][0]["message"], IN_MESSAGE),
    ):
        place |= data.draw(st.dictionaries(st.sampled_from(names), JSON, max_size=4))
    reply = build_whole(json.dumps(body) if data.draw(st.booleans()) else body)
    assert reply.text == "four"
    assert all(n is None or n >= 0 for n in (reply.prompt_tokens, reply.completion_tokens))


@settings(max_examples=200)
@given(JSON, st.booleans())
def test_any_json_is_a_reply_or_one_named_failure(payload, offered):
    builder = ReplyBuilder(offered=offered)
    try:
        builder.add_whole(payload)
        builder.add({"choices": [{"message": payload, "delta": payload}]})
        builder.build(model="m", where=WHERE, latency_s=1.0, ttft_s=None)
    except (CallError, NoCompletion):
        pass


@pytest.mark.parametrize(
    "piece",
    [
        {"content": "<think>"},
        {"refusal": "no"},
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "abc"}}]},
    ],
)
def test_a_stream_of_tiny_pieces_takes_time_in_proportion(piece):
    def took(pieces):
        builder = ReplyBuilder(on_delta=lambda _: None, offered=True)
        builder.add({"choices": [{"delta": {"content": "<think>"}}]})
        began = time.process_time()
        for _ in range(pieces):
            builder.add({"choices": [{"delta": piece}]})
        return time.process_time() - began

    assert took(60_000) < 12 * max(took(15_000), 0.05)  # four times as many; by copying all each time it were sixteen
