"""A client's own request: what of it is sent, and what of the reply comes back. Also what both may cost."""

import json
from collections import deque
from dataclasses import replace

import pytest
from pydantic import SecretStr

from mar.errors import BadReply, BadRequest, BrokenOff, CallError, ConnectionLost, ServerFault
from mar.pool import CachedModel, FileReplies, ModelCard, cache_key
from mar.pool.costs import IMAGE_TOKENS, worst_cost
from mar.pool.dialect import Dialect
from mar.pool.openai_client import OpenAIModel
from mar.pool.openai_verbatim import verbatim_body
from mar.pool.retry import RetryPolicy
from mar.testing import ChatServer, ServedAnswer
from mar.types import ChatRequest, Message
from tests.pool.test_transport import CHUNK, OK, ONCE, each, raw, served

pytestmark = pytest.mark.anyio
CARD = ModelCard(name="m", served_name="real", max_output_tokens=100)
BODY = {"model": "mar", "messages": [{"role": "user", "content": "q"}]}


@pytest.fixture
def anyio_backend():
    return "asyncio"


def asked(**fields):
    return ChatRequest(model="m", messages=(Message(speaker="user", text="q"),), verbatim={**BODY, **fields})


def sent(card=CARD, dialect=None, *, meter=None, room=None, **fields):
    body = verbatim_body(card, replace(asked(**fields), meter=meter), dialect or Dialect(), room=room)
    return {name: value for name, value in body.items() if name not in ("model", "messages")}


async def free(_, attempt, *, worst_usd=None):
    return await attempt()


def test_all_of_it_is_sent_but_the_model_is_the_server_s():
    fields = {"tools": [{"type": "function"}], "response_format": {"type": "json_object"}, "seed": 7, "n": 2, "x": None}
    body = verbatim_body(CARD, asked(**fields), Dialect())
    assert body == {**BODY, **fields, "model": "real"}


def test_a_body_that_asks_for_a_stream_is_first_one_for_a_whole_reply():
    assert sent(stream=True, stream_options={"include_usage": False}) == {}


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize(("limit", "expected"), [(50, 50), (100, 100), (500, 100)])
def test_the_limit_is_the_client_s_or_the_card_s_whichever_is_lower(name, limit, expected):
    assert sent(**{name: limit}) == {"max_tokens": expected}
    dialect = Dialect(output_limit="max_completion_tokens")
    assert sent(dialect=dialect, **{name: limit}) == {"max_completion_tokens": expected}


def test_without_a_limit_there_is_none_unless_money_is_counted():
    assert sent() == {}
    assert sent(meter=free) == {"max_tokens": 100}
    assert sent(meter=free, max_tokens=-1) == {"max_tokens": 100}  # which means no limit to some
    assert sent(max_tokens=80, dialect=Dialect(most_output_tokens=60)) == {"max_tokens": 60}
    assert sent(max_tokens=80, room=70) == {"max_tokens": 70}


def test_what_the_card_states_goes_before_what_the_client_wants():
    card = CARD.model_copy(update={"temperature": 0.5, "reasoning_effort": "low", "extra_body": {"top_k": 3}})
    found = sent(card, temperature=1.0, reasoning_effort="high", top_k=9, top_p=0.9)
    assert found == {"temperature": 0.5, "reasoning_effort": "low", "top_k": 3, "top_p": 0.9}


def test_what_a_server_does_not_take_is_left_out_but_never_the_tools():
    dialect = Dialect(leave_out=("temperature",))
    assert sent(dialect=dialect, temperature=1, tools=[1]) == {"tools": [1]}


IMAGE = {"type": "image_url", "image_url": {"url": "data:"}}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([("system", "a"), ("user", "b")], [("user", "a\n\nb")]),
        ([("developer", "a"), ("user", [IMAGE])], [("user", [{"type": "text", "text": "a"}, IMAGE])]),
        ([("user", "a"), ("system", "b"), ("assistant", "c")], [("user", "a\n\nb"), ("assistant", "c")]),
        ([("tool", "a"), ("tool", "b")], [("tool", "a"), ("tool", "b")]),  # answers to two calls
        ([("user", None), ("user", "a")], [("user", None), ("user", "a")]),  # for the server to refuse
    ],
)
def test_where_there_is_no_system_role_its_text_is_the_user_s(messages, expected):
    request = replace(asked(), verbatim={"messages": [{"role": r, "content": c} for r, c in messages]})
    body = verbatim_body(CARD, request, Dialect(system_role=False))
    assert [(m["role"], m["content"]) for m in body["messages"]] == expected


@pytest.mark.parametrize("messages", [None, "text", 7, [None, 7, "x"], [{}]])
def test_messages_of_no_form_are_for_the_server_to_refuse(messages):
    request = replace(asked(), verbatim={"messages": messages})
    assert verbatim_body(CARD, request, Dialect())["messages"] == messages
    verbatim_body(CARD, request, Dialect(system_role=False))
    assert worst_cost(request, CARD.model_copy(update={"price_in": 1.0, "price_out": 1.0})) > 0


