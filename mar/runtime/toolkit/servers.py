"""MCP servers: each is opened once, in a task of its own, and where one fails that is a failure of its tool.

The official `mcp` package does the talking. Server and package check arguments against the tool's schema; texts that
come back are handed on, other content is named.
"""

from __future__ import annotations

import logging
import math
import os
import re
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TextIO, TypeVar, cast

import anyio
import anyio.from_thread
import anyio.to_thread
from anyio.abc import TaskStatus
from anyio.from_thread import BlockingPortal

from mar.clock import real_work
from mar.concurrency import first_error
from mar.environment import read_environment
from mar.errors import ConfigError
from mar.pool.network import http_client
from mar.reading import brief
from mar.runtime.toolkit.records import McpServer, Tool, ToolReport
from mar.types import ToolSpec

if TYPE_CHECKING:
    from mcp import Client
    from mcp.client import Transport
    from mcp.types import Tool as McpTool

T = TypeVar("T")
log = logging.getLogger(__name__)
MOST_PAGES = 20  # of a server's list of tools
MOST_TOOLS = 128  # of one server: what APIs take at the most
MOST_DESCRIPTION = 1024  # characters of a tool's description, likewise
MOST_SCHEMA = 20_000  # characters of all that models are told of a tool
MOST_WAITING = 256  # calls that are under way at once
MOST_NOISE = 1_000_000  # bytes of an error stream that are kept


