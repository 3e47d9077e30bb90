"""Calls of tools as servers send them: `offered` is whether the request offered any."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mar.errors import BadReply, CallError
from mar.pool.faults import Where
from mar.pool.openai_calls import MOST_CALLS
from mar.pool.openai_reply import NoCompletion, ReplyBuilder
from mar.types import ToolCall

WHERE = Where(model="m", host="h")


def build(*parts, offered=True, where=WHERE):
    builder = ReplyBuilder(offered=offered)
    for part in parts:
        builder.add(part)
    return builder.build(model="m", where=where, latency_s=1.0, ttft_s=None)


def whole(*calls, content=None, finish="tool_calls", **message):
    return {
        "choices": [{"message": {"content": content, "tool_calls": list(calls), **message}, "finish_reason": finish}]
    }


def stream(*pieces, finish="tool_calls"):
    deltas = [{"choices": [{"delta": {"tool_calls": [piece]}}]} for piece in pieces]
    return *deltas, {"choices": [{"delta": {}, "finish_reason": finish}]}


def piece(index=None, id=None, **function):
    stated = {"index": index, "id": id, "function": function}
    return {name: value for name, value in stated.items() if value is not None}


ADD = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}


def test_calls_of_offered_tools_are_a_reply():
    reply = build(whole(ADD, content="I add."))
    assert (reply.text, reply.finish_reason) == ("I add.", "tool_calls")
    assert reply.calls == (ToolCall(id="c1", name="add", arguments='{"a": 1}'),)


@pytest.mark.parametrize("finish", ["stop", "function_call", "length"])
def test_calls_count_whatever_the_end_is_called(finish):
    assert build(whole(ADD, finish=finish)).calls == (ToolCall(id="c1", name="add", arguments='{"a": 1}'),)


def test_an_answer_where_tools_were_offered_is_an_answer():
    reply = build(whole(content="four", finish="stop"))
    assert (reply.text, reply.calls, reply.finish_reason) == ("four", (), "stop")


def test_nothing_at_all_is_a_bad_reply_where_tools_were_offered_too():
    with pytest.raises(BadReply):
        build(whole(content=None))


def test_without_an_offer_a_call_is_no_answer():
    with pytest.raises(BadReply, match="called a tool"):
        build(whole(ADD), offered=False)


def test_arguments_may_be_an_object_or_missing():
    calls = build(
        whole({"id": "1", "function": {"name": "f", "arguments": {"a": [1]}}}, {"id": "2", "function": {"name": "g"}})
    ).calls
    assert [json.loads(call.arguments) for call in calls] == [{"a": [1]}, {}]


def test_missing_and_repeated_ids_are_made_up_of_nine_letters_and_digits():
    same = {"function": {"name": "f", "arguments": "{}"}}
    ids = [call.id for call in build(whole(same, same, {"id": "x", **same}, {"id": "x", **same})).calls]
    assert len(set(ids)) == 4
    assert ids[2] == "x"
    assert all(len(id) == 9 and id.isalnum() for id in (ids[0], ids[1], ids[3]))
    assert ids == [call.id for call in build(whole(same, same, {"id": "x", **same}, {"id": "x", **same})).calls]


def test_the_older_form_is_one_call():
    older = {"choices": [{"message": {"function_call": {"name": "f", "arguments": '{"a": 1}'}}}]}
    (call,) = build(older).calls
    assert (call.name, call.arguments) == ("f", '{"a": 1}')
    pieces = [{"choices": [{"delta": {"function_call": part}}]} for part in ({"name": "f"}, {"arguments": '{"a"'})]
    (call,) = build(*pieces, {"choices": [{"delta": {"function_call": {"arguments": ": 1}"}}}]}).calls
    assert (call.name, call.arguments) == ("f", '{"a": 1}')


def test_pieces_are_joined_by_their_index():
    calls = build(
        *stream(
            piece(0, "a", name="f", arguments=""),
            piece(1, "b", name="g", arguments='{"y"'),
            piece(0, arguments='{"x": '),
            piece(1, arguments=": 2}"),
            piece(0, arguments="1}"),
        )
    ).calls
    assert [(c.id, c.name, c.arguments) for c in calls] == [("a", "f", '{"x": 1}'), ("b", "g", '{"y": 2}')]


def test_pieces_without_an_index_go_on_with_the_last_call():
    calls = build(
        *stream(piece(id="a", name="f", arguments="{"), piece(arguments="}"), piece(name="g", arguments="{}"))
    ).calls
    assert [(c.name, c.arguments) for c in calls] == [("f", "{}"), ("g", "{}")]


def test_one_index_for_every_call_is_seen_through():
    by_id = stream(piece(0, "a", name="f", arguments="{}"), piece(0, "b", name="g", arguments="{}"))
    without = stream(piece(0, name="f", arguments="{}"), piece(0, name="f", arguments='{"x": 1}'))
    assert [c.name for c in build(*by_id).calls] == ["f", "g"]
    assert [c.arguments for c in build(*without).calls] == ["{}", '{"x": 1}']


def test_a_name_that_is_said_with_every_piece_is_one_call():
    said = [piece(0, "a", name="f", arguments=part) for part in ('{"x"', ": 1", "}", "")]
    assert [(c.name, c.arguments) for c in build(*stream(*said)).calls] == [("f", '{"x": 1}')]


def test_a_reply_calls_no_more_than_so_many():
    assert len(build(whole(*[ADD | {"id": str(n)} for n in range(MOST_CALLS + 5)])).calls) == MOST_CALLS


def test_arguments_are_free_of_the_key_and_of_halves_of_characters():
    key = "sk-0123456789abcdef"
    where = Where(model="m", host="h", key=key)
    (call,) = build(whole({"function": {"name": "f", "arguments": f"{key} \ud83d"}}), where=where).calls
    assert key not in call.arguments
    call.arguments.encode()


def test_a_stream_that_breaks_in_a_call_had_begun():
    builder = ReplyBuilder(offered=True)
    builder.add({"choices": [{"delta": {"tool_calls": [piece(0, "a", name="f")]}}]})
    assert builder.has_text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda x: (
        st.lists(x, max_size=3)
        | st.dictionaries(st.sampled_from(["index", "id", "function", "name", "arguments", "x"]), x, max_size=4)
    ),
    max_leaves=10,
)


@settings(max_examples=300)
@given(st.lists(JSON, max_size=4), JSON, st.booleans())
def test_whatever_stands_for_calls_gives_texts_and_ids_of_their_own(pieces, older, streamed):
    said = {"tool_calls": pieces, "function_call": older}
    builder = ReplyBuilder(offered=True)
    builder.add({"choices": [{"delta" if streamed else "message": said}]})
    try:
        calls = builder.build(model="m", where=WHERE, latency_s=1.0, ttft_s=None).calls
    except (CallError, NoCompletion):
        return
    assert len({call.id for call in calls}) == len(calls) > 0
    assert all(isinstance(text, str) for call in calls for text in (call.id, call.name, call.arguments))
