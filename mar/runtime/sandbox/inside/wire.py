"""Length-prefixed frames over a socket, and the conversation between judge and candidate that they carry.

Both ends speak the same protocol, strictly nested: whoever waits for the answer to its own request serves the
requests that come in meanwhile (a candidate may call back a function that the test passed to it).
"""

# Values of any type pass through here by design.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from typing import Any

from .codec import FORMS, Decoder, Encoder, Wire
from .errors import Gone, Unsupported
from .shared import Shared

MAX_FRAME = 8 * 1024 * 1024


class FrameSocket:
    """Whole frames over a stream socket."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream

    def send(self, message: object) -> None:
        """Send one message.

        Raises:
            Unsupported: It is larger than a frame may be.
            Gone: The other side has closed.
        """
        data = json.dumps(message, separators=(",", ":")).encode("ascii")
        if len(data) > MAX_FRAME:
            raise Unsupported(f"a value of {len(data)} encoded bytes; the limit is {MAX_FRAME}")
        try:
            self._stream.sendall(struct.pack("=I", len(data)) + data)
        except OSError as error:
            raise Gone("the process ended") from error

    def receive(self) -> Any:
        """Wait for the next message.

        Raises:
            Gone: The other side has closed, or sent something that is no frame.
        """
        (size,) = struct.unpack("=I", self._exactly(4))
        if size > MAX_FRAME:
            raise Gone("a frame larger than allowed")
        try:
            return json.loads(self._exactly(size))
        except (ValueError, RecursionError) as error:
            raise Gone("a frame that cannot be read") from error

    def _exactly(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size:
            try:
                part = self._stream.recv(min(size, 1 << 18))
            except OSError as error:
                raise Gone("the process ended") from error
            if not part:
                raise Gone("the process ended")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


class Peer:
    """One end of the conversation. Subclasses say how odd objects cross and which requests are served.

    A message is a list: its kind, what it says, and last what comes along, or None: the containers that have changed
    ("u") or are forgotten ("g"), and what a subclass adds.

    Args:
        stream: The socket to the other end.
        first: The first number this end gives to a container it shares.
    """

    def __init__(self, stream: socket.socket, first: int) -> None:
        self._frames = FrameSocket(stream)
        self._forgotten: list[int] = []  # containers that the other end has not yet been told to forget
        self.shared = Shared(first)

    def odd(self, value: Any, encoder: Encoder) -> Wire:
        """The wire form of an object that is no plain value."""
        raise NotImplementedError

    def resolve(self, tag: str, content: Wire) -> Any:
        """The value of a wire form that the other end's `odd` made."""
        raise NotImplementedError

    def operation(self, name: str) -> Callable[..., object]:
        """The function that serves requests called `name`."""
        raise NotImplementedError

    def rebuild_exception(self, wire: Wire) -> BaseException:
        """An exception of this process for one that the other side raised."""
        raise NotImplementedError

    def pack_exception(self, error: BaseException) -> Wire:
        """The wire form of an exception that a request ended in."""
        raise NotImplementedError

    def unreached(self) -> list[int]:
        """Containers that this end forgets."""
        return []

    def along(self) -> dict[str, Wire]:
        """What else comes along with a message of this end."""
        return {}

    def take_along(self, along: dict[str, Wire]) -> None:
        """Take in what came along with a message of the other end."""

    def encode(self, value: object) -> Wire:
        """The wire form of a value."""
        return Encoder(self.odd, self.shared).encode(value)

    def decode(self, wire: Wire) -> Any:
        """The value of a wire form."""
        return Decoder(self.resolve, self.shared).decode(wire)

    def request(self, name: str, *args: object, **kwargs: object) -> Any:
        """Ask the other side to do something, and return or raise what it did."""

        def question() -> list[Wire]:
            packed = {key: self.encode(value) for key, value in kwargs.items()}
            return ["q", name, [self.encode(value) for value in args], packed]

        self._send(question)
        return self._await_answer(args)

    def _send(self, message: Callable[[], list[Wire]]) -> None:
        """Send a message after the changes it builds on. If it cannot be sent, it is as if it had not been made."""
        self._forgotten += self.unreached()
        with self.shared.attempt():
            changes = [[number, self._content(value)] for number, value in self.shared.changed()]
            parts = message()
            along = self.along()
            if self._forgotten:
                along["g"] = self._forgotten
            if changes:
                along["u"] = changes
            self._frames.send([*parts, along or None])
        self._forgotten = []
        self.shared.sent()

    def _content(self, value: Any) -> Wire:
        return FORMS[type(value)].content(value, Encoder(self.odd, self.shared))

    def _receive(self) -> list[Wire]:
        match self._frames.receive():
            case [*parts, None]:
                return parts
            case [*parts, dict(along)]:
                self.take_along(along)
                for number in along.get("g", ()):
                    self.shared.forget(number)
                decoder = Decoder(self.resolve, self.shared)
                for number, content in along.get("u", ()):
                    decoder.update(number, content)
                return parts
            case _:
                raise Gone("a message of no known kind")

    def _await_answer(self, args: tuple[object, ...]) -> Any:
        while True:
            match self._receive():
                case ["q", str(name), list(values), dict(kwargs)]:
                    self._serve(name, values, kwargs)
                case ["r", {"A": int(number)}]:
                    return args[number] if 0 <= number < len(args) else None
                case ["r", wire]:
                    return self.decode(wire)
                case ["x", wire]:
                    raise self.rebuild_exception(wire)
                case ["u", reason]:
                    raise Unsupported(str(reason)[:200])
                case _:
                    raise Gone("a message of no known kind")

    def serve_forever(self) -> None:
        """Serve requests until the other side closes."""
        while True:
            match self._receive():
                case ["q", str(name), list(args), dict(kwargs)]:
                    self._serve(name, args, kwargs)
                case _:
                    raise Gone("a message of no known kind")

    def _serve(self, name: str, args: list[Wire], kwargs: dict[str, Wire]) -> None:
        try:
            values = [self.decode(arg) for arg in args]
            named = {key: self.decode(value) for key, value in kwargs.items()}
            result = self.operation(name)(*values, **named)
            self._send(lambda: ["r", self._answer(result, values)])
        except Gone:
            raise
        except Unsupported as error:
            reason = str(error)
            self._frames.send(["u", reason, None])
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        try:
            self._send(lambda: ["x", self.pack_exception(error)])
        except (Unsupported, MemoryError) as why:
            self._frames.send(["u", str(why) or "a value too large to send", None])

    def _answer(self, result: object, values: list[object]) -> Wire:
        """A result's wire form: which argument it is, for what cannot change and yet has an identity."""
        if type(result) in _KEEPS_IDENTITY:
            for number, value in enumerate(values):
                if value is result:
                    return {"A": number}
        return self.encode(result)


_KEEPS_IDENTITY = (tuple, str, bytes, frozenset, float, complex)
