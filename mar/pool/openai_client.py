"""Models behind OpenAI-compatible servers: hosted APIs, vLLM, and whatever else speaks /v1/chat/completions.

One connection pool in each event loop serves all models. The SDK's own retries are off: tries, limits and time are
counted here, where they can be observed and cancelled. A call goes through its model's limits once per try; the wait
between tries holds no slot. The SDK runs on asyncio, so a live pool does too.

What is measured: `ChatReply.latency_s` is the successful try's call, from sending to the last token. Waiting for our
own limits, failed tries and the pauses between tries are not in it (they are in the episode's latency, and the wait
for the limits is `ModelTelemetry.queue_s`).
"""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import anyio
from pydantic import SecretStr

from mar.concurrency import PerLoop
from mar.errors import BadReply, BadRequest, CallError, CallTimeout, ConfigError, ConnectionLost, ServerFault
from mar.pool.cards import ModelCard
from mar.pool.dialect import Dialect
from mar.pool.faults import Where, fault
from mar.pool.lessons import learn
from mar.pool.limits import CallTiming, ModelLimits
from mar.pool.network import http_client, proxy_of
from mar.pool.openai_reply import NoCompletion, ReplyBuilder, mapping
from mar.pool.openai_request import request_body, stream_fields
from mar.pool.reasoning import Splitter
from mar.pool.server_words import Said
from mar.types import ChatReply, ChatRequest, DeltaHandler, ModelTelemetry

if TYPE_CHECKING:  # imported where they are used: the SDK takes a second to load, and who only plans sends nothing
    import httpx
    import openai
    from tenacity import AsyncRetrying, RetryCallState

