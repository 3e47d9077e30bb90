"""What the gateway needs of HTTP over ASGI: bodies up to a limit, replies, clients that leave."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from typing import cast

import anyio
import orjson
from starlette.types import Message, Receive, Scope, Send

from mar.serving.errors import Refusal
from mar.serving.settings import Limits

JSON = b"application/json"
READ_ON = 4  # times the longest body


class Gone(Exception):
    """The client has gone, or took nothing of what it was sent for so long that it was left."""


PRESENCE = "mar.presence"  # under which the state of an ASGI scope holds the `Presence` of its client


class Presence:
    """Whether a client is there, for whoever works for it."""

    def __init__(self) -> None:
        self.gone = False
        self._work: anyio.CancelScope | None = None  # what is done for it at the moment

    @classmethod
    def of(cls, scope: Scope) -> Presence:
        """That of whoever has sent a request."""
        return cast("Presence", scope["state"][PRESENCE])

    def leave(self) -> None:
        """The client has gone: what is done for it is called off."""
        self.gone = True
        if self._work is not None:
            self._work.cancel()

    @contextmanager
    def working(self, seconds: float) -> Generator[None]:
        """Work for it: it is called off when the client goes, or after so many seconds.

        Raises:
            Gone: The client has gone.
        """
        if self.gone:
            raise Gone
        try:
            with anyio.move_on_after(seconds) as self._work:
                yield
        finally:
            self._work = None
        if self.gone:
            raise Gone


def headers_of(scope: Scope) -> dict[str, str]:
    """A request's headers by name in lower case; of one that comes twice, the last."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def key_of(headers: Mapping[str, str]) -> str | None:
    """The key that a client shows, in the form of either protocol."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    return headers.get("x-api-key") or None


async def read_body(receive: Receive, headers: Mapping[str, str], limits: Limits) -> bytes:
    """The body of a request.

    Raises:
        Refusal: It is too long, or does not come.
        Gone: The client has gone.
    """
    stated = headers.get("content-length", "0")
    most = limits.body_bytes
    too_long = stated.isdigit() and int(stated) > most
    parts, size = list[bytes](), 0
    with suppress(TimeoutError):
        async with asyncio.timeout(limits.body_seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                part: bytes = message.get("body", b"")
                size += len(part)
                too_long = too_long or size > most
                # What is too long is read on for a while: a client that still sends would not hear why it is refused.
                if size > READ_ON * most:
                    break
                if not too_long:
                    parts.append(part)
                if not message.get("more_body", False):
                    break
        if not too_long:
            return parts[0] if len(parts) == 1 else b"".join(parts)
    if too_long:
        raise Refusal(
            f"the body is longer than {most:,} bytes; send less, or raise limits.body_bytes",
            status=413,
            code="request_too_large",
        )
    raise Refusal(f"the body did not come within {limits.body_seconds:g} s", status=408, code="request_timeout")


class Reply:
    """What is sent in reply to one request, once.

    Args:
        send: Of the ASGI call.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None  # once it has begun

    async def whole(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        """A reply of JSON."""
        data = orjson.dumps(body)
        await self._send(self._start(status, JSON, headers, (b"content-length", str(len(data)).encode())))
        await self._send({"type": "http.response.body", "body": data})

    async def begin_stream(self, headers: Mapping[str, str]) -> None:
        """The head of a stream of server-sent events."""
        # What stands between us and the client must not hold events back (nginx does unless told).
        unbuffered = (b"x-accel-buffering", b"no"), (b"cache-control", b"no-cache")
        await self._send(self._start(200, b"text/event-stream; charset=utf-8", headers, *unbuffered))

    async def more(self, data: bytes) -> None:
        """A part of a stream."""
        if data:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end_stream(self) -> None:
        """The end of a stream."""
        await self._send({"type": "http.response.body", "body": b""})

    def _start(
        self, status: int, kind: bytes, headers: Mapping[str, str] | None, *more: tuple[bytes, bytes]
    ) -> Message:
        self.status = status
        ours = [(name.encode(), _plain(value)) for name, value in (headers or {}).items()]
        return {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", kind), *more, *ours],
        }


def _plain(value: str) -> bytes:
    """A header's value: one line of visible ASCII, whatever a model or a controller is called."""
    if value.isascii() and value.isprintable():
        return value.encode()
    return "".join(c if " " <= c <= "~" else "?" for c in value).encode()
