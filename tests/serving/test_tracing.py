"""Traces: a client's goes on to servers, and spans within it tell what was planned, asked and run."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mar.controllers.cards import Cards
from mar.serving.observe.tracing import context_of
from mar.testing.chat_server import ChatServer
from tests.asking import HI, pool_on, served

pytestmark = pytest.mark.anyio
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CONTEXT = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "shop=1"}


async def told(server, *, stream=False, content=False, faults=(), model="mar"):
    """The spans of one request in a client's trace, by name, and what came of it."""
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter", reason="extra `otel`")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    from mar.serving.observe.spans import Spans

    exporter, provider = memory.InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    server.next_faults.extend(faults)
    async with server:
        tracing = Spans(provider, content=content)
        async with served(pool_on(server), {"mar": Cards()}, tracing=tracing) as gateway:
            body = {"model": model, "messages": HI, "stream": stream}
            reply = await gateway.http.post("/v1/chat/completions", json=body, headers=CONTEXT)
            await gateway.kept.next()
    return {span.name: span for span in exporter.get_finished_spans()}, reply


def parent(span):
    return f"{span.parent.span_id:016x}"


def own(span):
    return f"{span.context.span_id:016x}"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_is_spans_within_the_clients_trace_and_its_server_is_told(stream):
    server = ChatServer()
    spans, _ = await told(server, stream=stream)
    assert set(spans) == {"invoke_agent mar", "plan cards", "invoke_agent Assistant", "chat m0"}
    root, chat = spans["invoke_agent mar"], spans["chat m0"]
    assert {f"{span.context.trace_id:032x}" for span in spans.values()} == {TRACE}
    assert parent(root) == PARENT
    assert parent(spans["plan cards"]) == parent(spans["invoke_agent Assistant"]) == own(root)
    assert parent(chat) == own(spans["invoke_agent Assistant"])
    assert server.heard[0].headers["traceparent"] == f"00-{TRACE}-{own(root)}-01"
    assert server.heard[0].headers["tracestate"] == "shop=1"
    assert all(span.end_time >= span.start_time for span in spans.values())
    said = chat.attributes
    assert said["gen_ai.operation.name"] == "chat"
    assert said["gen_ai.request.model"] == "m0"
    assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == (1, 3)  # words
    assert root.attributes["mar.cost_usd"] == pytest.approx(4e-6)  # 4 tokens at a USD a million
    assert root.attributes["http.response.status_code"] == 200


async def test_what_was_said_is_in_spans_only_where_that_is_switched_on():
    silent, _ = await told(ChatServer())
    assert "answer to hi" not in "".join(span.to_json() for span in silent.values())
    spans, _ = await told(ChatServer(), content=True)
    said = spans["invoke_agent mar"].attributes
    assert json.loads(said["gen_ai.input.messages"]) == [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}]
    assert json.loads(said["gen_ai.output.messages"])[0]["parts"][0]["content"] == "answer to hi"


async def test_a_call_that_fails_is_a_span_that_says_how():
    spans, reply = await told(ChatServer(), faults=["server_error"], model="m0")
    assert spans["chat m0"].attributes["error.type"] == "server_fault"
    assert not spans["chat m0"].status.is_ok
    assert spans["invoke_agent m0"].attributes["error.type"] == str(reply.status_code) == "502"
    assert "plan" not in "".join(spans)  # nothing was planned: the model was asked for by name


@pytest.mark.parametrize("model", ["mar", "m0"])
async def test_without_spans_of_its_own_the_gateway_passes_a_clients_trace_on_as_it_is(model):
    async with ChatServer() as server, served(pool_on(server), {"mar": Cards()}) as gateway:
        await gateway.http.post("/v1/chat/completions", json={"model": model, "messages": HI}, headers=CONTEXT)
        await gateway.post(model=model, messages=HI)
    first, second = (heard.headers for heard in server.heard)
    assert {name: first[name] for name in CONTEXT} == CONTEXT
    assert "traceparent" not in second


@pytest.mark.parametrize(
    "value", ["", "nonsense", f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{PARENT}-01-", f"ff-{TRACE}-{PARENT}-01"]
)
def test_a_malformed_context_is_none(value):
    assert context_of({"traceparent": value, "tracestate": "a=1"}) == {}


def test_nothing_of_opentelemetry_s_sdk_is_imported_while_it_is_off():
    code = (
        "import sys\nfrom mar.serving.app import create_app\nfrom mar.serving.settings import Settings\n"
        "create_app(Settings(pool='simulated'))\n"
        "sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