class Elsewhere:
    """An event loop on the wall clock, in a thread of its own: on virtual time the package's own pauses never end."""

    def __init__(self, portal: BlockingPortal) -> None:
        self._portal = portal
        self._waiting = anyio.CapacityLimiter(MOST_WAITING)  # in threads, and not in those that others need

    @classmethod
    @asynccontextmanager
    async def begin(cls) -> AsyncGenerator[Self]:
        """The loop, for as long as the context lasts; then it waits for what runs there."""
        started = anyio.from_thread.start_blocking_portal("asyncio")
        here = cls(await anyio.to_thread.run_sync(started.__enter__))
        try:
            yield here
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(started.__exit__, None, None, None)

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do something there. Where the wait for it is cancelled, it is, too."""
        future = self._portal.start_task_soon(work)
        try:
            return await anyio.to_thread.run_sync(future.result, abandon_on_cancel=True, limiter=self._waiting)
        except anyio.get_cancelled_exc_class():
            future.cancel()
            raise

    async def start(self, work: Callable[..., Awaitable[None]]) -> str:
        """Start something there that says when it has started, and what it then says."""
        _, said = await anyio.to_thread.run_sync(self._portal.start_task, work)
        return cast("str", said)


@dataclass(slots=True, kw_only=True)
class Server:
    """An MCP server."""

    name: str
    settings: McpServer
    elsewhere: Elsewhere
    tools: tuple[Tool, ...] = ()
    client: Client | None = None  # None: it is not open, or gone
    noise: TextIO | None = None  # its error stream
    closing: anyio.Event = field(init=False)  # of the loop that it lives in

    def hush(self) -> None:
        """Throw away what it wrote to its error stream, where that is much."""
        if self.noise is not None and os.fstat(self.noise.fileno()).st_size > MOST_NOISE:
            os.ftruncate(self.noise.fileno(), 0)

    async def serve(self, *, task_status: TaskStatus[str]) -> None:
        """Hold it open until it is closed or breaks; says when it has started, or why not."""
        self.closing = anyio.Event()
        problem, started = f"it has not started within {self.settings.timeout_s:g} s", False
        with tempfile.TemporaryFile("a+", errors="replace") as noise:
            with anyio.move_on_after(self.settings.timeout_s) as starting:
                try:
                    with first_error():
                        async with _connected(self.settings, noise) as client:
                            self.tools = await _listed(self, client)
                            self.client, self.noise, started = client, noise, True
                            starting.deadline = math.inf
                            task_status.started("")
                            await self.closing.wait()
                except Exception as error:  # whatever the package, the connection or the command raise
                    problem = str(error) if isinstance(error, ConfigError) else brief(error) + _last_words(noise)
                    if started:  # from now on, calls say that it is gone
                        log.warning("the MCP server %s broke: %s", self.name, problem)
            self.client = self.noise = None
        if not started:
            task_status.started(problem)

    async def close(self) -> None:
        """Let `serve` end."""
        self.closing.set()


@dataclass(frozen=True, slots=True, kw_only=True)
class _ServerTool:
    """A tool of a server."""

    server: Server
    name: str  # the server's for it
    spec: ToolSpec
    timeout_s: float
    charge_s: float = 0.5

    async def call(self, arguments: dict[str, Any]) -> ToolReport:
        """Have the server do it."""
        return await self.server.elsewhere.run(partial(self._call, arguments))

    async def _call(self, arguments: dict[str, Any]) -> ToolReport:
        from mcp.types import TextContent

        self.server.hush()
        client = self.server.client
        if client is None:
            return ToolReport.failed(f"the server {self.server.name} is gone")
        try:
            result = await client.call_tool(self.name, arguments)
        except Exception as error:  # whatever the package raises: of the protocol, the connection, a wrong result
            return ToolReport.failed(f"the server {self.server.name}: {type(error).__name__}: {brief(error)}")
        said = [part.text if isinstance(part, TextContent) else f"({part.type})" for part in result.content]
        text = "\n".join(said) or "(nothing)"
        return ToolReport.wrong(text) if result.is_error else ToolReport(text=text)


@asynccontextmanager
async def open_servers(servers: Mapping[str, McpServer], where: str) -> AsyncGenerator[Mapping[str, tuple[Tool, ...]]]:
    """The tools of servers by the server's name, for as long as the context lasts.

    Raises:
        ConfigError: One cannot be started or reached, or the package is not installed.
    """
    if not servers:
        yield {}
        return
    async with Elsewhere.begin() as elsewhere, AsyncExitStack() as stack:
        opened = {n: Server(name=n, settings=settings, elsewhere=elsewhere) for n, settings in servers.items()}
        for name, server in opened.items():
            problem = await real_work(partial(elsewhere.start, server.serve))
            if problem:
                raise ConfigError(f"{where}: server {name}: {problem}")
            stack.push_async_callback(elsewhere.run, server.close)
        yield {name: server.tools for name, server in opened.items()}


@asynccontextmanager
async def _connected(settings: McpServer, noise: TextIO) -> AsyncGenerator[Client]:
    try:
        from mcp import Client
    except ImportError:
        raise ConfigError("the package mcp is not installed; install mar with its extra: mar[mcp]") from None
    async with AsyncExitStack() as stack:
        transport = _over_streams(settings, noise) if settings.url is None else await _over_http(settings, stack)
        yield await stack.enter_async_context(Client(transport, cache=None))


def _over_streams(settings: McpServer, noise: TextIO) -> Transport:
    from mcp.client.stdio import StdioServerParameters, stdio_client

    passed = {name: os.environ[name] for name in settings.pass_env if name in os.environ}
    parameters = StdioServerParameters(
        command=settings.command or "",
        args=list(settings.args),
        env=passed | settings.env,
        cwd=settings.folder,
        encoding_error_handler="replace",
    )
    return stdio_client(parameters, errlog=noise)


async def _over_http(settings: McpServer, stack: AsyncExitStack) -> Transport:
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    url, headers = settings.url or "", dict(settings.headers)
    if settings.key_env is not None:
        key = read_environment().get(settings.key_env)
        if key is None:
            raise ConfigError(f"key_env: the variable {settings.key_env} is not set")
        headers["Authorization"] = f"Bearer {key.text}"
    client = http_client(httpx2.AsyncClient, url, headers=headers, timeout=settings.timeout_s)
    return streamable_http_client(url, http_client=await stack.enter_async_context(client))


async def _listed(server: Server, client: Client) -> tuple[Tool, ...]:
    """The server's tools that may be used."""
    found: list[McpTool] = []
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if cursor is None or len(found) > MOST_TOOLS:
            break
    wanted = server.settings.tools
    if missing := set(wanted or ()) - {tool.name for tool in found}:
        raise ConfigError(f"it has no tool {min(missing)!r}; there are: {', '.join(tool.name for tool in found)}")
    chosen = [tool for tool in found if wanted is None or tool.name in wanted]
    return tuple(_tool(server, tool) for tool in chosen[:MOST_TOOLS])


def _tool(server: Server, tool: McpTool) -> Tool:
    spec = ToolSpec(
        name=re.sub(r"[^A-Za-z0-9_-]", "_", f"{server.name}_{tool.name}")[:64],
        description=(tool.description or "")[:MOST_DESCRIPTION],
        parameters=tool.input_schema,
    )
    if len(spec.written) > MOST_SCHEMA:
        problem = f"its schema has more than {MOST_SCHEMA:,} characters; name the tools that are wanted"
        raise ConfigError(f"tool {tool.name!r}: {problem}")
    return _ServerTool(server=server, name=tool.name, spec=spec, timeout_s=server.settings.timeout_s)


def _last_words(noise: TextIO) -> str:
    """The end of what a server wrote to its error stream."""
    noise.seek(0)
    lines = noise.read(MOST_NOISE)[-300:].split()
    return f" (it wrote: {' '.join(lines)})" if lines else ""