def client(server, retry=ONCE, keys=None, **card):
    url = server.base_url if isinstance(server, ChatServer) else f"http://127.0.0.1:{server}/v1"
    return OpenAIModel([ModelCard(name="m", base_url=url, **card)], keys, retry=retry)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_is_the_server_s_own_and_read_as_far_as_it_can_be(stream):
    heard = []
    answer = ServedAnswer(text="two words", reasoning="because", finish_reason="length")
    async with ChatServer(answer=lambda _: answer) as server, client(server) as model:
        reply = await model.chat(asked(stream_options={"x": 1}), heard.append if stream else None)
    (request,) = server.requests
    assert (reply.text, reply.reasoning.strip(), reply.finish_reason) == ("two words", "because", "length")
    assert (reply.prompt_tokens, reply.completion_tokens) == (1, 3)
    assert reply.verbatim["choices"][0]["message"]["content"] == "two words"
    assert reply.verbatim["usage"]["total_tokens"] == 4
    if stream:
        assert request.body["stream_options"] == {"x": 1, "include_usage": True}
        assert [d.chunk["object"] for d in heard] == ["chat.completion.chunk"] * 5  # 1 + 2 words, the end, the usage
        assert ["".join(getattr(d, name) for d in heard).strip() for name in ("text", "reasoning")] == [
            "two words",
            "because",
        ]
    else:
        assert "stream_options" not in request.body


REPLIES = {
    "tool calls": {"message": {"content": None, "tool_calls": [{"id": "c"}]}, "finish_reason": "tool_calls"},
    "refusal": {"message": {"content": None, "refusal": "no"}, "finish_reason": "stop"},
    "filtered": {"message": {"content": "par"}, "finish_reason": "content_filter"},
    "empty": {"message": {"content": ""}, "finish_reason": "stop"},
    "only reasoning": {"message": {"content": None, "reasoning_content": "hm"}, "finish_reason": "length"},
    "unheard of": {"message": {"content": "x"}, "finish_reason": "pause_turn"},
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", REPLIES)
async def test_whatever_a_server_says_to_a_client_s_own_request_is_a_reply(name, stream):
    heard, whole = [], {"choices": [{"index": 0, **REPLIES[name]}]}
    if stream:
        sent = b"\r\ndata: " + json.dumps(whole).replace('"message"', '"delta"').encode() + b"\n\n"
    else:
        sent = b"\r\n" + json.dumps(whole).encode()
    async with served(raw(OK + sent)) as port, client(port) as model:
        reply = await model.chat(asked(), heard.append if stream else None)
    assert reply.verbatim["choices"] == whole["choices"]
    assert len(heard) == stream
    ends = {"tool calls": "tool_calls", "filtered": "content_filter", "only reasoning": "length"}
    assert reply.finish_reason == ends.get(name, "stop")


async def test_of_several_answers_the_first_is_the_text_and_none_is_lost():
    choices = [{"index": i, "delta": {"content": f"{i}"}, "finish_reason": "stop"} for i in (1, 0, 1, 0)]
    events = b"".join(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n" for choice in choices)
    heard = []
    async with served(raw(OK + b"\r\n" + events)) as port, client(port) as model:
        reply = await model.chat(asked(n=2), heard.append)
    assert (reply.text, len(heard)) == ("00", 4)
    assert {c["index"]: c["message"]["content"] for c in reply.verbatim["choices"]} == {0: "00", 1: "11"}


async def test_a_whole_reply_where_a_stream_was_asked_for_is_handed_on_in_chunks():
    heard = []
    async with ChatServer(streams=False) as server, client(server) as model:
        reply = await model.chat(asked(), heard.append)
    assert [d.chunk["object"] for d in heard] == ["chat.completion.chunk"] * 3
    assert reply.verbatim["object"] == "chat.completion"
    assert "".join(d.text for d in heard) == reply.text == "answer to q"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "kind"), [("no_choices", BadReply), ("garbage", BadReply), ("server_error", ServerFault)]
)
async def test_what_is_no_answer_stays_a_failure(fault, kind, stream):
    async with ChatServer(next_faults=deque([fault])) as server, client(server) as model:
        with pytest.raises(CallError) as caught:
            await model.chat(asked(), (lambda _: None) if stream else None)
    broken = isinstance(caught.value, BrokenOff)
    assert broken == (stream and fault == "no_choices")  # all that comes is passed on, even if nothing is said
    assert isinstance(caught.value.__cause__ if broken else caught.value, kind)


@pytest.mark.parametrize("verbatim", [BODY, None])
@pytest.mark.parametrize("first", ["error", "cut"])
async def test_a_stream_that_has_begun_is_never_begun_again(verbatim, first):
    requests, heard = [], []

    async def reply(request, writer):
        requests.append(request)
        writer.write(OK + b"Connection: close\r\n\r\n")
        if len(requests) > 1:  # the first try brings nothing and is repeated
            writer.write(CHUNK + (b'data: {"error": {"message": "gone"}}\n\n' if first == "error" else b""))
        await writer.drain()
        writer.close()

    async with served(each(reply)) as port, client(port, RetryPolicy(first_wait_s=0.001)) as model:
        with pytest.raises(BrokenOff) as caught:
            await model.chat(replace(asked(), verbatim=verbatim), heard.append)
    assert isinstance(caught.value.__cause__, ServerFault if first == "error" else ConnectionLost)
    assert "".join(d.text for d in heard) == "x"
    assert (len(requests), caught.value.attempts) == (2, 2)


