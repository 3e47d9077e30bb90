"""A server of chat completions in a thread of its own, for tests of what runs loops itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from anyio.from_thread import start_blocking_portal

from mar.testing import ChatServer


@contextmanager
def served(**options: Any) -> Iterator[ChatServer]:
    """A running server; the options are `ChatServer`'s."""
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(ChatServer(**options)) as server,
    ):
        yield server
