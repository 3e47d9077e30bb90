"""OpenAI's responses and Anthropic's messages through a gateway, with the official clients as they come."""

from __future__ import annotations

import anthropic
import pytest

from mar.controllers.baselines import team
from mar.errors import RateLimited, ServerFault
from mar.pool import ModelCard, Pool, ScriptedModel
from mar.types import ChatReply, Delta
from tests.asking import HI, ask

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"x":1}'}}


class Upstream:
    """A server that thinks, speaks and wants a tool called, whole or in pieces."""

    def __init__(self, *, calls=True, fails=None):
        self.calls, self.fails, self.bodies = calls, fails, []

    async def chat(self, request, on_delta=None):
        self.bodies.append(request.verbatim or {})
        finish = "tool_calls" if self.calls else "stop"
        message = {"content": "let me see", "reasoning_content": "hm", **({"tool_calls": [CALL]} if self.calls else {})}
        if on_delta is not None:
            half, rest = {**CALL, "function": {"name": "add", "arguments": '{"x"'}}, {"function": {"arguments": ":1}"}}
            deltas = [{"role": "assistant", "reasoning_content": "hm"}, {"content": "let me "}, {"content": "see"}]
            deltas += [{"tool_calls": [{"index": 0, **piece}]} for piece in (half, rest)] if self.calls else []
            for number, delta in enumerate([*deltas, {}]):
                ends = finish if number == len(deltas) else None
                on_delta(Delta(chunk={"choices": [{"index": 0, "delta": delta, "finish_reason": ends}]}))
                if self.fails is not None:
                    raise self.fails("it is ill")
        if self.fails is not None:
            raise self.fails("it is ill")
        own = {"choices": [{"index": 0, "message": message, "finish_reason": finish}]}
        return ChatReply(
            text="let me see", model=request.model, prompt_tokens=5, completion_tokens=7, verbatim=own, reasoning="hm"
        )


def pool_of(**how):
    card = ModelCard(name="a", price_in=1.0, price_out=1.0, tags=("tools", "vision", "json"))
    return Pool([card], Upstream(**how), kind="scripted")


# Messages ----------------------------------------------------------------------------------------------------------


def anthropic_client(gateway):
    return gateway.claude


ADD = {"name": "add", "description": "adds", "input_schema": SCHEMA}


def test_a_message_is_answered_in_blocks():
    async def main(gateway):
        client = anthropic_client(gateway)
        return await client.messages.create(model="mar", max_tokens=50, messages=HI, tools=[ADD])

    message = ask(pool_of(), main)
    assert [b.type for b in message.content] == ["thinking", "text", "tool_use"]
    assert message.content[1].text == "let me see"
    assert (message.content[2].id, message.content[2].name, message.content[2].input) == ("c1", "add", {"x": 1})
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == ("tool_use", 5, 7)


def test_a_streamed_message_is_put_together_by_the_official_helper():
    async def main(gateway):
        client = anthropic_client(gateway)
        async with client.messages.stream(model="mar", max_tokens=50, messages=HI, tools=[ADD]) as stream:
            texts = [text async for text in stream.text_stream]
            return texts, await stream.get_final_message()

    texts, message = ask(pool_of(), main)
    assert texts == ["let me ", "see"]
    assert [b.type for b in message.content] == ["thinking", "text", "tool_use"]
    assert message.content[0].thinking == "hm"
    assert message.content[2].input == {"x": 1}
    assert (message.stop_reason, message.usage.output_tokens) == ("tool_use", 7)


def test_what_a_message_holds_is_sent_on_as_a_chat_completions_request():
    talk = [
        {"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image", "source": IMAGE}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": ""},
                {"type": "text", "text": "one moment"},
                {"type": "tool_use", "id": "c1", "name": "add", "input": {"x": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "2"}]},
                {"type": "text", "text": "go on"},
            ],
        },
    ]

    async def main(gateway):
        await anthropic_client(gateway).messages.create(
            model="mar",
            max_tokens=50,
            system=[{"type": "text", "text": "Be brief."}],
            messages=talk,
            tools=[ADD],
            tool_choice={"type": "any"},
            stop_sequences=["END"],
            extra_body={"top_k": 5},
            metadata={"user_id": "u"},
            thinking={"type": "enabled", "budget_tokens": 2000},
            output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
            service_tier="auto",
        )

    pool = pool_of()
    ask(pool, main)
    assert pool.model.bodies == [
        {
            "max_tokens": 50,
            "top_k": 5,
            "stop": ["END"],
            "user": "u",
            "reasoning_effort": "low",
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
            },
            "tool_choice": "required",
            "tools": [{"type": "function", "function": {"name": "add", "description": "adds", "parameters": SCHEMA}}],
            "messages": [
                {"role": "system", "content": "Be brief."},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "look"},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    ],
                },
                {"role": "assistant", "content": "one moment", "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": "2"},
                {"role": "user", "content": "go on"},
            ],
        }
    ]


IMAGE = {"type": "base64", "media_type": "image/png", "data": "AAAA"}


def test_a_team_answers_a_message_too():
    async def main(gateway):
        client = anthropic_client(gateway)
        async with client.messages.stream(model="mar/team", max_tokens=50, messages=HI) as stream:
            return await stream.get_final_message()

    pool = pool_of()
    pool.model = ScriptedModel(lambda r: r.context.kind)
    message = ask(pool, main, {"mar/team": team("Chain", "a", "Math")})
    assert message.content[0].text == "decider"
    assert message.stop_reason == "end_turn"