async def test_lessons_are_learned_from_a_client_s_request_too():
    def refuse(served):
        if "max_tokens" in served.body:
            return "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        return "'temperature' is not supported" if "temperature" in served.body else None

    async with ChatServer(refuse=refuse) as server, client(server) as model:
        reply = await model.chat(asked(max_tokens=9, temperature=0.3))
    assert len(reply.learned) == 2
    assert server.requests[-1].body["max_completion_tokens"] == 9


async def test_tools_that_a_server_refuses_are_a_refusal():
    async with ChatServer(refuse=lambda _: "`tools` is not supported") as server, client(server) as model:
        with pytest.raises(BadRequest, match="tools"):
            await model.chat(asked(tools=[{"type": "function"}]))
    assert len(server.requests) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("form", ["sk-canary-0123456789", "\\u0073k-canary-0123456789"])
async def test_a_key_in_a_reply_is_taken_out_wherever_it_stands(stream, form):
    message = {"content": "see KEY", "tool_calls": [{"function": {"arguments": '{"k": "KEY"}'}}], "KEY": 1}
    text = json.dumps({"id": "KEY", "choices": [{"index": 0, "delta" if stream else "message": message}]})
    text = text.replace('"index": 0', '"index": 0, "finish_reason": "stop"').replace("KEY", form)
    sent = (b"\r\ndata: " if stream else b"\r\n") + text.encode() + b"\n\n"
    heard = []
    async with served(raw(OK + sent)) as port, client(port, keys={"m": SecretStr("sk-canary-0123456789")}) as model:
        reply = await model.chat(asked(), heard.append if stream else None)
    seen = repr(reply) + (repr([d.chunk for d in heard]) if stream else "")
    assert "canary" not in seen
    assert reply.verbatim["choices"][0]["finish_reason"] == "stop"


PRICED = ModelCard(name="m", price_in=1.0, price_out=1.0, max_output_tokens=100)


@pytest.mark.parametrize(
    ("fields", "completions"),
    [({}, 100), ({"max_tokens": 10}, 10), ({"max_tokens": 10, "n": 3}, 30), ({"n": "3"}, 300), ({"n": 2.0}, 200),
     ({"max_completion_tokens": 7, "max_tokens": 9}, 7), ({"best_of": 4}, 400), ({"n": "x"}, 100)],
)  # fmt: skip
def test_the_worst_that_it_costs_counts_every_answer_it_asks_for(fields, completions):
    size = len(json.dumps({**BODY, **fields}))
    assert worst_cost(asked(**fields), PRICED) == pytest.approx((size + 16 + completions) / 1e6)  # 16: one frame


def test_the_worst_that_it_costs_counts_all_of_it_and_images_by_what_they_can_take():
    tools = [{"type": "function", "function": {"description": "d" * 1000}}]
    assert worst_cost(asked(tools=tools), PRICED) - worst_cost(asked(), PRICED) > 1000 / 1e6
    large = {"type": "image_url", "image_url": {"url": "data:" + "x" * 3_000_000}}
    costs = [worst_cost(asked(messages=[{"role": "user", "content": [image]}]), PRICED) for image in (IMAGE, large)]
    assert costs[0] == costs[1] > IMAGE_TOKENS / 1e6


def test_two_requests_of_clients_are_one_in_the_cache_if_they_ask_for_the_same():
    def key(**fields):
        return cache_key(asked(**fields), CARD)

    assert key() == key(model="gpt-4o", stream=True, stream_options={"include_usage": True})
    assert len({key(), key(seed=1), key(tools=[1]), cache_key(replace(asked(), verbatim=None), CARD)}) == 4


@pytest.mark.parametrize("first", [False, True])
async def test_the_cache_keeps_the_form_and_gives_it_whole_or_in_chunks(first, tmp_path):
    heard = []
    async with ChatServer() as server, CachedModel(client(server), FileReplies(tmp_path / "c.sqlite")) as model:
        fresh = await model.chat(asked(), (lambda _: None) if first else None)
        kept = await model.chat(asked(), heard.append)
    assert (fresh.cached, kept.cached, len(server.requests)) == (False, True, 1)
    assert kept.verbatim == fresh.verbatim
    assert [d.chunk["choices"][0]["delta"].get("content") for d in heard if d.chunk["choices"]] == ["answer to q", None]
    assert heard[-1].chunk["usage"] == fresh.verbatim["usage"]


async def test_an_error_says_what_it_was_although_nothing_of_it_is_ours():
    async with ChatServer(next_faults=deque(["overflow"])) as server, client(server) as model:
        with pytest.raises(CallError, match="maximum context length"):
            await model.chat(asked())
