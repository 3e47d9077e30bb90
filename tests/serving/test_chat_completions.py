"""OpenAI's chat completions through a gateway, with the official client: answers, streams, headers, who is asked."""

from __future__ import annotations

import asyncio

import openai
import pytest

from mar.controllers.baselines import team, vote
from mar.errors import BadKey, ContextOverflow, RateLimited, Refused, ServerFault
from mar.pool import ModelCard, Pool, ScriptedModel
from mar.testing.chat_server import ChatServer
from mar.types import ChatReply, Delta, ToolCall
from tests.asking import HI, ask, pool_on, served, streamed

CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


def pool_of(fn=lambda request: f"said by {request.model}", names=("a", "b"), **tags):
    cards = [ModelCard(name=n, price_in=1.0, price_out=2.0, tags=tags.get(n, ())) for n in names]
    return Pool(cards, ScriptedModel(fn), kind="scripted")


def failing(error, *names):
    def answer(request):
        if request.model in names:
            raise error("it is ill")
        return f"said by {request.model}"

    return answer


# Whole answers -----------------------------------------------------------------------------------------------------


def test_an_answer_comes_with_usage_and_headers_that_say_how_it_came_about():
    async def main(gateway):
        return await gateway.client.chat.completions.with_raw_response.create(model="mar", messages=HI)

    raw = ask(pool_of(), main)
    answer = raw.parse()
    assert answer.choices[0].message.content == "said by a"  # of equals the first
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "mar"
    assert answer.usage.model_dump(exclude_none=True) == {
        "prompt_tokens": 1,
        "completion_tokens": 3,
        "total_tokens": 4,
    }
    mar = {name[6:]: value for name, value in raw.headers.items() if name.startswith("x-mar-")}
    episode = mar.pop("episode")
    assert answer.id == f"chatcmpl-{episode}"
    assert mar == {"plan": "IO(a)", "models": "a", "attempts": "1", "cost-usd": "0.000007"}  # 1 x 1.0 + 3 x 2.0


def test_usage_and_cost_are_of_all_calls_together():
    async def main(gateway):
        return await gateway.client.chat.completions.create(model="mar/team", messages=HI)

    answer = ask(pool_of(lambda r: "one two"), main, {"mar/team": vote(["a", "b"], "Math")})
    assert answer.usage.completion_tokens == 4
    assert answer.mar["models"] == ["a", "b"]


def test_the_simulated_pool_says_so_in_header_and_body():
    async def main(gateway):
        return await gateway.post(model="mar", messages=HI)

    pool = Pool([ModelCard(name="a")], ScriptedModel(lambda r: "x"), kind="simulated")
    reply = ask(pool, main)
    assert reply.headers["x-mar-simulated"] == "true"
    assert reply.json()["mar"]["simulated"] is True


def test_a_model_of_the_pool_is_asked_by_name_without_a_plan():
    pool = pool_of()

    async def main(gateway):
        return await gateway.post(model="b", messages=HI, top_k=5)

    reply = ask(pool, main)
    assert reply.json()["choices"][0]["message"]["content"] == "said by b"
    assert reply.headers["x-mar-plan"] == "direct"
    assert pool.model.requests[0].verbatim == {"messages": HI, "top_k": 5}


def test_the_servers_own_reply_is_what_is_answered_under_our_name():
    own = {"id": "theirs", "choices": [{"index": i, "message": {"content": f"{i}"}} for i in (0, 1)], "x": 1}

    async def main(gateway):
        return await gateway.client.chat.completions.create(model="mar", messages=HI, n=2)

    answer = ask(pool_of(lambda r: ChatReply(text="0", model=r.model, verbatim=own)), main)
    assert [c.message.content for c in answer.choices] == ["0", "1"]
    assert answer.id != "theirs"


