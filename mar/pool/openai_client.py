"""Models behind OpenAI-compatible servers: hosted APIs, vLLM, and whatever else speaks /v1/chat/completions.

One set of connections in each event loop serves all models (`mar.pool.transport`). Tries, limits and time are counted
here, where they can be observed and cancelled. A call goes through its model's limits once per try; the wait between
tries holds no slot. aiohttp runs on asyncio, so a live pool does too.

What is measured: `ChatReply.latency_s` is the successful try's call, from sending to the last token. Waiting for our
own limits, failed tries and the pauses between tries are not in it (they are in the episode's latency, and the wait
for the limits is `ModelTelemetry.queue_s`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import anyio
from pydantic import SecretStr

from mar.clock import now
from mar.concurrency import OpensPerLoop
from mar.errors import CallTimeout, ConfigError
from mar.pool.asking import unbroken
from mar.pool.breaker import ILL, Breaker, BreakerPolicy
from mar.pool.cards import ModelCard
from mar.pool.hedge import Runner, first_of_two
from mar.pool.limits import CallTiming, ModelLimits
from mar.pool.openai_server import Link, Server
from mar.pool.retry import RetryPolicy
from mar.types import ChatReply, ChatRequest, DeltaHandler, ModelTelemetry

Work = Callable[[Link, ChatRequest, DeltaHandler | None], Awaitable[ChatReply]]  # one try at a request


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    """What is open in one event loop, by model."""

    links: Mapping[str, Link]
    breakers: Mapping[str, Breaker]  # empty where none are wanted


class OpenAIModel(OpensPerLoop[_Open]):
    """Answers for every card through its OpenAI-compatible server. Use it as `async with model:`.

    Args:
        cards: The models. Each needs a `base_url`.
        keys: Key of each model, by name; a model without one is called without a key.
        retry: When failed tries are repeated.
        breaker: When a server that is ill is left alone for a while; None: never.
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
        breaker: BreakerPolicy | None = None,
        window_s: float = 60.0,
    ) -> None:
        self._cards = {card.name: card for card in cards}
        for card in self._cards.values():
            if card.base_url is None:
                raise ConfigError(f"model {card.name!r} has no base_url; give the address of its server")
        secrets = {name: key.get_secret_value() for name, key in (keys or {}).items()}
        self._servers = {name: Server(card, secrets.get(name, "")) for name, card in self._cards.items()}
        self._retry = retry or RetryPolicy()
        self._breaker = breaker
        self._window_s = window_s
        super().__init__("connections")

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[_Open]:
        from mar.pool.transport import open_endpoints

        servers = self._servers.items()
        async with open_endpoints({n: s.address for n, s in servers}, {n: s.headers for n, s in servers}) as ends:
            yield _Open(
                links={
                    name: Link(endpoint=ends[name], limits=self._limits(card)) for name, card in self._cards.items()
                },
                breakers={} if self._breaker is None else {name: Breaker(self._breaker) for name in self._cards},
            )

    def _limits(self, card: ModelCard) -> ModelLimits:
        return ModelLimits(
            card.name,
            concurrency=card.concurrency,
            requests_per_minute=card.requests_per_minute,
            window_s=self._window_s,
        )

    @property
    def limits(self) -> Mapping[str, ModelLimits]:
        """Each model's limits and load in the running event loop; none where the pool is not open."""
        here = self._here.get()
        return {} if here is None else {name: link.limits for name, link in here.links.items()}

    def telemetry(self) -> Mapping[str, ModelTelemetry]:
        """Load and recent means of every model, as counted on this side."""
        here = self._here.get()
        if here is None:
            return {}
        seen = {name: link.limits.telemetry() for name, link in here.links.items()}
        return seen | {name: replace(seen[name], circuit=b.state) for name, b in here.breakers.items()}

    async def chat(self, request: ChatRequest, on_delta: DeltaHandler | None = None) -> ChatReply:
        """Answer one request. A stream of which a piece has been handed on is not tried again.

        Raises:
            ConfigError: The model is unknown, or this object is not open.
            CallError: The call failed for good.
            LimitReached: The request's meter allows no further try.
        """
        server, here = self._asked(request.model)
        answer = partial(self._hedged, here, server.complete, request)
        return await self._retry.tried(lambda: unbroken(answer, on_delta), longest_wait_s=request.longest_wait_s)

    async def embed(self, request: ChatRequest) -> ChatReply:
        """The server's own reply to a client's own request for vectors, in `verbatim`.

        Raises:
            ConfigError: The model is unknown, or this object is not open.
            CallError: The call failed for good.
            LimitReached: The request's meter allows no further try.
        """
        server, here = self._asked(request.model)

        async def work(link: Link, asked: ChatRequest, _: DeltaHandler | None) -> ChatReply:
            return await server.embed(link, asked)

        tried = self._retry.tried
        return await tried(lambda: self._try(here, work, request, None), longest_wait_s=request.longest_wait_s)

    def _asked(self, name: str) -> tuple[Server, _Open]:
        if name not in self._servers:
            raise ConfigError(f"unknown model {name!r}; there are: {', '.join(self._cards)}")
        here = self._here.get()
        if here is None:
            raise ConfigError("the pool is not open; use it inside `async with pool:`")
        return self._servers[name], here

    async def _hedged(self, here: _Open, work: Work, request: ChatRequest, on_delta: DeltaHandler | None) -> ChatReply:
        after_s, limits = self._cards[request.model].hedge_s, here.links[request.model].limits
        if after_s is None:
            return await self._try(here, work, request, on_delta)

        async def run(runner: Runner) -> ChatReply:
            return await self._try(here, work, request, runner.listener(on_delta), runner.settle)

        return await first_of_two(run, after_s=after_s, spare=lambda: limits.spare)

    async def _try(
        self,
        here: _Open,
        work: Work,
        request: ChatRequest,
        on_delta: DeltaHandler | None,
        settle: Callable[[ChatReply], Awaitable[ChatReply]] | None = None,
    ) -> ChatReply:
        """One try, through the model's limits and the request's meter.

        Args:
            here: What is open.
            work: Makes it.
            request: What is asked.
            on_delta: Takes its pieces.
            settle: What is still done with its reply before it is booked.
        """
        link, breaker = here.links[request.model], here.breakers.get(request.model)
        where = self._servers[request.model].where
        if breaker is not None:
            breaker.check(where)  # before there is a wait for a slot
        async with link.limits.slot() as queued_s:

            async def send() -> ChatReply:
                reply = await self._timed(link, work, request, on_delta, queued_s)
                return reply if settle is None else await settle(reply)

            with nullcontext() if breaker is None else breaker.call(where):  # a call that is not let through is no try
                return await (send() if request.meter is None else request.meter(request, send))

    async def _timed(
        self, link: Link, work: Work, request: ChatRequest, on_delta: DeltaHandler | None, queued_s: float
    ) -> ChatReply:
        timeout_s = request.timeout_s or self._cards[request.model].timeout_s
        with anyio.move_on_after(timeout_s) as scope:
            try:
                reply = await work(link, request, on_delta)
            except ILL:
                link.limits.record_failure()
                raise
            link.limits.record(_timing(reply, queued_s))
            return reply
        if scope.cancelled_caught:
            link.limits.record_failure()
            where = self._servers[request.model].where
            raise CallTimeout(f"{where}: no complete answer within {timeout_s:g} s")
        raise AssertionError("unreachable: the scope returns or is cancelled")


def _timing(reply: ChatReply, queued_s: float) -> CallTiming:
    later_tokens = (reply.completion_tokens or 0) - 1
    streamed = reply.ttft_s is not None and later_tokens > 0
    return CallTiming(
        at=now(),
        e2e_s=reply.latency_s,
        queue_s=queued_s,
        ttft_s=reply.ttft_s,
        inter_token_s=(reply.latency_s - (reply.ttft_s or 0.0)) / later_tokens if streamed else None,
    )
