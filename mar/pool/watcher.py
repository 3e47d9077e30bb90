"""Watching a pool's servers: one asynchronous watcher polls every /metrics and keeps a snapshot with its age.

A poll that fails leaves the last figures standing and lets them grow old; a server that has not answered for
`stale_after_s` is marked stale, and one that never answered is stale with nothing known. So a dead server never looks
like an idle one. Means are taken over `window_s`, from one reading to another; a server that was restarted begins
anew. Servers are polled each in a loop of its own: one that hangs delays no other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import anyio
from pydantic import SecretStr

from mar.concurrency import OpensPerLoop, task_group
from mar.errors import BadReply
from mar.pool.asking import ReportsTelemetry, StatesCosts, ask, embed
from mar.pool.cards import ModelCard
from mar.pool.metrics import ServerMetrics, read_metrics
from mar.pool.network import http_client
from mar.types import ChatModel, ChatReply, ChatRequest, DeltaHandler, ModelTelemetry

if TYPE_CHECKING:  # imported where it is used: who only plans talks to no server
    import httpx


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSettings:
    """How closely servers are watched."""

    interval_s: float = 1.0  # from the end of one poll to the next
    timeout_s: float = 2.0  # of one poll
    stale_after_s: float = 5.0  # age at which figures are old news
    window_s: float = 15.0  # over which means are taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a server said, and when."""

    at: float  # seconds on the event loop's clock
    metrics: ServerMetrics


@dataclass(slots=True, kw_only=True)
class Watched:
    """One model's server and its recent readings."""

    card: ModelCard
    url: str
    headers: Mapping[str, str]
    began: float  # when watching began, seconds on the event loop's clock
    readings: deque[Reading] = field(default_factory=deque[Reading])
    problem: str = "not asked yet"  # why the last poll brought nothing; "" when it did
    silent: bool = False  # the server answers but has no /metrics, so nothing can be said about it here

    def add(self, reading: Reading, window_s: float) -> None:
        """Keep a reading, and as many older ones as the window needs."""
        if self.readings and reading.metrics.restarted_since(self.readings[-1].metrics):
            self.readings.clear()
        self.readings.append(reading)
        while len(self.readings) > 2 and self.readings[1].at <= reading.at - window_s:
            self.readings.popleft()

    def telemetry(self, now: float, settings: WatchSettings) -> ModelTelemetry:
        """The latest figures as of now."""
        if not self.readings:
            return ModelTelemetry(model=self.card.name, age_s=now - self.began, stale=True)
        first, last = self.readings[0].metrics, self.readings[-1].metrics
        age = now - self.readings[-1].at
        return ModelTelemetry(
            model=self.card.name,
            running=last.running,
            waiting=last.waiting,
            kv_cache_usage=last.kv_cache_usage,
            ttft_s=last.ttft.mean_since(first.ttft),
            inter_token_s=last.inter_token.mean_since(first.inter_token),
            e2e_s=last.e2e.mean_since(first.e2e),
            queue_s=last.queue.mean_since(first.queue),
            age_s=age,
            stale=age > settings.stale_after_s,
        )