def test_tools_that_a_model_wants_called_are_an_answer():
    choice = {"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "tool_calls": [CALL]}}

    async def main(gateway):
        return await gateway.client.chat.completions.create(model="mar", messages=HI, tools=[TOOL])

    pool = pool_of(lambda r: ChatReply(text="", model=r.model, verbatim={"choices": [choice]}), b=("tools",))
    answer = ask(pool, main)
    assert answer.choices[0].message.tool_calls[0].function.name == "add"
    assert answer.mar["models"] == ["b"]  # the one whose card has tools


def test_what_plans_of_several_agents_cannot_work_with_goes_to_one_agent():
    pool = pool_of()

    async def main(gateway):
        plain = await gateway.post(model="mar/team", messages=HI)
        strange = await gateway.post(model="mar/team", messages=HI, logit_bias={"5": 1})
        return plain, strange

    plain, strange = ask(pool, main, {"mar/team": team("Chain", "b", "Math")})
    assert plain.headers["x-mar-plan"].startswith("Chain(b, b, b)")
    assert strange.headers["x-mar-plan"] == "IO(b)"
    assert pool.model.requests[-1].verbatim == {"messages": HI, "logit_bias": {"5": 1}}


def test_roles_that_read_others_call_the_tools_of_the_gateways_file(tmp_path):
    (tmp_path / "sums.py").write_text("def twice(number: int) -> int:\n    return 2 * number\n")
    tools = tmp_path / "tools.toml"
    tools.write_text('[functions.twice]\nfunction = "sums:twice"\n[roles]\nInspector = ["twice"]\n')
    found = []

    def answer(request):
        found.extend(m.text for m in request.messages if m.speaker == "tool")
        if found or not request.tools:
            return "an answer"
        return ChatReply(
            text="", model=request.model, calls=(ToolCall(id="1", name="twice", arguments='{"number": 21}'),)
        )

    async def main(gateway):
        return await gateway.client.chat.completions.create(model="mar/team", messages=HI)

    ask(pool_of(answer), main, {"mar/team": team("Chain", "b", "Math")}, tools=tools)
    assert found == ["42"]


def test_a_team_reads_instructions_and_earlier_turns():
    pool = pool_of()
    talk = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]

    async def main(gateway):
        return await gateway.post(model="mar/team", messages=talk, max_tokens=50, temperature=0.1)

    ask(pool, main, {"mar/team": team("Chain", "b", "Math")})
    *_, decider = pool.model.requests
    prompt = decider.messages[-1].text
    assert all(text in prompt for text in ("Be brief.", "one", "two", "three"))
    assert (decider.max_tokens, decider.temperature) == (50, 0.1)
    assert {r.max_tokens for r in pool.model.requests[:-1]} == {None}  # others may think as long as they like


# Wishes ------------------------------------------------------------------------------------------------------------


def test_wishes_choose_among_models_and_ask_for_reasons():
    async def main(gateway):
        replies = [
            await gateway.post(model="mar", messages=HI, mar=wish)
            for wish in ({"deny": ["a"]}, {"allow": ["b"]}, {"explain": True})
        ]
        return [r.json()["mar"] for r in replies]

    denied, allowed, explained = ask(pool_of(), main)
    assert denied["models"] == allowed["models"] == ["b"]
    assert explained["why"]["why"] == "best value by card"
    assert explained["intent"]["mode"]["name"] == "IO"


def test_a_limit_in_money_holds():
    async def main(gateway):
        return await gateway.post(model="mar", messages=HI, mar={"max_usd": 1e-9})

    pool = pool_of()
    reply = ask(pool, main)
    assert reply.status_code == 402
    assert reply.json()["error"]["code"] == "budget_exceeded"
    assert not pool.model.requests


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"mar": {"budget": 1}}, 400, "mar.budget: there is no such wish; there are: cost_rate, max_usd,"),
        ({"mar": {"max_usd": "1"}}, 400, "mar.max_usd: input should be a valid number"),
        ({"mar": {"allow": ["c"]}}, 400, "mar: there is no model 'c'; there are: a, b"),
        ({"mar": {"deny": ["a", "b"]}}, 400, "mar: the wishes to allow and deny leave no model"),
        ({"mar": []}, 400, "mar: expected an object of wishes"),
        ({"model": "c"}, 404, "model: there is no 'c' here; there are: mar, a, b"),
        ({"model": ""}, 400, "model: string should have at least 1 character"),
        ({"model": None}, 400, "model: input should be a valid string"),
        ({"messages": []}, 400, "messages: list should have at least 1 item"),
        ({"messages": "hi"}, 400, "messages: input should be a valid list"),
        ({"messages": [{"role": "usr", "content": "x"}]}, 400, "messages.0.role: input should be 'system',"),
        ({"messages": [{"role": "user", "content": 5}]}, 400, "messages.0.content: input should be a valid string"),
        ({"messages": [{"role": "user", "content": " "}]}, 400, "messages: the last one is empty"),
        ({"temperature": 3}, 400, "temperature: input should be less than or equal to 2"),
        ({"stream": "yes"}, 400, "stream: input should be a valid boolean"),
        ({"max_tokens": 0}, 400, "max_tokens: input should be greater than 0"),
        ({"n": 0}, 400, "n: input should be greater than or equal to 1"),
        ({"tools": [TOOL]}, 400, "this request needs tools, which no model that may answer has; none here does"),
    ],
)
def test_what_cannot_be_is_refused_with_a_message_that_names_it(body, status, said):
    async def main(gateway):
        return await gateway.post(**{"model": "mar", "messages": HI, **body})

    reply = ask(pool_of(), main)
    error = reply.json()["error"]
    assert reply.status_code == status
    assert error["message"].startswith(said)
    assert error["type"] == "invalid_request_error"


