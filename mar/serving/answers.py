"""The endpoints that answer: read, let in, planned, answered whole or as a stream, written down."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from mar.concurrency import beside
from mar.errors import MarError
from mar.pool.transport import carrying
from mar.serving.admission import Admission, Shown
from mar.serving.answer import Answer
from mar.serving.apis.base import Api, Draws, Writer, comment
from mar.serving.asked import Asked, read_asked, require_text
from mar.serving.bodies import decode
from mar.serving.errors import Refusal
from mar.serving.exchange import LEFT, Exchange, new_id, timed_out
from mar.serving.exploring import Explorer
from mar.serving.house import House
from mar.serving.http import Presence, Reply, headers_of, key_of, read_body
from mar.serving.observe.tracing import Tracing
from mar.serving.origin import check_program
from mar.serving.progress import progress_of
from mar.serving.record import Entry
from mar.serving.settings import Settings
from mar.types import AnyEvent, Delta

log = logging.getLogger(__name__)
BYTES_PER_TOKEN = 4  # of a body, by and large


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What the endpoints of a worker share."""

    settings: Settings
    house: House
    explorer: Explorer
    admission: Admission
    on_entry: tuple[Callable[[Entry], None], ...]  # are given every request that was worked on and has ended
    on_end: Callable[[Exchange, Entry], None]  # is given each of these with what was done
    on_refusal: Callable[[int], None]  # is given the status of every other
    tracing: Tracing
    local: bool  # whether only this machine can connect

    def headers(self, scope: Scope) -> dict[str, str]:
        """The headers of a request that no other site had sent.

        Raises:
            Refusal: Nobody needs a key here, and it was sent by a page of another site.
        """
        headers = headers_of(scope)
        if self.local and self.admission.open:
            check_program(headers)
        return headers


