"""A response into a `ReplyBuilder`: a whole completion, or the events of a stream, whichever the server sends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio

from mar.clock import now
from mar.errors import ConnectionLost
from mar.pool.body import MOST_BYTES, MOST_STREAM_BYTES, Body
from mar.pool.decoded import mapping
from mar.pool.faults import Where
from mar.pool.openai_reply import NoCompletion, ReplyBuilder
from mar.pool.server_words import decode
from mar.pool.sse import EventReader

if TYPE_CHECKING:  # who only plans sends nothing
    import aiohttp

DONE = "[DONE]"  # the data of a stream's last event
LINGER_S = 0.02  # for the end of the body after that, so that its connection can be used again
HALF = "the stream ended before the answer was finished"
MOST_BLANK = 4096  # bytes of white space before anything else


async def read_reply(response: aiohttp.ClientResponse, builder: ReplyBuilder, where: Where) -> float | None:
    """Read a response; gives the time on the event loop's clock at which a stream's first text came.

    Raises:
        ValueError: It is no completion, or goes beyond its bounds.
        aiohttp.ClientError: It breaks off.
        ConnectionLost: It does, and nothing but what is missing says so.
    """
    if builder.on_delta is None:
        _take_whole(await Body(response, MOST_BYTES).text(), builder, where)
        return None
    body = Body(response, MOST_STREAM_BYTES)
    begin = piece = await body.piece()
    while piece and len(begin) < MOST_BLANK and not begin.strip():
        piece = await body.piece()
        begin += piece
    # A server that does not stream: no event begins like JSON or like a web page.
    if begin.lstrip().startswith((b"{", b"[", b"<")):
        _take_whole(await body.text(begin), builder, where)
        return None
    return await _read_events(body, begin, builder, where)


def _take_whole(text: str, builder: ReplyBuilder, where: Where) -> None:
    body = decode(text.removeprefix("\ufeff"))
    builder.add_whole(where.free_of_key_within(body, text) if builder.verbatim else body)


async def _read_events(body: Body, piece: bytes, builder: ReplyBuilder, where: Where) -> float | None:
    reader, first_text_at = EventReader(), None
    while True:
        for data in reader.feed(piece) if piece else reader.close():
            if data.strip() == DONE:
                await _linger(body)
                return _ended(builder, first_text_at)
            chunk = json.loads(data)
            builder.add(mapping(where.free_of_key_within(chunk, data) if builder.verbatim else chunk))
            if builder.has_text and first_text_at is None:
                first_text_at = now()
            if builder.error is not None:
                return first_text_at
        if not piece:
            if builder.has_choice and builder.finish is None:
                raise ConnectionLost(f"{where}: {HALF}")
            return _ended(builder, first_text_at)
        piece = await body.piece()


async def _linger(body: Body) -> None:
    with anyio.move_on_after(LINGER_S):
        while await body.piece():
            pass


def _ended(builder: ReplyBuilder, first_text_at: float | None) -> float | None:
    if builder.finish is None:
        raise NoCompletion(HALF)
    return first_text_at