# Streams -----------------------------------------------------------------------------------------------------------


class InPieces:
    """A model that streams word by word, as far as it is let."""

    def __init__(self, *, breaks=(), hold=False):
        self.breaks, self.hold, self.cancelled = breaks, hold, False
        self.begun = asyncio.Event()

    async def chat(self, request, on_delta=None):
        self.begun.set()
        for word in ("one ", "two ", "three"):
            if on_delta is not None:
                on_delta(Delta(text=word))
            await asyncio.sleep(0)
            if request.model in self.breaks:
                raise ServerFault("it is ill")
            if self.hold:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    self.cancelled = True
                    raise
        return ChatReply(text="one two three", model=request.model, prompt_tokens=1, completion_tokens=3)


def pool_in_pieces(**how):
    pool = pool_of()
    pool.model = InPieces(**how)
    return pool


def test_a_stream_comes_in_pieces_and_ends_with_the_usage_where_it_is_wanted():
    async def main(gateway):
        return await streamed(gateway), await streamed(gateway, stream_options={"include_usage": True})

    (text, chunks), (_, wanted) = ask(pool_in_pieces(), main)
    assert text == "one two three"
    assert [c.choices[0].finish_reason for c in chunks] == [None, None, None, "stop"]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].mar["cost_usd"] == 7e-6
    assert all(c.usage is None for c in chunks)
    assert wanted[-1].usage.total_tokens == 4


def test_the_answer_of_a_vote_is_streamed_at_the_end():
    async def main(gateway):
        return await streamed(gateway, model="mar/vote")

    text, _ = ask(pool_of(lambda r: "42"), main, {"mar/vote": vote(["a", "b"], "Math")})
    assert text == "42"


def test_only_the_decider_of_a_team_is_streamed():
    async def main(gateway):
        return await streamed(gateway, model="mar/team")

    text, _ = ask(pool_of(lambda r: r.context.kind), main, {"mar/team": team("Chain", "a", "Math")})
    assert text == "decider"


def test_the_servers_own_chunks_pass_under_our_name_and_usage_is_told_once():
    class Own:
        async def chat(self, request, on_delta=None):
            frame = {"id": "theirs", "model": "theirs", "object": "chat.completion.chunk"}
            call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
            for choice in ({"delta": {"reasoning_content": "hm"}}, {"delta": {"tool_calls": [call]}}):
                on_delta(Delta(chunk={**frame, "choices": [{"index": 0, "finish_reason": None, **choice}]}))
            last = {"index": 0, "delta": {}, "finish_reason": "tool_calls"}
            on_delta(Delta(chunk={**frame, "choices": [last], "usage": {"prompt_tokens": 9}}))
            on_delta(Delta(chunk={**frame, "choices": [], "usage": {"prompt_tokens": 9}}))
            return ChatReply(text="", model="a", prompt_tokens=9, completion_tokens=1, verbatim={"choices": [last]})

    pool = pool_of(a=("tools",))
    pool.model = Own()

    async def main(gateway):
        return await streamed(gateway, tools=[TOOL])

    _, chunks = ask(pool, main)
    assert len(chunks) == 3
    assert chunks[0].choices[0].delta.reasoning_content == "hm"
    assert chunks[1].choices[0].delta.tool_calls[0].function.name == "add"
    assert chunks[2].choices[0].finish_reason == "tool_calls"
    assert {c.model for c in chunks} == {"mar"}
    assert chunks[2].mar["attempts"] == 1


def test_the_streaming_helper_of_the_official_client_puts_the_answer_together():
    async def main(gateway):
        async with gateway.client.chat.completions.stream(model="mar", messages=HI) as stream:
            async for _ in stream:
                pass
            return await stream.get_final_completion()

    assert ask(pool_in_pieces(), main).choices[0].message.content == "one two three"


def test_progress_is_shown_as_comments_or_as_reasoning_where_it_is_wished():
    async def main(gateway):
        reply = await gateway.post(model="mar", messages=HI, stream=True, mar={"progress": "comments"})
        return reply.text, await streamed(gateway, extra_body={"mar": {"progress": "reasoning"}})

    text, (said, chunks) = ask(pool_in_pieces(), main)
    assert ': mar {"event":"StepBound"' in text
    assert said == "one two three"
    reasoning = "".join(getattr(c.choices[0].delta, "reasoning_content", None) or "" for c in chunks)
    assert "1 Assistant: a is asked\n" in reasoning


