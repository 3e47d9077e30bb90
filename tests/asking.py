"""A gateway on a loopback port, and what is sent to it: by official clients, or byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import anthropic
import httpx
import openai
import uvicorn
from pydantic import SecretStr

from mar.controllers.base import Controller
from mar.controllers.cards import Cards
from mar.pool import ModelCard, Pool
from mar.pool.openai_client import OpenAIModel
from mar.pool.retry import RetryPolicy
from mar.serving.admission import Admission
from mar.serving.app import create_app
from mar.serving.observe.tracing import Tracing
from mar.serving.record import Entry, Memory
from mar.serving.run import config_of
from mar.serving.settings import Settings
from mar.serving.state import State
from mar.testing.chat_server import ChatServer

T = TypeVar("T")
PATIENCE_S = 60.0
KEY = "sk-upstream-4f9a7c3e1b"  # of the servers of `pool_on`
HI = [{"role": "user", "content": "hi"}]


def pool_on(*servers: ChatServer, **fields: Any) -> Pool:
    """A pool with a model on each server (m0, m1, ...); a token costs 1e-6 USD, and nothing is tried twice."""
    cards = [
        ModelCard(name=f"m{i}", base_url=server.base_url, price_in=1.0, price_out=1.0, **fields)
        for i, server in enumerate(servers)
    ]
    keys = {card.name: SecretStr(KEY) for card in cards}
    return Pool(cards, OpenAIModel(cards, keys, retry=RetryPolicy(attempts=1)), kind="live")


class Kept(Memory):
    """A record whose entries tests look at and wait for."""

    def __init__(self) -> None:
        super().__init__(1000)
        self.entries: list[Entry] = []
        self.news = asyncio.Event()

    def add(self, entry: Entry) -> None:
        super().add(entry)
        self.entries.append(entry)
        self.news.set()

    async def next(self) -> Entry:
        """The first entry, once it is there."""
        await self.news.wait()
        return self.entries[0]


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """A gateway that is served."""

    port: int
    kept: Kept
    http: httpx.AsyncClient
    client: openai.AsyncOpenAI  # the official one, as it comes; it tries once, so that tests see what came
    claude: anthropic.AsyncAnthropic  # Anthropic's, likewise

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def post(self, path: str = "/v1/chat/completions", **body: Any) -> httpx.Response:
        """Send a body of JSON."""
        return await self.http.post(path, json=body)


class _Server(uvicorn.Server):
    """Says when it has started."""

    def __init__(self, config: uvicorn.Config, ready: asyncio.Event) -> None:
        super().__init__(config)
        self.ready = ready

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@asynccontextmanager
async def served(
    pool: Pool,
    controllers: Mapping[str, Controller] | None = None,
    *,
    admission: Admission | None = None,
    state: State | None = None,
    tracing: Tracing | None = None,
    **settings: Any,
) -> AsyncGenerator[Gateway]:
    """A gateway meanwhile."""
    told, kept = Settings(port=0, **settings), Kept()
    all_of_them = {"mar": Cards(), **(controllers or {})}
    app = create_app(
        told,
        pool=pool,
        controllers=all_of_them,
        admission=admission,
        record=None if state else kept,
        state=state,
        tracing=tracing,
    )
    config = config_of(told, lambda: app)
    config.log_config, started = None, asyncio.Event()
    server, socket = _Server(config, started), config.bind_socket()
    running = asyncio.create_task(server.serve(sockets=[socket]))
    await started.wait()
    port = socket.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    async with (
        httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as http,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client,
        anthropic.AsyncAnthropic(base_url=url, api_key="none", max_retries=0) as claude,
    ):
        yield Gateway(port=port, kept=kept, http=http, client=client, claude=claude)
    server.should_exit = True
    await running


def ask(pool: Pool, main: Callable[[Gateway], Awaitable[T]], *args: Any, **settings: Any) -> T:
    """What comes of asking a gateway."""

    async def asked() -> T:
        async with asyncio.timeout(PATIENCE_S), served(pool, *args, **settings) as gateway:
            return await main(gateway)

    return asyncio.run(asked())


async def streamed(gateway: Gateway, **body: Any) -> tuple[str, list[Any]]:
    """The text of a stream, as the official client reads it, and its chunks."""
    asked: dict[str, Any] = {"model": "mar", "messages": HI, "stream": True, **body}
    chunks = [chunk async for chunk in await gateway.client.chat.completions.create(**asked)]
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices), chunks
