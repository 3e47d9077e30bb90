"""What a protocol has to do beyond OpenAI's chat completions: be translated into them, and say the answer its way."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import orjson

from mar.serving.answer import Answer
from mar.serving.asked import Asked
from mar.serving.bodies import Body
from mar.serving.errors import Refusal
from mar.types import AnyEvent, Delta


class Writer(Protocol):
    """Writes one answer as a stream of server-sent events. Every method gives the bytes to send, perhaps none."""

    def delta(self, delta: Delta) -> bytes:
        """A piece of the answer."""
        ...

    def reasoning(self, text: str) -> bytes:
        """Something that happened on the way, shown as reasoning."""
        ...

    def end(self, answer: Answer) -> bytes:
        """The end of an answer that came to its end; whatever of it was not written yet, too."""
        ...

    def broken(self, refusal: Refusal) -> bytes:
        """The end of an answer that did not."""
        ...


@runtime_checkable
class Draws(Protocol):
    """A writer that shows events in a way of its own, in place of comments or reasoning."""

    def happened(self, found: AnyEvent) -> bytes:
        """Something that happened on the way."""
        ...


class Api(Protocol):
    """A protocol that clients speak."""

    def chat(self, body: Body) -> Body:
        """A request's body in the form of OpenAI's chat completions.

        Raises:
            Refusal: Something in it cannot be.
        """
        ...

    def whole(self, answer: Answer) -> dict[str, Any]:
        """The body of a whole reply."""
        ...

    def writer(self, asked: Asked, id: str, created: int) -> Writer:
        """Writes a streamed reply."""
        ...

    def error(self, refusal: Refusal) -> dict[str, Any]:
        """The body of a refusal."""
        ...


def event(data: object, name: str | None = None) -> bytes:
    """One server-sent event."""
    head = b"" if name is None else b"event: " + name.encode() + b"\n"
    return head + b"data: " + orjson.dumps(data) + b"\n\n"


def comment(data: object) -> bytes:
    """A comment between events: clients that do not look for it never see it."""
    return b": mar " + orjson.dumps(data) + b"\n\n"