# What fails --------------------------------------------------------------------------------------------------------


def test_a_server_that_is_ill_is_replaced_before_anything_was_shown():
    async def main(gateway):
        whole = await gateway.post(model="mar", messages=HI)
        return whole, await streamed(gateway)

    whole, (text, chunks) = ask(pool_of(failing(ServerFault, "a")), main)
    assert whole.json()["choices"][0]["message"]["content"] == text == "said by b"
    assert whole.headers["x-mar-models"] == "a,b"
    assert whole.headers["x-mar-attempts"] == "2"
    assert chunks[-1].mar["attempts"] == 2


def test_after_the_first_piece_a_failure_ends_the_stream_with_an_error():
    got = []

    async def main(gateway):
        stream = await gateway.client.chat.completions.create(model="mar", messages=HI, stream=True)
        async for chunk in stream:
            got.extend([chunk.choices[0].delta.content])

    async def broken(gateway):
        with pytest.raises(openai.APIError, match="the answer broke off: it is ill"):
            await main(gateway)
        return await gateway.kept.next()

    entry = ask(pool_in_pieces(breaks=("a",)), broken)
    assert got == ["one "]
    assert (entry.status, entry.models) == (502, ("a",))


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RateLimited, 429, "rate_limit_exceeded"),
        (ServerFault, 502, "upstream_error"),
        (BadKey, 502, "upstream_error"),
        (ContextOverflow, 400, "context_length_exceeded"),
        (Refused, 400, "content_filter"),
    ],
)
def test_what_fails_beneath_has_a_status_that_clients_know(error, status, code):
    async def main(gateway):
        return [await gateway.post(model="b", messages=HI, stream=stream) for stream in (False, True)]

    for reply in ask(pool_of(failing(error, "a", "b")), main):
        assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)


def test_an_error_of_ours_tells_nothing():
    async def main(gateway):
        return await gateway.post(model="a", messages=HI)

    def broken(request):
        raise RuntimeError("secret")

    reply = ask(pool_of(broken), main)
    assert reply.status_code == 500
    assert "secret" not in reply.text


# Who leaves --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_calls_off_what_is_under_way_and_pays_for_it(stream):
    async def main(gateway):
        loop = asyncio.get_running_loop()
        pool.model = InPieces(hold=True)
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        body = f'{{"model": "a", "stream": {str(stream).lower()}, "messages": [{{"role": "user", "content": "hi"}}]}}'
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write((head + body).encode())
        if stream:
            await reader.readuntil(b"one ")
        else:
            await pool.model.begun.wait()
        left = loop.time()
        writer.close()
        entry = await gateway.kept.next()
        return entry, loop.time() - left

    pool = pool_of()
    entry, seconds = ask(pool, main)
    assert pool.model.cancelled
    assert entry.status == 499
    assert entry.usage.uncertain_usd > 0  # what it may have cost is booked
    assert seconds < 0.1


def test_a_deadline_that_passes_before_there_is_an_answer_is_a_timeout_and_no_matter_of_money():
    async def main(gateway):
        return await gateway.post(model="m0", messages=HI, mar={"deadline_s": 0.05})

    async def served_slowly():
        async with ChatServer(delay_s=30.0) as server, served(pool_on(server)) as gateway:
            return await main(gateway)

    reply = asyncio.run(served_slowly())
    assert reply.status_code == 504
    assert "by the deadline" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://{host}"}, 200),  # a page of the gateway's own
        ({"sec-fetch-site": "same-origin", "origin": "http://{host}"}, 200),
        ({"origin": "http://elsewhere.example"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "elsewhere.example", "origin": "http://elsewhere.example"}, 421),  # a name that was made to mean us
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings", "/v1/models"])
def test_no_other_site_can_ask_a_gateway_that_needs_no_key(headers, status, path):
    async def main(gateway):
        host = f"127.0.0.1:{gateway.port}"
        sent = {name: value.format(host=host) for name, value in headers.items()} | {"content-type": "text/plain"}
        if path == "/v1/models":
            return await gateway.http.get(path, headers=sent)
        return await gateway.http.post(path, json={"model": "a", "messages": HI}, headers=sent)

    reply = ask(pool_of(), main)
    assert reply.status_code == status or (status == 200 and reply.status_code == 400 and path == "/v1/embeddings")