log = logging.getLogger(__name__)
LONG_PAUSE_S = 5.0  # a pause before another try is worth a line from here on
NO_KEY = "EMPTY"  # what servers that want no key are sent: the SDK insists on one
MOST_LESSONS = 10  # requests of one try whose refusals teach something
UNANSWERED = (ConnectionLost, CallTimeout, ServerFault)  # failures after which a server is not taken for idle
# Whose reply this task awaits: a connection pool that all models share cannot tell its hook otherwise.
_UNDER_WAY: ContextVar[ModelLimits] = ContextVar("mar_call_under_way")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a failed try is repeated, and after how long.

    A fault passes in seconds or not at all. A rate limit and a server that loads its model only need time: they are
    given more tries and longer pauses, by default at least 75 s in all. Where an answer was generated and charged for
    that is of no use (empty, filtered, broken off), each further try is bought: there are few of these.
    """

    attempts: int = 5  # tries in all
    bought: int = 2  # tries in all of which it is certain that the provider charges for them
    first_wait_s: float = 0.5  # the pause before the second try is drawn from [0, first_wait_s], then doubles
    longest_wait_s: float = 30.0  # no pause is drawn from a wider range
    longest_retry_after_s: float = 60.0  # a server that asks for more is not obeyed beyond this
    patience: int = 2  # how many times as many pauses there are where nothing but time helps
    stretch: float = 4.0  # how many times as long such pauses are; each is drawn from the upper half of its range

    def stop(self, state: RetryCallState, bought: int = 0) -> bool:
        """Whether the latest try was the last.

        Args:
            state: The latest try.
            bought: How many of the tries so far were charged for.
        """
        error = _error_of(state)
        pauses = (self.attempts - 1) * (self.patience if error and error.patient else 1)
        return state.attempt_number > pauses or bought >= self.bought

    def wait(self, state: RetryCallState) -> float:
        """Seconds to pause before the next try."""
        error = _error_of(state)
        widest = self.first_wait_s * 2 ** (state.attempt_number - 1)
        if error and error.patient:
            widest = min(self.stretch * widest, self.longest_wait_s)
            drawn = random.uniform(widest / 2, widest)
        else:
            drawn = random.uniform(0, min(widest, self.longest_wait_s))
        asked = None if error is None else error.retry_after_s
        return drawn if asked is None else max(drawn, min(asked, self.longest_retry_after_s))

    def say(self, state: RetryCallState) -> None:
        """Let a long pause be seen."""
        error, pause_s = _error_of(state), state.upcoming_sleep
        if error is not None and pause_s >= LONG_PAUSE_S:
            log.warning("%s; asked again in %.0f s (try %d)", error, pause_s, state.attempt_number + 1)

    def retrying(self) -> AsyncRetrying:
        """A fresh retry loop that lets the last error through; the error says how many tries there were."""
        from tenacity import AsyncRetrying

        bought = 0

        def again(state: RetryCallState) -> bool:
            nonlocal bought
            error = _error_of(state)
            if error is None:
                return False
            error.attempts = state.attempt_number
            bought += error.charge.charged == "yes"
            return error.retryable

        return AsyncRetrying(
            sleep=anyio.sleep,
            stop=lambda state: self.stop(state, bought),
            wait=self.wait,
            before_sleep=self.say,
            retry=again,
            reraise=True,
        )


def _error_of(state: RetryCallState) -> CallError | None:
    error = None if state.outcome is None else state.outcome.exception()
    return error if isinstance(error, CallError) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    """What is open in one event loop."""

    clients: Mapping[str, openai.AsyncOpenAI]  # by model
    limits: Mapping[str, ModelLimits]  # by model


class OpenAIModel:
    """Answers for every card through its OpenAI-compatible server. Use it as `async with model:`.

    Args:
        cards: The models. Each needs a `base_url`.
        keys: Key of each model, by name; a model without one is called without a key.
        retry: When failed tries are repeated.
        window_s: How far back `telemetry` looks.

    Raises:
        ConfigError: A card has no base_url.
    """

    books_tries = True

    def __init__(
        self,
        cards: Iterable[ModelCard],
        keys: Mapping[str, SecretStr] | None = None,
        *,
        retry: RetryPolicy | None = None,
        window_s: float = 60.0,
    ) -> None:
        self._cards = {card.name: card for card in cards}
        for card in self._cards.values():
            if card.base_url is None:
                raise ConfigError(f"model {card.name!r} has no base_url; give the address of its server")
        self._keys = dict(keys or {})
        self._retry = retry or RetryPolicy()
        self._window_s = window_s
        self._here = PerLoop("connections", self._open)
        self._dialects = {name: card.dialect for name, card in self._cards.items()}
        self._unsaid: dict[str, list[str]] = {}  # what was learned of a model and no reply has said yet

    async def __aenter__(self) -> Self:
        await self._here.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._here.__aexit__(kind, error, trace)

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[_Open]:
        import openai

        hooks = {"response": [_note_headers]}
        async with AsyncExitStack() as stack:
            http: dict[str | None, Any] = {}
            for url in (card.base_url or "" for card in self._cards.values()):
                if (proxy := proxy_of(url)) not in http:
                    options = {"timeout": None, "event_hooks": hooks}
                    client = http_client(openai.DefaultAsyncHttpxClient, url, **options)
                    http[proxy] = await stack.enter_async_context(client)
            clients = {n: self._client(card, http[proxy_of(card.base_url or "")]) for n, card in self._cards.items()}
            limits = {
                name: ModelLimits(
                    name,
                    concurrency=card.concurrency,
                    requests_per_minute=card.requests_per_minute,
                    window_s=self._window_s,
                )
                for name, card in self._cards.items()
            }
            yield _Open(clients=clients, limits=limits)

    def _client(self, card: ModelCard, http: Any) -> openai.AsyncOpenAI:
        import openai

        key = self._key(card.name) or NO_KEY
        query = {} if card.api_version is None else {"api-version": card.api_version}
        client = openai.AsyncOpenAI(
            api_key=key, base_url=card.base_url, http_client=http, max_retries=0, default_query=query
        )
        # What OPENAI_ORG_ID, OPENAI_PROJECT_ID and OPENAI_CUSTOM_HEADERS say is meant for one vendor, not for all.
        client.organization = client.project = None
        client._custom_headers = {**card.headers, **({} if card.api_version is None else {"api-key": key})}  # pyright: ignore[reportPrivateUsage]
        return client

    @property
    def limits(self) -> Mapping[str, ModelLimits]:
        """Each model's limits and load in the running event loop; none where the pool is not open."""
        here = self._here.get()
        return {} if here is None else here.limits

    @property
    def _clients(self) -> Mapping[str, openai.AsyncOpenAI]:
        here = self._here.get()
        return {} if here is None else here.clients

    def _key(self, name: str) -> str:
        key = self._keys.get(name)
        return "" if key is None else key.get_secret_value()

    def telemetry(self) -> Mapping[str, ModelTelemetry]:
        """Load and recent means of every model, as counted on this side."""
        return {name: limits.telemetry() for name, limits in self.limits.items()}

    async def chat(self, request: ChatRequest, on_delta: DeltaHandler | None = None) -> ChatReply:
        """Answer one request. A retried stream calls `on_delta` again from the start of the new try.

        Raises:
            ConfigError: The model is unknown, or this object is not open.
            CallError: The call failed for good.
            LimitReached: The request's meter allows no further try.
        """
        if request.model not in self._cards:
            raise ConfigError(f"unknown model {request.model!r}; there are: {', '.join(self._cards)}")
        if not self._clients:
            raise ConfigError("the pool is not open; use it inside `async with pool:`")
        async for attempt in self._retry.retrying():
            with attempt:
                reply = await self._try(request, on_delta)
                return replace(reply, attempts=attempt.retry_state.attempt_number)
        raise AssertionError("unreachable: the retry loop returns or raises")

    async def _try(self, request: ChatRequest, on_delta: DeltaHandler | None) -> ChatReply:
        async with self.limits[request.model].slot() as queued_s:
            send = partial(self._timed, request, on_delta, queued_s)
            return await (send() if request.meter is None else request.meter(request, send))

    async def _timed(self, request: ChatRequest, on_delta: DeltaHandler | None, queued_s: float) -> ChatReply:
        card, limits = self._cards[request.model], self.limits[request.model]
        timeout_s = request.timeout_s or card.timeout_s
        with anyio.move_on_after(timeout_s) as scope:
            _UNDER_WAY.set(limits)
            try:
                reply = await self._guarded(card, request, on_delta)
            except UNANSWERED:
                limits.record_failure()
                raise
            limits.record(_timing(reply, queued_s))
            return reply
        if scope.cancelled_caught:
            limits.record_failure()
            raise CallTimeout(f"{card.name} at {_host(card)}: no complete answer within {timeout_s:g} s")
        raise AssertionError("unreachable: the scope returns or is cancelled")

    async def _guarded(self, card: ModelCard, request: ChatRequest, on_delta: DeltaHandler | None) -> ChatReply:
        """One try: the request in the server's words, and again where a refusal teaches what those are."""
        where = Where(model=card.name, host=_host(card), key=self._key(card.name))
        room: int | None = None  # for the answer, where the server has said how much the prompt leaves
        shortened: list[str] = []
        for _ in range(MOST_LESSONS):
            dialect = self._dialects[card.name]
            body = request_body(card, request, dialect, room=room)
            body |= {} if on_delta is None else stream_fields(dialect)
            answer = await self._ask(card, body, on_delta, where)
            if isinstance(answer, ChatReply):
                return replace(answer, learned=(*self._unsaid.pop(card.name, ()), *shortened))
            if self._dialects[card.name] != dialect:
                continue  # another call has learned something meanwhile
            lesson = learn(answer, body, dialect)
            if lesson is None:
                raise fault(answer, where)
            if lesson.room is None:
                self._remember(card.name, lesson.dialect, lesson.text)
            else:
                room, shortened = lesson.room, [lesson.text]
        raise BadRequest(f"{where}: the server refuses every form of the request")

    def _remember(self, name: str, dialect: Dialect, text: str) -> None:
        """Keep what was learned about a model's server, to be said once."""
        if dialect != self._dialects[name]:
            self._dialects[name] = dialect
            self._unsaid.setdefault(name, []).append(text)

    async def _ask(
        self, card: ModelCard, body: dict[str, Any], on_delta: DeltaHandler | None, where: Where
    ) -> ChatReply | Said:
        """Send one request. Gives the reply, or what the server said in its place before it generated anything."""
        import openai

        client = self._clients[card.name]
        builder = ReplyBuilder(
            on_delta=on_delta, splitter=Splitter(unopened=self._dialects[card.name].begins_reasoning)
        )
        began, ttft_s = anyio.current_time(), None
        failure: CallError | Said | None
        try:
            if on_delta is None:
                await _whole(client, body, builder)
            else:
                ttft_s = await _stream(client, body, builder)
            failure = builder.error
        except openai.OpenAIError as error:
            from mar.pool.openai_errors import from_openai

            failure = from_openai(error, where)
        except (ValueError, RecursionError) as error:  # ours, and those of decoders, which the SDK lets through
            failure = BadReply(f"{where}: the reply is no chat completion: {where.quote(str(error))}")
        # Dealt with out here so that the SDK's exception, whose request carries the key, is no context of ours.
        if isinstance(failure, CallError):
            raise failure
        if failure is not None and builder.has_text:
            raise fault(failure, where, charge=builder.charge)
        if failure is not None:
            return failure
        reply = builder.build(model=card.name, where=where, latency_s=anyio.current_time() - began, ttft_s=ttft_s)
        if builder.unopened:
            text = "its replies begin inside reasoning; streams are held back until that ends"
            self._remember(card.name, self._dialects[card.name].changed(begins_reasoning=True), text)
        return replace(reply, text=where.free_of_key(reply.text), reasoning=where.free_of_key(reply.reasoning))


