"""The way to a server: proxies, redirects, what breaks on it, and that nobody's call outlives its caller."""

import asyncio
import json
import time
from contextlib import asynccontextmanager

import aiohttp
import anyio
import pytest
from aiohttp.client_reqrep import ConnectionKey
from pydantic import SecretStr

from mar.errors import BadReply, BadRequest, BrokenOff, CallError, CallTimeout, ConnectionLost
from mar.pool import ModelCard
from mar.pool.faults import Where
from mar.pool.openai_client import OpenAIModel
from mar.pool.retry import RetryPolicy
from mar.pool.transport import Unsendable, lost
from mar.runtime.ledger import Ledger, Meter
from mar.testing.http import read_request, send
from mar.types import ChatRequest, Message

pytestmark = pytest.mark.anyio
ONCE = RetryPolicy(attempts=1)
COMPLETION = json.dumps({"choices": [{"index": 0, "message": {"content": "four"}, "finish_reason": "stop"}]})
WHERE = Where(model="m", host="h:1", key="sk-canary")


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@asynccontextmanager
async def served(answer):
    """A server whose connections a function answers; gives its port."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def each(reply):
    """Answers each request of a connection with a function of it and the writer."""

    async def answer(reader, writer):
        try:
            while (request := await read_request(reader)) is not None:
                await reply(request, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    return answer


def raw(sent):
    async def reply(_, writer):
        writer.write(sent if isinstance(sent, bytes) else sent.encode())
        await writer.drain()
        writer.close()

    return each(reply)


async def ask(port, *, host="127.0.0.1", stream=False, scheme="http", retry=ONCE, **card):
    heard = []
    cards = [ModelCard(name="m", base_url=f"{scheme}://{host}:{port}/v1", timeout_s=5, **card)]
    request = ChatRequest(model="m", messages=(Message(speaker="user", text="q"),))
    async with OpenAIModel(cards, {"m": SecretStr("sk-canary-0123456789")}, retry=retry) as model:
        return await model.chat(request, heard.append if stream else None)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("begun", [False, True])
async def test_a_cancelled_call_closes_its_connection_at_once(stream, begun):
    gone, asked = [], anyio.Event()

    async def answer(reader, writer):
        await read_request(reader)
        if begun:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(b'12\r\ndata: {"choices":[\r\n')
        asked.set()
        await reader.read()  # returns when the client goes away
        gone.append(time.perf_counter())
        writer.close()

    async with served(answer) as port:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: ask(port, stream=stream))
            await asked.wait()
            await anyio.sleep(0.01)
            left = time.perf_counter()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(5):
            while not gone:  # noqa: ASYNC110  # the server notes it and has no event to give
                await anyio.sleep(0.001)
    assert gone[0] - left < 0.1


async def test_connections_are_used_again_also_after_streams():
    connections, event = [], f"data: {COMPLETION.replace('message', 'delta')}\n\ndata: [DONE]\n\n"

    async def reply(request, writer):
        connections.append(writer)
        if json.loads(request.body).get("stream"):
            size = f"{len(event):x}"
            writer.write(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\n{event}\r\n".encode())
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(b"0\r\n\r\n")
        else:
            await send(writer, 200, COMPLETION)

    async with served(each(reply)) as port:
        cards = [ModelCard(name=n, base_url=f"http://127.0.0.1:{port}/v1") for n in ("m", "n")]
        async with OpenAIModel(cards, retry=ONCE) as model:
            for name in ("m", "n", "m"):
                request = ChatRequest(model=name, messages=(Message(speaker="user", text="q"),))
                assert (await model.chat(request)).text == "four"
                assert (await model.chat(request, lambda _: None)).text == "four"
    assert len(connections) == 6
    assert len(set(connections)) == 1


async def test_a_stream_that_stays_open_behind_its_end_holds_nobody_up():
    event = f"data: {COMPLETION.replace('message', 'delta')}\n\ndata: [DONE]\n\n"

    async def reply(_, writer):
        writer.write(f"HTTP/1.1 200 OK\r\n\r\n{event}".encode())
        await writer.drain()
        await asyncio.sleep(60)

    async with served(each(reply)) as port:
        began = time.perf_counter()
        assert (await ask(port, stream=True)).text == "four"
    assert time.perf_counter() - began < 2


async def test_an_http_proxy_is_used_with_its_password(monkeypatch):
    heard = []

    async def reply(request, writer):
        heard.append(request)
        await send(writer, 200, COMPLETION)

    async with served(each(reply)) as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:word@127.0.0.1:{port}")
        assert (await ask(8000, host="models.invalid")).text == "four"
    (request,) = heard
    assert request.path == "http://models.invalid:8000/v1/chat/completions"
    assert request.headers["proxy-authorization"] == "Basic dXNlcjp3b3Jk"  # user:word
    assert request.headers["authorization"] == "Bearer sk-canary-0123456789"


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks"])
async def test_a_socks_proxy_is_given_the_name_and_the_password(scheme, monkeypatch):
    heard = []

    async def answer(reader, writer):
        _, count = await reader.readexactly(2)  # RFC 1928: version, how many ways to log in
        await reader.readexactly(count)
        writer.write(b"\x05\x02")  # by user and password
        _, size = await reader.readexactly(2)  # RFC 1929
        user = await reader.readexactly(size)
        word = await reader.readexactly((await reader.readexactly(1))[0])
        writer.write(b"\x01\x00")
        *_, kind = await reader.readexactly(4)
        name = await reader.readexactly((await reader.readexactly(1))[0])
        port = int.from_bytes(await reader.readexactly(2))
        writer.write(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
        heard.append((user, word, kind, name, port))
        await read_request(reader)
        await send(writer, 200, COMPLETION)

    async with served(answer) as port:
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://user:w%40rd@127.0.0.1:{port}")
        assert (await ask(8000, host="models.invalid")).text == "four"
    assert heard == [(b"user", b"w@rd", 3, b"models.invalid", 8000)]  # 3: a name, looked up behind the proxy


@pytest.mark.parametrize("status", [407, 502])
async def test_a_proxy_that_refuses_is_named_without_its_password(status, monkeypatch):
    async with served(raw(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n")) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:canary@127.0.0.1:{port}")
        with pytest.raises(ConnectionLost, match=str(status)) as caught:
            await ask(443, host="models.invalid", scheme="https")
    assert "canary" not in str(caught.value)
    assert caught.value.charge.charged == "no"


async def test_the_same_request_elsewhere_on_the_same_server_is_made():
    async def reply(request, writer):
        if request.path == "/v1/chat/completions":
            await send(writer, 308, "", headers="Location: /v1/chat/completions/\r\n")
        else:
            assert json.loads(request.body)["messages"]
            await send(writer, 200, COMPLETION)

    async with served(each(reply)) as port:
        assert (await ask(port)).text == "four"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_no_key_follows_a_redirect_to_another_server(status):
    heard = []

    async def elsewhere(request, writer):
        heard.append(request)
        await send(writer, 200, COMPLETION)

    async with served(each(elsewhere)) as other:
        location = f"http://127.0.0.1:{other}/v1/chat/completions"
        async with served(raw(f"HTTP/1.1 {status} Go\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")) as port:
            with pytest.raises(BadRequest, match=f"redirects to http://127.0.0.1:{other}/v1"):
                await ask(port)
    assert heard == []


async def test_a_server_that_redirects_for_ever_is_asked_four_times():
    heard = []

    async def reply(request, writer):
        heard.append(request)
        await send(writer, 307, "", headers="Location: /v1/chat/completions\r\n")

    async with served(each(reply)) as port:
        with pytest.raises(BadRequest, match="redirects"):
            await ask(port)
    assert len(heard) == 4


KEY = ConnectionKey("h", 1, False, True, None, None, None)  # of a connection: whose, and how it is reached
OK = b"HTTP/1.1 200 OK\r\n"
CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("sent", "kind", "words"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n", ConnectionLost, None),
        (OK + b"X: " + b"y" * 20_000 + b"\r\n\r\n", ConnectionLost, None),  # a header bomb
        (OK + b"Y: z\r\n" * 5000 + b"\r\n", ConnectionLost, None),
        (OK + b"Content-Length: 5\r\n\r\n{", ConnectionLost, None),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", ConnectionLost, None),
        (OK + b"\r\n\xff\xfe\xfd", BadReply, "no chat completion"),
        (OK + b"\r\n" + b"[" * 100_000, BadReply, "no chat completion"),
        (OK + b"Content-Encoding: gzip\r\n\r\nno gzip", ConnectionLost, None),
        (b"HTTP/1.1 500 No\r\nContent-Length: 99\r\n\r\nthe engine has", CallError, "the engine has"),
    ],
)  # fmt: skip
async def test_what_hostile_or_broken_servers_send_is_a_call_error(sent, kind, words, stream):
    async with served(raw(sent)) as port:
        with pytest.raises(kind, match=words) as caught:
            await ask(port, stream=stream)
    assert isinstance(caught.value, CallError)


async def test_a_stream_whose_events_are_no_json_is_none():
    async with served(raw(OK + b"\r\n" + CHUNK + b"data: {broken\n\n")) as port:
        with pytest.raises(BrokenOff, match="no chat completion") as caught:
            await ask(port, stream=True)
    assert isinstance(caught.value.__cause__, BadReply)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_body_without_end_is_given_up_within_its_bound(stream, monkeypatch):
    monkeypatch.setattr("mar.pool.openai_stream.MOST_BYTES", 10_000)
    monkeypatch.setattr("mar.pool.openai_stream.MOST_STREAM_BYTES", 10_000)

    async def reply(_, writer):
        writer.write(OK + b"\r\n")
        while True:
            writer.write(CHUNK * 10)
            await writer.drain()

    async with served(each(reply)) as port:
        with pytest.raises(BadReply, match="longer than 10000 bytes"):
            await ask(port, stream=stream)


async def test_a_body_that_is_no_utf8_loses_its_wrong_bytes_only():
    body = COMPLETION.encode().replace(b"four", b"fo\xffur")
    async with served(raw(OK + b"\r\n" + body)) as port:
        assert (await ask(port)).text == "fo\ufffdur"


@pytest.mark.parametrize(
    ("error", "kind", "charged"),
    [
        (aiohttp.ClientProxyConnectionError(KEY, OSError(111, "refused")), ConnectionLost, "no"),
        (aiohttp.ConnectionTimeoutError("slow"), CallTimeout, "no"),
        (aiohttp.InvalidURL("http://"), BadRequest, "no"),
        (Unsendable("header value b'Bearer sk-canary'"), BadRequest, "no"),
        (aiohttp.ServerDisconnectedError(), ConnectionLost, "unknown"),
        (aiohttp.ClientPayloadError("cut"), ConnectionLost, "unknown"),
        (ConnectionResetError("reset"), ConnectionLost, "unknown"),
        (TimeoutError("read"), CallTimeout, "unknown"),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, Exception) else "",
)
def test_a_connection_that_was_never_made_costs_nothing_and_one_that_broke_may(error, kind, charged):
    found = lost(error, WHERE)
    assert type(found) is kind
    assert found.charge.charged == charged
    assert "canary" not in str(found)


@pytest.mark.parametrize("value", [float("nan"), "\ud800", object()])
async def test_what_cannot_be_written_as_json_is_a_bad_request(value):
    async with served(raw(OK + b"\r\n")) as port:
        with pytest.raises(BadRequest, match="cannot be sent") as caught:
            await ask(port, extra_body={"x": value})
    assert caught.value.charge.charged == "no"


async def test_a_cancelled_call_is_booked_at_the_most_that_it_can_have_cost():
    card = ModelCard(name="m", price_in=1.0, price_out=1.0, max_output_tokens=1000)
    ledger, asked = Ledger(), anyio.Event()

    async def answer(reader, writer):
        await read_request(reader)
        asked.set()
        await reader.read()
        writer.close()

    async with served(answer) as port:
        model = OpenAIModel([card.model_copy(update={"base_url": f"http://127.0.0.1:{port}/v1"})], retry=ONCE)
        request = ChatRequest(model="m", messages=(Message(speaker="user", text="q"),), meter=Meter(card, ledger))
        async with model, anyio.create_task_group() as tasks:
            tasks.start_soon(model.chat, request)
            await asked.wait()
            tasks.cancel_scope.cancel()
    assert ledger.spent_usd == pytest.approx((17 + 1000) / 1e6)  # a byte and a frame of 16, and all of the output
