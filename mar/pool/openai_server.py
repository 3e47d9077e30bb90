"""One model's server: asked in the words that it takes, heard as far as it can be understood.

What is learned of it lasts as long as this object. Limits, tries and time are counted by whoever asks through it
(`mar.pool.openai_client`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode, urlsplit

from mar.clock import now
from mar.errors import BadReply, BadRequest, CallError
from mar.pool.body import MOST_BYTES, Body
from mar.pool.cards import ModelCard
from mar.pool.decoded import items, mapping
from mar.pool.dialect import Dialect
from mar.pool.faults import Where, fault
from mar.pool.lessons import learn
from mar.pool.limits import ModelLimits
from mar.pool.openai_reply import ReplyBuilder, Tokens
from mar.pool.openai_request import request_body, stream_fields
from mar.pool.openai_stream import read_reply
from mar.pool.openai_verbatim import verbatim_body
from mar.pool.reasoning import Splitter
from mar.pool.server_words import Said, decode, error_in
from mar.types import ChatReply, ChatRequest, DeltaHandler

if TYPE_CHECKING:  # imported where it is used: aiohttp takes a while to load, and who only plans sends nothing
    import aiohttp

    from mar.pool.transport import Endpoint

T = TypeVar("T")
NO_REPLY = {"chat/completions": "the reply is no chat completion", "embeddings": "the reply is no list of vectors"}
MOST_LESSONS = 10  # requests of one try whose refusals teach something


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The way to a server in one event loop."""

    endpoint: Endpoint
    limits: ModelLimits


class Server:
    """The server of one model.

    Args:
        card: The model.
        key: With which it is asked; "" without one.
    """

    def __init__(self, card: ModelCard, key: str = "") -> None:
        self.card = card
        self.where = Where(model=card.name, host=urlsplit(card.base_url or "").netloc.rpartition("@")[2], key=key)
        self._dialect = card.dialect
        self._unsaid: list[str] = []  # what was learned and no reply has said yet

    @property
    def address(self) -> str:
        """Where it is, with the query of every request."""
        version = self.card.api_version
        return f"{self.card.base_url}{'' if version is None else '?' + urlencode({'api-version': version})}"

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        key, azure = self.where.key, self.card.api_version is not None
        keys = {"Authorization": f"Bearer {key}", **({"api-key": key} if azure else {})} if key else {}
        return {**keys, **self.card.headers}

    async def complete(self, link: Link, request: ChatRequest, on_delta: DeltaHandler | None) -> ChatReply:
        """One try: the request in the server's words, and again where a refusal teaches what those are.

        Raises:
            CallError: It failed.
        """
        room: int | None = None  # for the answer, where the server has said how much the prompt leaves
        shortened: list[str] = []
        stream = on_delta is not None
        for _ in range(MOST_LESSONS):
            dialect = self._dialect
            body = _body(self.card, request, dialect, room=room, stream=stream)
            builder = ReplyBuilder(
                on_delta=on_delta,
                verbatim=request.verbatim is not None,
                splitter=Splitter(unopened=dialect.begins_reasoning),
                offered="tools" in body,
            )
            answer = await self._completion(link, body, builder)
            if isinstance(answer, ChatReply):
                learned, self._unsaid = [*self._unsaid, *shortened], []
                return replace(answer, learned=tuple(learned)) if learned else answer
            if self._dialect != dialect:
                continue  # another call has learned something meanwhile
            lesson = learn(answer, body, dialect)
            if lesson is None:
                raise fault(answer, self.where)
            if body == _body(self.card, request, lesson.dialect, room=lesson.room or room, stream=stream):
                raise fault(answer, self.where)  # nothing of a client's own request is left out to get it answered
            if lesson.room is None:
                self._remember(lesson.dialect, lesson.text)
            else:
                room, shortened = lesson.room, [lesson.text]
        raise BadRequest(f"{self.where}: the server refuses every form of the request")

    async def embed(self, link: Link, request: ChatRequest) -> ChatReply:
        """One try at a client's own request for vectors.

        Raises:
            CallError: It failed.
        """
        body = {**(request.verbatim or {}), **self.card.extra_body, "model": self.card.served_name or self.card.name}
        began = now()

        async def read(response: aiohttp.ClientResponse) -> dict[str, Any] | Said:
            text = await Body(response, MOST_BYTES).text()
            whole = mapping(self.where.free_of_key_within(decode(text), text))
            if items(whole.get("data")):
                return whole
            if (said := error_in(whole)) is not None:
                return said
            raise ValueError("it holds no vectors")

        whole = await self._post(link, "embeddings", body, read)
        if isinstance(whole, Said):
            raise fault(whole, self.where)
        return ChatReply(
            text="",
            model=self.card.name,
            prompt_tokens=Tokens.read(whole.get("usage")).prompt,
            completion_tokens=0,
            latency_s=now() - began,
            verbatim=whole,
        )

    def _remember(self, dialect: Dialect, text: str) -> None:
        """Keep what was learned, to be said once."""
        if dialect != self._dialect:
            self._dialect = dialect
            self._unsaid.append(text)

    async def _completion(self, link: Link, body: Mapping[str, Any], builder: ReplyBuilder) -> ChatReply | Said:
        """Send one request. Gives the reply, or what the server said in its place before it generated anything."""
        began = now()

        async def read(response: aiohttp.ClientResponse) -> float | Said | None:
            first_text_at = await read_reply(response, builder, self.where)
            return builder.error or first_text_at

        found = await self._post(link, "chat/completions", body, read)
        if isinstance(found, Said) and (builder.has_text or builder.begun):
            raise fault(found, self.where, charge=builder.charge)
        if isinstance(found, Said):
            return found
        ttft_s = None if found is None else found - began
        where, latency_s = self.where, now() - began
        reply = builder.build(model=self.card.name, where=where, latency_s=latency_s, ttft_s=ttft_s)
        if builder.unopened:
            text = "its replies begin inside reasoning; streams are held back until that ends"
            self._remember(self._dialect.changed(begins_reasoning=True), text)
        return reply

    async def _post(
        self,
        link: Link,
        path: str,
        body: Mapping[str, Any],
        read: Callable[[aiohttp.ClientResponse], Awaitable[T | Said]],
    ) -> T | Said:
        """What is read of the response, or the server's words in its place."""
        from mar.pool.transport import FAILURES, lost, read_refusal

        failure: CallError
        try:
            async with link.endpoint.post(path, body) as response:
                link.limits.record_headers(response.headers)
                return await (read(response) if response.status < 300 else read_refusal(response))
        except FAILURES as error:
            failure = lost(error, self.where)
        except (ValueError, RecursionError) as error:  # ours, and those of decoders
            failure = BadReply(f"{self.where}: {NO_REPLY[path]}: {self.where.quote(str(error))}")
        # Raised out here so that no exception of the transport's, which may hold the key, is a context of ours.
        raise failure


def _body(card: ModelCard, request: ChatRequest, dialect: Dialect, *, room: int | None, stream: bool) -> dict[str, Any]:
    made = (request_body if request.verbatim is None else verbatim_body)(card, request, dialect, room=room)
    return made | (stream_fields(dialect, request.verbatim) if stream else {})