async def _whole(client: openai.AsyncOpenAI, body: dict[str, Any], builder: ReplyBuilder) -> None:
    # The SDK's own `create` would check and copy the body and build a completion from the reply, a third of the
    # processor time of a call; the builder reads what arrives.
    builder.add_whole(await client.post("/chat/completions", body=body, cast_to=object))


async def _stream(client: openai.AsyncOpenAI, body: dict[str, Any], builder: ReplyBuilder) -> float | None:
    """Read a stream; gives the seconds to its first text."""
    import openai

    began, ttft_s = anyio.current_time(), None
    stream = await client.post(
        "/chat/completions", body=body, cast_to=object, stream=True, stream_cls=openai.AsyncStream[object]
    )
    async with stream as chunks:
        if any(kind in stream.response.headers.get("content-type", "") for kind in ("json", "html")):
            builder.add_whole((await stream.response.aread()).decode())  # a server that does not stream
            return None
        async for chunk in chunks:
            builder.add(mapping(chunk))
            if builder.has_text and ttft_s is None:
                ttft_s = anyio.current_time() - began
    if builder.finish is None and builder.error is None:
        raise NoCompletion("the stream ended before the answer was finished")
    return ttft_s


def _timing(reply: ChatReply, queued_s: float) -> CallTiming:
    later_tokens = (reply.completion_tokens or 0) - 1
    streamed = reply.ttft_s is not None and later_tokens > 0
    return CallTiming(
        at=anyio.current_time(),
        e2e_s=reply.latency_s,
        queue_s=queued_s,
        ttft_s=reply.ttft_s,
        inter_token_s=(reply.latency_s - (reply.ttft_s or 0.0)) / later_tokens if streamed else None,
    )


async def _note_headers(response: httpx.Response) -> None:
    _UNDER_WAY.get().record_headers(response.headers)


def _host(card: ModelCard) -> str:
    return urlsplit(card.base_url or "").netloc.rpartition("@")[2]
