"""Server-sent events, read as they come from servers that nobody vouches for.

https://html.spec.whatwg.org/multipage/server-sent-events.html, as far as streams of completions use it: the data of
events, whatever ends their lines. Two things are kept looser than there, since servers are: bytes that are no UTF-8
become U+FFFD, and an event at the end of a stream needs no blank line after it. Each byte is looked at once, and what
is held of an unfinished event is bounded.
"""

from __future__ import annotations

MOST_EVENT_BYTES = 8 * 2**20  # of one event
_BOM = b"\xef\xbb\xbf"


class TooLong(ValueError):
    """What a server sends goes beyond what is read of it."""


class EventReader:
    """Finds the data of events in the pieces of a stream.

    Args:
        most_bytes: What one event may hold.
    """

    def __init__(self, most_bytes: int = MOST_EVENT_BYTES) -> None:
        self._most = most_bytes
        self._line = bytearray()  # the beginning of a line whose end has not come
        self._data: list[bytes] = []  # of the event under way
        self._size = 0  # of `_data`
        self._after_cr = False  # a line feed that comes now belongs to a carriage return before it
        self._begun = False

    def feed(self, piece: bytes) -> list[str]:
        """The data of the events that a piece completes.

        Raises:
            TooLong: An event has grown beyond its bound.
        """
        if self._after_cr and piece:
            piece, self._after_cr = piece.removeprefix(b"\n"), False
        events: list[str] = []
        for line in piece.splitlines(keepends=True):  # of bytes: at \n, \r and \r\n, and nowhere else
            if line[-1] not in b"\r\n":
                self._line += line
                self._check(len(self._line))
                break
            self._end_line(line.rstrip(b"\r\n"), events)
        self._after_cr = piece[-1:] == b"\r"
        return events

    def close(self) -> list[str]:
        """The data of an event that the end of the stream completes."""
        events: list[str] = []
        for _ in range(2):  # the line under way, and a blank one after it
            self._end_line(b"", events)
        return events

    def _end_line(self, rest: bytes, events: list[str]) -> None:
        line = bytes(self._line) + rest if self._line else rest
        self._line.clear()
        if not self._begun:
            line, self._begun = line.removeprefix(_BOM), True
        if line:
            self._take(line)
        elif self._data:
            events.append(b"\n".join(self._data).decode(errors="replace"))
            self._data.clear()
            self._size = 0

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._size += len(line)
            self._check(self._size)

    def _check(self, size: int) -> None:
        if size > self._most:
            raise TooLong(f"an event of the stream is longer than {self._most} bytes")
