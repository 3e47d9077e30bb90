"""HTTP/1.1 as uvicorn speaks it, with an end to the patience with clients; who works for one that leaves is told.

A request's head may be so long and take so long to come, and a client may take nothing of what it is sent for so long.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mar.serving.errors import Refusal, openai_error
from mar.serving.http import PRESENCE, Presence
from mar.serving.settings import Limits


class Config(uvicorn.Config):
    """How uvicorn serves a worker, and what clients may take of it."""

    limits = Limits()


class GuardedProtocol(HttpToolsProtocol):
    """Closes connections whose next request's head is too long or does not come, or that take nothing any more."""

    def __init__(self, config: uvicorn.Config, *args: Any, **named: Any) -> None:
        super().__init__(config, *args, **named)
        self.limits = config.limits if isinstance(config, Config) else Limits()
        self._head = 0  # bytes of the head under way, with what came along with its end
        self._in_head = True
        self._patience: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None  # runs while the client takes nothing
        self._presence = Presence()
        self.app_state = {**self.app_state, PRESENCE: self._presence}  # which every request of the connection is given

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop_waiting()
        self._takes_again()
        super().connection_lost(exc)
        self._presence.leave()

    def data_received(self, data: bytes) -> None:
        """Take some bytes."""
        if self._in_head:
            self._head += len(data)
        super().data_received(data)
        if self._in_head and self._head > self.limits.head_bytes and not self.transport.is_closing():
            self._refuse(431, "request_head_too_large", f"more than {self.limits.head_bytes:,} bytes of headers")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        if self._patience is None:  # on a connection that was kept alive
            self._wait_for_head()

    def on_headers_complete(self) -> None:
        """Its head has come."""
        self._in_head, self._head = False, 0
        self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Its body has come; the next head may follow."""
        super().on_message_complete()
        self._in_head = True

    def pause_writing(self) -> None:
        """What the client has not taken piles up."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.limits.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It takes things again."""
        super().resume_writing()
        self._takes_again()

    def _takes_again(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _wait_for_head(self) -> None:
        self._patience = self.loop.call_later(self.limits.head_seconds, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self._refuse(408, "request_timeout", f"no request within {self.limits.head_seconds:g} s")

    def _refuse(self, status: int, code: str, message: str) -> None:
        body = orjson.dumps(openai_error(Refusal(message, status=status, code=code)))
        phrase = {408: "Request Timeout", 431: "Request Header Fields Too Large"}[status]
        head = f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\nconnection: close\r\n"
        self.transport.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        self.transport.close()
