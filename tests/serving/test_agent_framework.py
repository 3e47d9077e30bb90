"""A third-party agent framework as it comes (openai-agents), whose models are behind a gateway."""

from __future__ import annotations

import json

import openai
import pytest

from mar.controllers.cards import Cards
from mar.testing.chat_server import ChatServer, ServedAnswer
from mar.types import ToolCall
from tests.asking import pool_on, served

agents = pytest.importorskip("agents", reason="openai-agents is not installed")
pytestmark = pytest.mark.anyio


@agents.function_tool
def times(a: int, b: int) -> int:
    """The product of two numbers."""
    return a * b


def told(request):
    """Has the tool called once, and says what it gave."""
    if request.body["messages"][-1]["role"] == "tool":
        return f"It is {request.prompt}."
    assert [tool["function"]["name"] for tool in request.body["tools"]] == ["times"]
    call = ToolCall(id="call_1", name="times", arguments=json.dumps({"a": 17, "b": 23}))
    return ServedAnswer(text="", calls=(call,))


@pytest.fixture
def server():
    return ChatServer(answer=told)


@pytest.mark.parametrize("protocol", [agents.OpenAIChatCompletionsModel, agents.OpenAIResponsesModel])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_agent_calls_its_tool_and_answers_with_what_it_gave(server, protocol, stream):
    async with server, served(pool_on(server, tags=("tools",)), {"mar": Cards()}) as gateway:
        client = openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none")
        model = protocol(model="mar", openai_client=client)
        agent = agents.Agent(name="Reckoner", instructions="Use the tool.", tools=[times], model=model)
        quiet = agents.RunConfig(tracing_disabled=True)  # else it sends spans to its maker
        if stream:
            result = agents.Runner.run_streamed(agent, "What is 17*23?", run_config=quiet)
            kinds = [event.type async for event in result.stream_events()]
            assert "raw_response_event" in kinds
        else:
            result = await agents.Runner.run(agent, "What is 17*23?", run_config=quiet)
        await client.close()
    assert result.final_output == "It is 391."
    assert [type(item).__name__ for item in result.new_items if "Tool" in type(item).__name__] == [
        "ToolCallItem",
        "ToolCallOutputItem",
    ]
    assert [entry.models for entry in gateway.kept.entries] == [("m0",), ("m0",)]
    first, second = server.requests
    assert first.body["messages"][0] == {"role": "system", "content": "Use the tool."}
    assert second.body["messages"][-1] == {"role": "tool", "tool_call_id": "call_1", "content": "391"}
