from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mar.errors import BadReply, CallError, Charge, Refused
from mar.pool.openai_reply import EmptyForGood, ReplyBuilder, ThinkSplitter, parse


def build(*parts, on_delta=None):
    builder = ReplyBuilder(on_delta=on_delta)
    for part in parts:
        builder.add(parse(part))
    return builder.build(model="m", latency_s=1.0, ttft_s=None)


def whole(content, finish="stop", **message):
    return {"choices": [{"message": {"content": content, **message}, "finish_reason": finish}]}


def split(pieces):
    splitter = ThinkSplitter()
    answer = "".join(splitter.feed(p) for p in pieces) + splitter.finish()
    return splitter.reasoning, answer


def cut(text, places):
    edges = [0, *sorted(p % (len(text) + 1) for p in places), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("plain", "", "plain"),
        ("<think>why</think>\n\nbecause", "why", "because"),
        ("\n<think>\nwhy\n</think>because", "why", "because"),
        ("<think></think>x", "", "x"),
        ("<think>never closed", "never closed", ""),
        ("a <think>b</think> c", "", "a <think>b</think> c"),  # only at the start
        ("<thin", "", "<thin"),
        ("  indented", "", "  indented"),
    ],
)
@settings(max_examples=40)
@given(places=st.lists(st.integers(0, 100), max_size=6))
def test_a_think_block_is_told_from_the_answer_wherever_the_text_is_cut(text, reasoning, answer, places):
    assert split(cut(text, places)) == (reasoning, answer)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_fields_are_kept_apart_from_the_answer(name):
    reply = build(whole("4", **{name: "2+2"}))
    assert (reply.text, reply.reasoning) == ("4", "2+2")


def test_the_mean_log_probability_is_over_the_answers_tokens():
    body = whole("a b")
    body["choices"][0]["logprobs"] = {"content": [{"token": "a", "logprob": -1.0}, {"token": "b", "logprob": -0.5}]}
    assert build(body).mean_logprob == -0.75
    assert build(whole("a b")).mean_logprob is None


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
    reply = build(*parts, on_delta=heard.append)
    assert (heard, reply.text) == (["y", "es"], "yes")


@pytest.mark.parametrize("content", [None, "", "  \n"])
def test_an_empty_text_is_a_bad_reply(content):
    with pytest.raises(BadReply) as caught:
        build(whole(content))
    assert caught.value.retryable


def test_an_output_limit_spent_on_reasoning_is_not_tried_again():
    with pytest.raises(EmptyForGood) as caught:
        build(whole("<think>on and on", finish="length"))
    assert (caught.value.retryable, caught.value.kind) == (False, "bad_reply")


@pytest.mark.parametrize("body", [whole("so far", finish="content_filter"), whole(None, refusal="I cannot")])
def test_a_content_filter_is_a_refusal(body):
    with pytest.raises(Refused):
        build(body)


@settings(max_examples=40)
@given(st.recursive(st.none() | st.booleans() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_any_json_is_a_completion_or_a_bad_reply(payload):
    with suppress(BadReply):
        assert isinstance(parse(payload).choices, tuple)
