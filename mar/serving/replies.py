"""Answers given before, shared by all workers: replies of models on the shelf of a gateway's state, for a while."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import TypeAdapter

from mar.pool.cache import cached
from mar.pool.pool import Pool
from mar.serving.store.shelf import Shelf
from mar.types import ChatReply

MOST_BYTES = 2**20  # of a reply that is kept: limits lie in the same store, and must not wait for large ones
REPLY = b"reply:"  # how keys begin where replies lie
_REPLY: TypeAdapter[ChatReply] = TypeAdapter(ChatReply)


class ShelfReplies:
    """See `mar.pool.cache.Replies`.

    Args:
        shelf: Gives what workers share, once it is open.
        seconds: For how long a reply is given again.
    """

    where = "the store of answers given before"

    def __init__(self, shelf: Callable[[], Shelf], seconds: float) -> None:
        self._shelf, self._seconds = shelf, seconds

    async def get(self, key: bytes) -> ChatReply | None:
        """See `Replies`."""
        found = await self._shelf().get(REPLY + key)
        return None if found is None else _REPLY.validate_json(found)

    async def put(self, key: bytes, reply: ChatReply) -> None:
        """See `Replies`. What comes second of two at once replaces the first."""
        data = _REPLY.dump_json(reply)
        if len(data) <= MOST_BYTES:
            await self._shelf().put(REPLY + key, data, self._seconds)


def with_cache(pool: Pool, shelf: Callable[[], Shelf], seconds: float) -> Pool:
    """The same pool, whose models give an answer again for so many seconds."""
    return cached(pool, ShelfReplies(shelf, seconds))
