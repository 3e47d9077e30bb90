"""How requests get to servers: aiohttp's connections, of which an event loop has one set for all models.

Connections are kept for further requests and are as many as the cards' `concurrency` lets calls be under way. There is
no time limit here: whoever calls has one for the whole. What comes back is bounded, whoever sends it. A redirect is
followed where it asks for the same request at the same server; anywhere else would be sent the key and the prompt.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
import aiohttp_socks
from yarl import URL

from mar.errors import BadRequest, CallError, CallTimeout, Charge, ConnectionLost
from mar.pool.body import MOST_ERROR_BYTES, Body
from mar.pool.faults import Where
from mar.pool.network import Route, route_to
from mar.pool.server_words import Said, read_error
from mar.pool.sse import TooLong

MOST_REDIRECTS = 3
KEPT_S = 4.5  # that an idle connection is kept: below the 5 s after which uvicorn, and so vLLM, closes it
HEADERS = {"User-Agent": "mar", "Content-Type": "application/json", "Accept-Encoding": "identity"}


# What the calls of the running task carry beside: it belongs to whoever asked, not to what is asked.
_CARRIED: ContextVar[Mapping[str, str] | None] = ContextVar("carried", default=None)


@contextmanager
def carrying(headers: Mapping[str, str]) -> Generator[None]:
    """Every call made inside, in tasks that are started there as well, carries these headers to its server."""
    before = _CARRIED.set(headers or None)
    try:
        yield
    finally:
        _CARRIED.reset(before)


class Unsendable(Exception):
    """A request that cannot be put into HTTP."""


# What can go wrong on the way, and of that what does before a request was sent.
FAILURES = (
    aiohttp.ClientError, OSError, Unsendable,
    aiohttp_socks.ProxyError, aiohttp_socks.ProxyConnectionError, aiohttp_socks.ProxyTimeoutError,
)  # fmt: skip
_NEVER_SENT = (
    aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL,
    aiohttp_socks.ProxyError, aiohttp_socks.ProxyConnectionError, aiohttp_socks.ProxyTimeoutError,
)  # fmt: skip
_TIMEOUTS = (TimeoutError, aiohttp_socks.ProxyTimeoutError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where one model is asked, and what every request to it carries."""

    session: aiohttp.ClientSession
    url: URL  # of the API: paths are below it, before its query
    headers: Mapping[str, str]
    route: Route

    @asynccontextmanager
    async def post(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Send a JSON body; gives the response once its head is there. Left early, the connection is closed.

        Raises:
            aiohttp.ClientError: And others of `FAILURES`: see `lost`.
        """
        data, url = _encoded(body), _below(self.url, path)
        for left in reversed(range(MOST_REDIRECTS + 1)):
            async with await self._send(url, data) as response:
                there = _same_request_elsewhere(response)
                if there is None or not left:
                    yield response
                    return
            url = there

    async def _send(self, url: URL, data: bytes) -> aiohttp.ClientResponse:
        proxy = None if self.route.socks else self.route.proxy
        carried = _CARRIED.get()
        headers = self.headers if carried is None else {**carried, **self.headers}
        try:
            return await self.session.post(
                url, data=data, headers=headers, proxy=proxy, ssl=self.route.certificates, allow_redirects=False
            )
        except ValueError as error:  # a header or an address that cannot be written
            problem = str(error)
        raise Unsendable(problem)


@lru_cache(maxsize=1024)
def _below(url: URL, path: str) -> URL:
    return (url / path).with_query(url.query)


def _encoded(body: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError) as error:  # NaN, half a surrogate pair, what is no JSON
        problem = f"{type(error).__name__}: {error}"
    raise Unsendable(problem)


def _same_request_elsewhere(response: aiohttp.ClientResponse) -> URL | None:
    if response.status not in (307, 308):
        return None
    try:
        there = response.url.join(URL(response.headers.get("Location", "")))
        return there if there.origin() == response.url.origin() else None
    except ValueError:
        return None


@asynccontextmanager
async def open_endpoints(
    urls: Mapping[str, str], headers: Mapping[str, Mapping[str, str]]
) -> AsyncGenerator[Mapping[str, Endpoint]]:
    """Endpoints by name, with what the running event loop needs to reach them.

    Args:
        urls: The address of each, with the query that its requests have.
        headers: What each request of one carries.

    Raises:
        ConfigError: The environment names a proxy or certificates that cannot be used.
    """
    async with AsyncExitStack() as stack:
        routes = {url: route_to(url) for url in set(urls.values())}
        sessions: dict[str | None, aiohttp.ClientSession] = {}
        for proxy in {route.proxy if route.socks else None for route in routes.values()}:
            sessions[proxy] = await stack.enter_async_context(_session(proxy))
        yield {
            name: Endpoint(
                session=sessions[routes[url].proxy if routes[url].socks else None],
                url=URL(url),
                headers={**HEADERS, **headers[name]},
                route=routes[url],
            )
            for name, url in urls.items()
        }


def _session(socks: str | None) -> aiohttp.ClientSession:
    """A set of connections, directly and through HTTP proxies, or all through one SOCKS proxy."""
    if socks is None:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_S)
    else:
        parts = urlsplit(socks)
        connector = aiohttp_socks.ProxyConnector(
            host=parts.hostname or "",
            port=parts.port or 1080,
            username=unquote(parts.username or "") or None,
            password=unquote(parts.password or "") or None,
            rdns=True,  # names are looked up behind the proxy
            limit=0,
            keepalive_timeout=KEPT_S,
        )
    return aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        cookie_jar=aiohttp.DummyCookieJar(), trust_env=False,
    )  # fmt: skip


async def read_refusal(response: aiohttp.ClientResponse) -> Said:
    """What a server says in place of an answer, as far as it gets to say it."""
    body, words = Body(response, MOST_ERROR_BYTES), bytearray()
    with suppress(*FAILURES, TooLong):  # the status and what has come of the words stand
        while piece := await body.piece():
            words += piece
    if 300 <= response.status < 400:
        there = response.headers.get("Location", "nowhere")
        return Said(status=response.status, words=f"it redirects to {there}; give the address that answers itself")
    return read_error(bytes(words), status=response.status, headers=response.headers)


def lost(error: Exception, where: Where) -> CallError:
    """The error that a failure on the way to a server or back stands for.

    Args:
        error: One of `FAILURES`. It may hold the key: it must be no context of what is raised for it.
        where: Who was asked.
    """
    if isinstance(error, Unsendable | aiohttp.InvalidURL):
        return BadRequest(f"{where}: the request cannot be sent: {where.quote(str(error))}")
    timed_out = isinstance(error, _TIMEOUTS)
    kind, what = (CallTimeout, "no answer in time") if timed_out else (ConnectionLost, "the connection failed")
    # The text of these names the proxy, and that with its password.
    words = f"{error.status} {error.message}" if isinstance(error, aiohttp.ClientResponseError) else str(error)
    said = where.quote(f"{type(error).__name__} {words}")
    return kind(f"{where}: {what}: {said}", charge=Charge(charged="no") if isinstance(error, _NEVER_SENT) else None)