def test_errors_have_the_shape_that_the_client_knows():
    async def main(gateway):
        client = anthropic_client(gateway)
        with pytest.raises(anthropic.RateLimitError) as limited:
            await client.messages.create(model="mar", max_tokens=5, messages=HI)
        with pytest.raises(anthropic.NotFoundError) as unknown:
            await client.messages.create(model="b", max_tokens=5, messages=HI)
        return limited.value, unknown.value

    limited, unknown = ask(pool_of(fails=RateLimited), main)
    assert limited.body["error"] == {"type": "rate_limit_error", "message": "it is ill"}
    assert unknown.body["error"]["type"] == "not_found_error"


def test_a_message_that_breaks_off_ends_with_an_error_event():
    async def main(gateway):
        with pytest.raises(anthropic.APIStatusError, match="the answer broke off"):
            async with anthropic_client(gateway).messages.stream(model="mar", max_tokens=5, messages=HI) as stream:
                await stream.get_final_message()

    ask(pool_of(fails=ServerFault), main)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"max_tokens": None}, "max_tokens: input should be a valid integer"),
        (
            {"messages": [{"role": "user", "content": [{"type": "document"}]}]},
            "messages.0.content.0.type: document has",
        ),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0: a tool that the server runs"),
        ({"messages": [{"role": "bot", "content": "x"}]}, "messages.0.role: input should be 'user',"),
    ],
)
def test_what_cannot_be_in_a_message_is_named(body, said):
    async def main(gateway):
        return await gateway.post("/v1/messages", **({"model": "mar", "max_tokens": 5, "messages": HI} | body))

    reply = ask(pool_of(), main)
    assert reply.status_code == 400
    assert reply.json()["error"]["message"].startswith(said)
    assert reply.json()["type"] == "error"


# Responses ---------------------------------------------------------------------------------------------------------

FUNCTION = {"type": "function", "name": "add", "parameters": SCHEMA, "strict": False}


def test_a_response_holds_reasoning_a_message_and_calls():
    async def main(gateway):
        return await gateway.client.responses.create(model="mar", input="hi", tools=[FUNCTION])

    response = ask(pool_of(), main)
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call"]
    assert response.output_text == "let me see"
    assert (response.output[2].call_id, response.output[2].arguments) == ("c1", '{"x":1}')
    assert (response.status, response.usage.total_tokens) == ("completed", 12)


def test_a_streamed_response_is_put_together_by_the_official_helper():
    async def main(gateway):
        async with gateway.client.responses.stream(model="mar", input="hi", tools=[FUNCTION]) as stream:
            events = [event async for event in stream]
            return events, await stream.get_final_response()

    events, response = ask(pool_of(), main)
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call"]
    assert response.output_text == "let me see"
    assert response.output[2].arguments == '{"x":1}'
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(numbers)
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == "let me see"
    assert len({item.id for item in response.output}) == 3


def test_what_a_response_is_asked_with_is_sent_on_as_a_chat_completions_request():
    items = [
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": "u"}],
        },
        {"type": "reasoning", "id": "r", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "one moment"}]},
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"x":1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "2"},
    ]

    async def main(gateway):
        await gateway.client.responses.create(
            model="mar",
            input=items,
            instructions="Be brief.",
            tools=[FUNCTION],
            tool_choice={"type": "function", "name": "add"},
            max_output_tokens=50,
            reasoning={"effort": "low"},
            text={"format": {"type": "json_schema", "name": "s", "schema": SCHEMA}},
            store=False,
        )

    pool = pool_of()
    ask(pool, main)
    function = {"name": "add", "parameters": SCHEMA, "strict": False}
    assert pool.model.bodies == [
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "u"}}],
                },
                {"role": "assistant", "content": "one moment", "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": "2"},
            ],
            "max_completion_tokens": 50,
            "tools": [{"type": "function", "function": function}],
            "tool_choice": {"type": "function", "function": {"name": "add"}},
            "reasoning_effort": "low",
            "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}},
        }
    ]


def test_a_response_that_breaks_off_ends_with_an_error_event():
    async def main(gateway):
        stream = await gateway.client.responses.create(model="mar", input="hi", stream=True)
        return [event async for event in stream][-1]

    last = ask(pool_of(fails=ServerFault), main)
    assert (last.type, last.message) == ("error", "the answer broke off: it is ill")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"previous_response_id": "r"}, "previous_response_id: responses are not kept; send the items"),
        ({"background": True}, "background: a response is made while the client waits"),
        ({"tools": [{"type": "web_search"}]}, "tools.0: a tool that the server runs itself (web_search)"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input.0.type: item_reference has no form"),
        ({"input": 5}, "input: input should be a valid string"),
        ({"input": []}, "messages: list should have at least 1 item"),
    ],
)
def test_what_cannot_be_in_a_response_is_named(body, said):
    async def main(gateway):
        return await gateway.post("/v1/responses", **({"model": "mar", "input": "hi"} | body))

    reply = ask(pool_of(), main)
    assert reply.status_code == 400
    assert reply.json()["error"]["message"].startswith(said)
