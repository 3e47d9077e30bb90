"""A small real HTTP server on loopback that speaks the chat-completions protocol and fails on demand.

A test tool: it lets the real client be tested against real sockets, with every fault that servers are known for, and
benchmarks be run against a server of known latency. It answers /v1/models and /v1/chat/completions, plain and
streamed, any number of requests at once, and /metrics.

    async with ChatServer(delay_s=0.2, faults=evenly(0.3, ("rate_limited", "server_error"))) as server:
        model = OpenAIModel([ModelCard(name="m", base_url=server.base_url)])

Faults are drawn from a generator with a seed, in order of arrival; `server.next_faults` is served before any draw.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Literal, Self, cast, get_args

from mar.testing.http import HttpRequest, read_request, send, send_chunk, start_chunked
from mar.types import ToolCall

Fault = Literal[
    "rate_limited",  # 429
    "rate_limited_with_wait",  # 429 with a Retry-After header
    "server_error",  # 500
    "garbage",  # 200 with a body that is no JSON
    "no_choices",  # 200 with an empty list of choices
    "empty",  # 200 with an empty text
    "truncated",  # the body or the stream breaks off in the middle
    "closed",  # the connection is closed without a reply
    "hang",  # no reply until the client goes away
    "bad_key",  # 401
    "unknown_model",  # 404
    "overflow",  # 400: the prompt does not fit the context
    "filtered",  # 400: content filter
]
FAULTS: tuple[Fault, ...] = get_args(Fault)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedRequest:
    """One request for a completion, as it arrived."""

    model: str
    prompt: str  # text of the last message
    stream: bool
    body: Mapping[str, object]  # the whole decoded body


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedAnswer:
    """What the server answers with."""

    text: str
    reasoning: str = ""  # sent as `reasoning_content`
    finish_reason: str = "stop"  # where it calls no tools
    calls: tuple[ToolCall, ...] = ()  # tools that are to be called


Answer = Callable[[ServedRequest], str | ServedAnswer]


def evenly(rate: float, kinds: Iterable[Fault]) -> dict[Fault, float]:
    """A total fault rate shared evenly by some kinds of fault."""
    names = tuple(kinds)
    return dict.fromkeys(names, rate / len(names))


def _echo(request: ServedRequest) -> str:
    return f"answer to {request.prompt}"


@dataclass(kw_only=True)
class ChatServer:
    """The server. Use it as `async with ChatServer(...) as server:` on asyncio."""

    answer: Answer = _echo
    delay_s: float = 0.0  # before each reply's first byte
    piece_delay_s: float = 0.0  # before each further piece of a streamed reply
    faults: Mapping[Fault, float] = field(default_factory=dict[Fault, float])  # probability of each kind
    seed: int = 0
    key: str | None = None  # when set, any other key is refused with 401
    models: tuple[str, ...] = ()  # when given, any other model is refused with 404
    refuse: Callable[[ServedRequest], str | None] = lambda _: None  # words of a 400, where it gives any
    streams: bool = True  # else every answer is a whole one
    metrics: Callable[[], str] | None = None  # gives the text of /metrics; None: there is none
    metrics_status: int = 200  # of /metrics, where it is there
    headers: str = ""  # further headers of completions, a line each
    retry_after_s: float = 0.02  # what a 429 with a wait asks for
    next_faults: deque[Fault | None] = field(default_factory=deque["Fault | None"])  # served before any draw
    requests: list[ServedRequest] = field(default_factory=list[ServedRequest])
    heard: list[HttpRequest] = field(default_factory=list[HttpRequest])  # all requests, as they came
    injected: list[Fault] = field(default_factory=list[Fault])
    running: int = 0  # completions under way
    most_running: int = 0

    async def __aenter__(self) -> Self:
        self._random = random.Random(self.seed)
        self._connections: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1024)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def base_url(self) -> str:
        """What a model card's `base_url` should be."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._connections.add(task)
        try:
            while (request := await read_request(reader)) is not None:
                if not await self._respond(request, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the server is closing: either way there is nobody to answer
        finally:
            self._connections.discard(task)
            writer.close()

    async def _respond(self, request: HttpRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; says whether the connection may be used again."""
        self.heard.append(request)
        path = request.path.partition("?")[0]
        if path == "/metrics" and self.metrics is not None:
            await send(writer, self.metrics_status, self.metrics())
            return True
        if self.key is not None and request.headers.get("authorization") != f"Bearer {self.key}":
            return await self._fail(
                writer, 401, "Incorrect API key provided: " + request.headers.get("authorization", "")
            )
        if path == "/v1/models":
            return await self._list_models(writer)
        if path != "/v1/chat/completions":
            return await self._fail(writer, 404, f"no such path {request.path}")
        served = _served(request)
        self.requests.append(served)
        fault = self._draw()
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(self.delay_s)
            if self.models and served.model not in self.models:
                fault = "unknown_model"
            if (words := self.refuse(served)) is not None:
                return await self._fail(writer, 400, words)
            if fault is None:
                return await self._complete(served, writer)
            return await self._inject(fault, served, reader, writer)
        finally:
            self.running -= 1

    def _draw(self) -> Fault | None:
        if self.next_faults:
            fault = self.next_faults.popleft()
        else:
            kinds: list[Fault | None] = [*self.faults, None]
            weights = [*self.faults.values(), 1.0 - sum(self.faults.values())]
            fault = self._random.choices(kinds, weights)[0]
        if fault is not None:
            self.injected.append(fault)
        return fault

    async def _list_models(self, writer: asyncio.StreamWriter) -> bool:
        data = [{"id": name, "object": "model"} for name in self.models]
        await send(writer, 200, json.dumps({"object": "list", "data": data}))
        return True

    async def _fail(
        self, writer: asyncio.StreamWriter, status: int, message: str, *, code: str | None = None, headers: str = ""
    ) -> bool:
        error = {"message": message, "type": "error", "param": None, "code": code}
        await send(writer, status, json.dumps({"error": error}), headers=headers)
        return True

    async def _complete(
        self, served: ServedRequest, writer: asyncio.StreamWriter, *, pieces: int | None = None
    ) -> bool:
        answer = self.answer(served)
        answer = ServedAnswer(text=answer) if isinstance(answer, str) else answer
        if served.stream and self.streams:
            return await self._stream(served, answer, writer, pieces)
        body = json.dumps(_completion(served, answer))
        await send(writer, 200, body, headers=self.headers, cut=None if pieces is None else len(body) // 2)
        return pieces is None

    async def _stream(
        self, served: ServedRequest, answer: ServedAnswer, writer: asyncio.StreamWriter, pieces: int | None
    ) -> bool:
        await start_chunked(writer)
        for number, chunk in enumerate(_chunks(served, answer)):
            if pieces is not None and number == pieces:
                return False
            if number:
                await asyncio.sleep(self.piece_delay_s)
            await send_chunk(writer, f"data: {json.dumps(chunk)}\n\n")
        await send_chunk(writer, "data: [DONE]\n\n")
        await send_chunk(writer, "")
        return True

    async def _inject(
        self, fault: Fault, served: ServedRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        match fault:
            case "rate_limited":
                return await self._fail(writer, 429, "too many requests")
            case "rate_limited_with_wait":
                return await self._fail(writer, 429, "slow down", headers=f"Retry-After: {self.retry_after_s}\r\n")
            case "server_error":
                return await self._fail(writer, 500, "the engine has died")
            case "bad_key":
                return await self._fail(writer, 401, "Incorrect API key provided")
            case "unknown_model":
                return await self._fail(writer, 404, f"The model `{served.model}` does not exist")
            case "overflow":
                said = "This model's maximum context length is 8 tokens. However, you requested 9 tokens"
                return await self._fail(writer, 400, said, code="context_length_exceeded")
            case "filtered":
                return await self._fail(writer, 400, "rejected by our safety system", code="content_filter")
            case "garbage":
                await send(writer, 200, "{not json")
                return True
            case "no_choices":
                await send(writer, 200, json.dumps(_completion(served, ServedAnswer(text="")) | {"choices": []}))
                return True
            case "empty":
                await send(writer, 200, json.dumps(_completion(served, ServedAnswer(text=""))))
                return True
            case "truncated":
                return await self._complete(served, writer, pieces=1)
            case "closed":
                return False
            case "hang":
                await reader.read(1)  # returns when the client goes away
                return False


def _served(request: HttpRequest) -> ServedRequest:
    body = cast("dict[str, object]", json.loads(request.body))
    messages = cast("list[dict[str, str | None]]", body.get("messages") or [{"content": ""}])
    return ServedRequest(
        model=str(body.get("model")), prompt=messages[-1]["content"] or "", stream=bool(body.get("stream")), body=body
    )


def _usage(served: ServedRequest, answer: ServedAnswer) -> dict[str, int]:
    """Tokens are words here."""
    messages = cast("list[dict[str, str | None]]", served.body.get("messages") or [])
    prompt = sum(len((m["content"] or "").split()) for m in messages)
    completion = len(answer.text.split()) + len(answer.reasoning.split())
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _envelope(served: ServedRequest, kind: str, choices: list[dict[str, object]]) -> dict[str, object]:
    return {"id": "chatcmpl-0", "object": kind, "created": 0, "model": served.model, "choices": choices}


def _completion(served: ServedRequest, answer: ServedAnswer) -> dict[str, object]:
    message: dict[str, object] = {"role": "assistant", "content": answer.text}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.calls:
        message["tool_calls"] = [_call(call) for call in answer.calls]
    choice: dict[str, object] = {"index": 0, "message": message, "finish_reason": _finish(answer)}
    if served.body.get("logprobs"):
        # Half a nat each, so that any mean is exact.
        choice["logprobs"] = {"content": [{"token": w, "logprob": -0.5} for w in answer.text.split()]}
    return _envelope(served, "chat.completion", [choice]) | {"usage": _usage(served, answer)}


def _finish(answer: ServedAnswer) -> str:
    return "tool_calls" if answer.calls else answer.finish_reason


def _call(call: ToolCall) -> dict[str, object]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _call_pieces(calls: Iterable[ToolCall]) -> Iterable[dict[str, object]]:
    """The calls as a stream has them: the first piece of each names it, the next ones go on with its arguments."""
    for index, call in enumerate(calls):
        half = len(call.arguments) // 2
        yield {"index": index} | _call(replace(call, arguments=call.arguments[:half]))
        yield {"index": index, "function": {"arguments": call.arguments[half:]}}


def _chunks(served: ServedRequest, answer: ServedAnswer) -> Iterable[dict[str, object]]:
    kind = "chat.completion.chunk"
    for word in answer.reasoning.split(" ") if answer.reasoning else ():
        yield _envelope(served, kind, [{"index": 0, "delta": {"reasoning_content": word + " "}}])
    for piece in _call_pieces(answer.calls):
        yield _envelope(served, kind, [{"index": 0, "delta": {"tool_calls": [piece]}}])
    words = answer.text.split(" ")
    for number, word in enumerate(words):
        piece = word if number == len(words) - 1 else word + " "
        yield _envelope(served, kind, [{"index": 0, "delta": {"content": piece}}])
    yield _envelope(served, kind, [{"index": 0, "delta": {}, "finish_reason": _finish(answer)}])
    yield _envelope(served, kind, []) | {"usage": _usage(served, answer)}