class Answers:
    """The endpoint of one protocol, a plain ASGI application.

    Args:
        desk: What endpoints share.
        api: The protocol.
    """

    def __init__(self, desk: Desk, api: Api) -> None:
        self._desk, self._api = desk, api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        reply = Reply(send)
        try:
            headers = self._desk.headers(scope)
            raw = await read_body(receive, headers, self._desk.settings.limits)
            await self.answer(raw, key_of(headers), headers, Presence.of(scope), reply)
        except Refusal as refusal:
            await self.refuse(refusal, reply)

    async def refuse(self, refusal: Refusal, reply: Reply) -> None:
        """Say why there is no answer, unless there is one already."""
        if reply.status is None:
            self._desk.on_refusal(refusal.status)
            await reply.whole(refusal.status, self._api.error(refusal), refusal.headers)

    async def answer(self, raw: bytes, key: Shown, headers: Mapping[str, str], client: Presence, reply: Reply) -> None:
        """Answer a request whose body has come.

        Args:
            raw: The body.
            key: What was shown of a key.
            headers: By name in lower case.
            client: Who waits for it.
            reply: Where the answer goes.

        Raises:
            Refusal: It is not let in, or not understood.
        """
        desk = self._desk
        async with desk.admission.visit(key, tokens=len(raw) // BYTES_PER_TOKEN) as visit:
            asked = read_asked(self._api.chat(decode(raw)), raw, headers)
            require_text(asked)
            began = time.perf_counter()
            id = new_id()
            way = desk.explorer.draw(await desk.house.way(asked, visit), asked, visit, id)
            trace = desk.tracing.begin(asked, way, headers, time.perf_counter() - began)
            told = desk.settings
            exchange = Exchange(
                desk.house,
                asked,
                visit,
                way,
                id=id,
                began=began,
                request_usd=told.request_usd,
                cache=told.cache,
                trace=trace,
            )
            status, reason = LEFT, "the client left"
            try:
                with carrying(trace.headers):
                    work = self._stream if asked.stream else self._whole
                    found = await work(desk, exchange, client, reply)
                if not client.gone:
                    status, reason = found
            finally:
                keep = visit.keep or told.episodes.keep
                arms = () if keep == "nothing" else desk.explorer.arms(way, asked, visit)
                entry = exchange.entry(status, reason, keep=keep, arms=arms)
                trace.end(entry)
                for heard in desk.on_entry:
                    heard(entry)
                desk.on_end(exchange, entry)

    # Whole -----------------------------------------------------------------------------------------------------

    async def _whole(self, desk: Desk, exchange: Exchange, client: Presence, reply: Reply) -> tuple[int, str]:
        """Answer in one piece; gives the status and why there is no answer."""
        return await self._said(await _outcome(desk, exchange, client), exchange, reply)

    async def _said(self, outcome: Answer | Refusal, exchange: Exchange, reply: Reply) -> tuple[int, str]:
        headers = exchange.headers(ended=True)
        if isinstance(outcome, Refusal):
            await reply.whole(outcome.status, self._api.error(outcome), {**headers, **outcome.headers})
            return outcome.status, outcome.message
        await reply.whole(200, self._api.whole(outcome), headers)
        return 200, ""

    # As a stream -----------------------------------------------------------------------------------------------

    async def _stream(self, desk: Desk, exchange: Exchange, client: Presence, reply: Reply) -> tuple[int, str]:
        """Answer piece by piece; gives the status and why there is no whole answer."""
        feed = _Feed(exchange.asked)
        writer = self._api.writer(exchange.asked, exchange.id, int(exchange.at))

        async def work() -> None:
            feed.end(await _outcome(desk, exchange, client, feed))

        async with beside(work):
            return await self._written(feed, writer, exchange, reply)

    async def _written(self, feed: _Feed, writer: Writer, exchange: Exchange, reply: Reply) -> tuple[int, str]:
        while True:
            pieces = await feed.news()
            outcome = feed.outcome
            if isinstance(outcome, Refusal) and reply.status is None and not pieces:
                return await self._said(outcome, exchange, reply)
            if reply.status is None:
                await reply.begin_stream(exchange.headers(ended=outcome is not None))
            data = b"".join(_piece(piece, writer, exchange.asked) for piece in pieces)
            match outcome:
                case None:
                    await reply.more(data)
                case Refusal():
                    await reply.more(data + writer.broken(outcome))
                    await reply.end_stream()
                    return outcome.status, outcome.message
                case Answer():
                    await reply.more(data + writer.end(outcome))
                    await reply.end_stream()
                    return 200, ""


def _piece(piece: Delta | AnyEvent, writer: Writer, asked: Asked) -> bytes:
    if isinstance(piece, Delta):
        return writer.delta(piece)
    if isinstance(writer, Draws):
        return writer.happened(piece)
    told = progress_of(piece)
    if told is None:
        return b""
    return comment(told.data) if asked.wishes.progress == "comments" else writer.reasoning(told.text + "\n")


class _Feed:
    """What happens in an episode, for the one who writes the stream."""

    def __init__(self, asked: Asked) -> None:
        self.outcome: Answer | Refusal | None = None  # once it has ended
        self.on_event = self._add if asked.wishes.progress else None
        self._pieces: list[Delta | AnyEvent] = []
        self._news = asyncio.Event()

    def on_delta(self, delta: Delta) -> None:
        """A piece of the answer."""
        self._add(delta)

    def _add(self, piece: Delta | AnyEvent) -> None:
        self._pieces.append(piece)
        self._news.set()

    def end(self, outcome: Answer | Refusal) -> None:
        """The end of it."""
        self.outcome = outcome
        self._news.set()

    async def news(self) -> list[Delta | AnyEvent]:
        """What has happened since the last time; waits until something has."""
        await self._news.wait()
        self._news.clear()
        pieces, self._pieces = self._pieces, []
        return pieces


async def _outcome(desk: Desk, exchange: Exchange, client: Presence, feed: _Feed | None = None) -> Answer | Refusal:
    """The answer, or why there is none.

    Raises:
        Gone: The client has gone: it is called off.
    """
    seconds = desk.settings.limits.answer_seconds
    with client.working(seconds):
        try:
            if feed is None:
                return await exchange.run()
            return await exchange.run(feed.on_delta, feed.on_event)
        except Refusal as refusal:
            return refusal
        except MarError as error:  # ours, or of what is configured: nothing that the client could mend
            log.error("%s: %s", exchange.id, error)
            return Refusal(f"the gateway cannot work on this: {error}", status=500, code="server_error")
    return timed_out(seconds)
