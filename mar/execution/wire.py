"""A connection between the driver and a worker: words both ways, those of one turn of the event loop in one message.

A message is a line of JSON, a list of words; a word is a list that begins with what it is. The more there is to say,
the more words share a message, up to its longest, and with it all that a message costs.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any, cast

LONGEST = 1 << 20  # bytes of a message
LONGEST_WORD = LONGEST - 1024


# The other end is asked whether it is there: a machine that loses its power says no goodbye. After a minute it is gone.
_ALIVE = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)] + [
    (socket.IPPROTO_TCP, getattr(socket, name), value)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
]


class Wire(asyncio.Protocol):
    """One end of a connection.

    Args:
        heard: Takes each message that comes.
        lost: Is called when the connection has ended.
    """

    def __init__(self, heard: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        self._heard, self._lost = heard, lost
        self._loop = asyncio.get_running_loop()
        self._rest = b""  # a message that has begun
        self._words: list[bytes] = []  # that have been said and not sent
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)
        for level, option, value in _ALIVE:
            transport.get_extra_info("socket").setsockopt(level, option, value)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        *messages, self._rest = (self._rest + data).split(b"\n")
        for message in messages:
            self._heard(message)
        if len(self._rest) > LONGEST + 2:
            self.close()  # a stranger

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._transport = None
        self._lost()

    def say(self, *word: Any) -> None:
        """Send a word, of `LONGEST_WORD` bytes at most, after those before it.

        Where the connection has ended, nobody hears it.
        """
        if not self._words:
            self._loop.call_soon(self._send)
        self._words.append(json.dumps(word).encode())

    def send(self, message: bytes) -> None:
        """Send a message."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(message + b"\n")

    def close(self) -> None:
        """End the connection, once all that was said is sent."""
        self._send()
        if self._transport is not None:
            self._transport.close()

    def _send(self) -> None:
        words, self._words = self._words, []
        message, size = list[bytes](), 0
        for word in words:
            if message and size + len(word) >= LONGEST:
                self._send_words(message)
                message, size = [], 0
            message.append(word)
            size += len(word) + 1
        if message:
            self._send_words(message)

    def _send_words(self, words: list[bytes]) -> None:
        self.send(b"[" + b",".join(words) + b"]")
