"""The body of a response, bounded: no server may fill the memory of those who ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mar.pool.sse import TooLong

if TYPE_CHECKING:  # who only plans receives nothing
    import aiohttp

MOST_BYTES = 64 * 2**20  # of a whole reply
MOST_STREAM_BYTES = 256 * 2**20  # of all events of a stream: they are not kept, what they say is
MOST_ERROR_BYTES = 2**20  # of a refusal; what comes behind is not read


class Body:
    """A response's body, read once.

    Args:
        response: Whose.
        most_bytes: How much of it is read.
    """

    def __init__(self, response: aiohttp.ClientResponse, most_bytes: int) -> None:
        self._content = response.content
        self._most = most_bytes
        self._size = 0

    async def piece(self) -> bytes:
        """What has come since; empty at its end.

        Raises:
            TooLong: There is more than is read.
            aiohttp.ClientError: It breaks off.
        """
        piece = await self._content.readany()
        self._size += len(piece)
        if self._size > self._most:
            raise TooLong(f"the reply is longer than {self._most} bytes")
        return piece

    async def text(self, begin: bytes = b"") -> str:
        """All of it behind its beginning. What is no UTF-8 becomes U+FFFD: it is not worth the rest of an answer.

        Raises:
            TooLong: There is more than is read.
            aiohttp.ClientError: It breaks off.
        """
        whole = bytearray(begin)
        while piece := await self.piece():
            whole += piece
        return whole.decode(errors="replace")