class TelemetryWatcher(OpensPerLoop[dict[str, Watched]]):
    """Polls the servers of some models for as long as it is open: `async with watcher:`.

    Args:
        cards: The models; each has a `base_url`, and its server's /metrics is beside /v1.
        keys: Key of each model, by name, for servers that want one.
        settings: How closely they are watched.
    """

    def __init__(
        self,
        cards: Iterable[ModelCard],
        keys: Mapping[str, SecretStr] | None = None,
        *,
        settings: WatchSettings | None = None,
    ) -> None:
        self.cards = {card.name: card for card in cards}
        self.settings = settings or WatchSettings()
        self._keys = dict(keys or {})
        super().__init__("telemetry watcher")

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[dict[str, Watched]]:
        import httpx

        async with AsyncExitStack() as stack, task_group() as tasks:
            watched: dict[str, Watched] = {}
            now = anyio.current_time()
            for name, card in self.cards.items():
                key = self._keys.get(name)
                headers = {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}
                watched[name] = Watched(card=card, url=metrics_url(card), headers=headers, began=now)
                client = http_client(
                    httpx.AsyncClient, watched[name].url, timeout=self.settings.timeout_s, follow_redirects=True
                )
                tasks.start_soon(self._watch, await stack.enter_async_context(client), watched[name])
            try:
                yield watched
            finally:
                tasks.cancel_scope.cancel()

    @property
    def _watched(self) -> Mapping[str, Watched]:
        return self._here.get() or {}

    async def _watch(self, client: httpx.AsyncClient, watched: Watched) -> None:
        while True:
            await self._poll(client, watched)
            await anyio.sleep(self.settings.interval_s)

    async def _poll(self, client: httpx.AsyncClient, watched: Watched) -> None:
        import httpx

        problem = f"no answer in {self.settings.timeout_s:g} s"
        with anyio.move_on_after(self.settings.timeout_s):  # httpx's own limit is per read, not for the whole reply
            try:
                metrics = await fetch_metrics(client, watched.card, headers=watched.headers)
                watched.add(Reading(at=anyio.current_time(), metrics=metrics), self.settings.window_s)
                problem, watched.silent = "", False
            except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, BadReply) as error:
                problem = str(error) or type(error).__name__
                watched.silent = watched.silent or _has_no_metrics(error, answered_before=bool(watched.readings))
        watched.problem = problem

    def snapshot(self) -> Mapping[str, ModelTelemetry]:
        """The latest figures of every model with their age, but of none whose server has no /metrics."""
        now = anyio.current_time()
        return {n: watched.telemetry(now, self.settings) for n, watched in self._watched.items() if not watched.silent}

    def problems(self) -> Mapping[str, str]:
        """Why the last poll of a model's server brought nothing, for those where it did not."""
        return {name: watched.problem for name, watched in self._watched.items() if watched.problem}


def metrics_url(card: ModelCard) -> str:
    """Where a model's server reports: /metrics beside its /v1."""
    return f"{(card.base_url or '').removesuffix('/v1')}/metrics"


async def fetch_metrics(
    client: httpx.AsyncClient, card: ModelCard, *, headers: Mapping[str, str] | None = None
) -> ServerMetrics:
    """Ask a model's server once.

    Raises:
        httpx.HTTPError: It did not answer, or with an error.
        BadReply: What it answered is no metrics.
    """
    response = await client.get(metrics_url(card), headers=headers)
    response.raise_for_status()
    return read_metrics(response.text, card.served_name or card.name)


def _has_no_metrics(error: Exception, *, answered_before: bool) -> bool:
    """Whether a server answered in a way that only one does that shows its metrics to nobody, or not to us.

    A refusal (another key, a path that is gone, a page to log in at) says nothing about its load and will be said for
    ever, whereas a fault may pass; so may a garbled reply of a server that gave figures before.
    """
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code < 500 and error.response.status_code not in (408, 429)
    return isinstance(error, httpx.TooManyRedirects) or (isinstance(error, BadReply) and not answered_before)


class WatchedModel(OpensPerLoop[None]):
    """A chat model whose servers are watched: their own figures where they report any, else the client's estimates.

    Args:
        model: What answers. Its own telemetry stands in for models that are not watched.
        watcher: Watches some or all of its servers, for as long as this object is open.
    """

    books_tries = True

    def __init__(self, model: ChatModel, watcher: TelemetryWatcher) -> None:
        self.model = model
        self.watcher = watcher
        super().__init__("watched model")

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            if isinstance(self.model, AbstractAsyncContextManager):
                await stack.enter_async_context(self.model)
            await stack.enter_async_context(self.watcher)
            yield

    def telemetry(self) -> Mapping[str, ModelTelemetry]:
        """The latest figures of every model; a server's own hold all its clients' requests, so they come first."""
        estimates = self.model.telemetry() if isinstance(self.model, ReportsTelemetry) else dict[str, ModelTelemetry]()
        seen = self.watcher.snapshot()
        circuits = {name: estimate.circuit for name, estimate in estimates.items() if estimate.circuit != "closed"}
        return {**estimates, **seen, **{n: replace(seen[n], circuit=c) for n, c in circuits.items() if n in seen}}

    def stated_costs(self) -> frozenset[str]:
        """Models whose replies carry their own cost, as the wrapped model says."""
        return self.model.stated_costs() if isinstance(self.model, StatesCosts) else frozenset()

    async def embed(self, request: ChatRequest) -> ChatReply:
        """Vectors of texts, from the wrapped model.

        Raises:
            CallError: The call failed for good.
        """
        return await embed(self.model, request)

    async def chat(self, request: ChatRequest, on_delta: DeltaHandler | None = None) -> ChatReply:
        """Answer one request.

        Raises:
            CallError: The call failed for good.
        """
        return await ask(self.model, request, on_delta)
