# pyright: basic
"""A client that costs next to nothing: requests over kept connections, whole or streamed, closed loop or at a rate."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a request."""

    status: int  # 0: the connection ended
    first_s: float  # to the first piece of the body
    all_s: float  # to the end
    body: bytes
    number: int = 0  # which request it was
    episode: str = ""  # as the reply's head names it
    at: float = 0.0  # when it ended, by time.perf_counter


class Client:
    """One kept connection."""

    def __init__(self, port: int, key: str = "none") -> None:
        self._port, self._key = port, key
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, body: bytes, path: str = "/v1/chat/completions", *, number: int = 0) -> Outcome:
        """Make a request. Whatever ends the connection is an outcome of status 0."""
        began = time.perf_counter()
        try:
            return await asyncio.wait_for(self._post(body, path, began, number), TIMEOUT_S)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError, IndexError) as error:
            self.close()
            spent = time.perf_counter() - began
            return Outcome(status=0, first_s=spent, all_s=spent, body=repr(error).encode(), number=number)

    async def _post(self, body: bytes, path: str, began: float, number: int) -> Outcome:
        if self._writer is None or self._reader is None or self._reader.at_eof():
            self.close()
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**22)
        reader, writer = self._reader, self._writer
        writer.write(
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {self._key}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head.split(b" ", 2)[1])
        episode = head.partition(b"x-mar-episode: ")[2].partition(b"\r\n")[0].decode()
        if b"transfer-encoding: chunked" in head:
            first, said = await self._chunks(reader)
        else:
            size = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            said = await reader.readexactly(size)
            first = time.perf_counter()
        if b"connection: close" in head:
            self.close()
        at = time.perf_counter()
        took = {"first_s": first - began, "all_s": at - began, "at": at}
        return Outcome(status=status, body=said, number=number, episode=episode, **took)

    async def _chunks(self, reader: asyncio.StreamReader) -> tuple[float, bytes]:
        first, said = 0.0, []
        while True:
            size = int(await reader.readuntil(b"\r\n"), 16)
            piece = await reader.readexactly(size + 2)
            first = first or time.perf_counter()
            if size == 0:
                return first, b"".join(said)
            said.append(piece[:-2])

    def close(self) -> None:
        """Give the connection up."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


def body(model: str, text: str, *, stream: bool = False) -> bytes:
    """A request."""
    asked = {"model": model, "messages": [{"role": "user", "content": text}]}
    return json.dumps(asked | ({"stream": True} if stream else {})).encode()


async def closed(
    port: int,
    bodies: Callable[[int], bytes],
    *,
    clients: int,
    seconds: float = 0.0,
    requests: int = 0,
    key: str = "none",
    outcomes: list[Outcome] | None = None,
) -> tuple[list[Outcome], float]:
    """So many clients, each of which asks again when it was answered, for a while or for so many requests in all.

    Gives the outcomes, which are added to those given as they come, and the seconds that it took.
    """
    outcomes = [] if outcomes is None else outcomes
    began, sent = time.perf_counter(), 0

    async def one() -> None:
        nonlocal sent
        client = Client(port, key)
        while sent < requests if requests else time.perf_counter() - began < seconds:
            sent += 1
            outcomes.append(await client.post(bodies(sent), number=sent))
        client.close()

    await asyncio.gather(*(one() for _ in range(clients)))
    return outcomes, time.perf_counter() - began


async def at_rate(port: int, bodies: Callable[[int], bytes], *, rate: float, requests: int) -> Sequence[Outcome]:
    """So many requests a second, at even distances, each over the first connection that is free."""
    idle: list[Client] = []

    async def one(number: int) -> Outcome:
        client = idle.pop() if idle else Client(port)
        outcome = await client.post(bodies(number))
        idle.append(client)
        return outcome

    tasks: list[asyncio.Task[Outcome]] = []
    began = time.perf_counter()
    for number in range(requests):
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        tasks.append(asyncio.ensure_future(one(number)))
    found = await asyncio.gather(*tasks)
    for client in idle:
        client.close()
    return found
