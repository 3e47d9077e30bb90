# pyright: basic
"""A server of the gateway's benchmark: answers after a while, whole or in chunks, or fails in all the ways there are.

It reads what it must and nothing else, so that its own work hardly counts. It counts what it was asked and what it
would have charged for.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field

DELAY_S = 0.02  # before an answer, or its first chunk
CHUNKS = 50
TEXT = "The answer is 42."
PROMPT_TOKENS, COMPLETION_TOKENS = 20, 50
USAGE = f'{{"prompt_tokens":{PROMPT_TOKENS},"completion_tokens":{COMPLETION_TOKENS},"total_tokens":70}}'
WHOLE = (
    '{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"small","choices":[{"index":0,"message":'
    f'{{"role":"assistant","content":"{TEXT}"}},"finish_reason":"stop"}}],"usage":{USAGE}}}'
).encode()
CHUNK = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"small","choices":'
    b'[{"index":0,"delta":{"role":"assistant","content":"word "},"finish_reason":null}]}\n\n'
)
LAST = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"small","choices":'
    b'[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"small","choices":[],"usage":'
    + USAGE.encode()
    + b"}\n\ndata: [DONE]\n\n"
)
FAULTS = ("refused", "limited", "closed", "half", "garbage", "late")
PAID = ("answered", "late")  # what of it comes with a count of its tokens
_NUMBER = re.compile(rb"17\*23\? (\d+)")
_MODEL = re.compile(rb'"model" ?: ?"(\w+)"')
LATE_S = 3.0  # how long a late answer takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call that it was made."""

    model: str
    what: str  # "answered", or a fault


@dataclass(slots=True, kw_only=True)
class Upstream:
    """The server. Use it as `async with Upstream() as upstream:`."""

    faults: float = 0.0  # share of requests that end in one of FAULTS
    seed: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    calls: dict[int, list[Call]] = field(
        default_factory=lambda: defaultdict(list)
    )  # by request, while there are faults
    port: int = 0
    _server: asyncio.Server | None = None
    _rng: random.Random = field(default_factory=random.Random)

    async def __aenter__(self) -> Upstream:
        self._rng.seed(self.seed)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.close()

    def begin(self, faults: float) -> None:
        """Let such a share of calls end in faults from here on, and count anew."""
        self.faults = faults
        self.counts.clear()
        self.calls.clear()

    def fault(self, body: bytes) -> str:
        """What becomes of the next request: a fault, or nothing."""
        if not self.faults:
            return ""
        found = self._rng.choice(FAULTS) if self._rng.random() < self.faults else ""
        self.counts[found or "answered"] += 1
        number, model = _NUMBER.search(body), _MODEL.search(body)
        if number and model:
            self.calls[int(number[1])].append(Call(model=model[1].decode(), what=found or "answered"))
        return found


class _Connection(asyncio.Protocol):
    """One connection: requests one after the other."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream, self._read = upstream, b""
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # pyright: ignore

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task is not None and not self._task.done():
            self._upstream.counts["left"] += 1
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, rest = self._read.partition(b"\r\n\r\n")
        if not found:
            return
        lowered = head.lower()
        at = lowered.find(b"content-length:")
        size = int(lowered[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(rest) < size:
            return
        body, self._read = rest[:size], rest[size:]
        streamed = b'"stream":true' in body.replace(b" ", b"")
        self._task = asyncio.ensure_future(self._answer(streamed, self._upstream.fault(body)))

    async def _answer(self, streamed: bool, fault: str) -> None:
        send = self._transport.write
        await asyncio.sleep(LATE_S if fault == "late" else DELAY_S)
        if self._transport.is_closing():
            return
        match fault:
            case "refused":
                send(_whole(b'{"error":{"message":"overloaded"}}', "503 Service Unavailable"))
            case "limited":
                send(_whole(b'{"error":{"message":"slow down"}}', "429 Too Many Requests", b"retry-after: 0\r\n"))
            case "closed":
                self._transport.close()
            case "half":
                send(_whole(WHOLE, "200 OK")[:-40])
                self._transport.close()
            case "garbage":
                send(_whole(b"<html>not json", "200 OK"))
            case _:
                await self._stream() if streamed else send(_whole(WHOLE, "200 OK"))

    async def _stream(self) -> None:
        send = self._transport.write
        send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(CHUNKS):
            send(b"%x\r\n%b\r\n" % (len(CHUNK), CHUNK))
            await asyncio.sleep(0)
        send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(LAST), LAST))


def _whole(body: bytes, status: str, more: bytes = b"") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n".encode()
    return head + more + b"\r\n" + body
