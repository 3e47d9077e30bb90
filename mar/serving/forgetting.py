"""A worker drops what it holds of whoever is deleted, whichever worker or command was asked to delete them.

It looks once a second for deletions that are new. What it remembers of texts to be quicker (vectors, what personal
controllers made of ratings) goes as a whole: nobody knows whose it is, and it can be made again. Of requests that wait
for something (a grader, others to be asked) those of the deleted go. Stores of personal controllers are told again,
since an answer may have been on its way there while they were told first.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from mar.errors import MarError
from mar.remembered import forget_all
from mar.serving.keeping import hash_of
from mar.serving.record import Entry
from mar.traffic.records import Deletion

log = logging.getLogger(__name__)
EVERY_S = 1.0  # between looks
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """Somebody, or some conversation, that was deleted."""

    deletion: Deletion
    secret: bytes  # of the store's hashes

    def named(self, name: str) -> bool:
        """Whether a client's name of a user, or of a conversation, is theirs."""
        return hash_of(self.secret, self.deletion.what, name) == self.deletion.hash

    def covers(self, entry: Entry) -> bool:
        """Whether a request that is not yet written down was theirs, and came before they were deleted."""
        query = entry.query
        name = None if query is None else query.user_id if self.deletion.what == "user" else query.conversation_id
        return name is not None and entry.at <= self.deletion.at and self.named(name)


class Holds(Protocol):
    """Holds requests for a while."""

    def drop(self, gone: Deleted) -> None:
        """Let go of those of somebody who was deleted."""
        ...


class Forgetting:
    """Looks for deletions. `run` has to run meanwhile.

    Args:
        holders: Who holds requests.
        stores: Deletes somebody in the stores of personal controllers.
    """

    def __init__(self, holders: Sequence[Holds], stores: Callable[[Deleted], Awaitable[object]]) -> None:
        self._holders, self._stores = holders, stores

    async def run(self, deleted: Callable[[], Awaitable[Sequence[Deleted]]]) -> None:
        """Look until it is called off.

        Args:
            deleted: The deletions of the last day.
        """
        known: frozenset[Deletion] | None = None
        while True:
            try:
                found = {gone.deletion: gone for gone in await deleted()}
                for deletion in found.keys() - (found.keys() if known is None else known):
                    await self._forget(found[deletion])
                known = frozenset(found)
            except MarError as down:
                log.warning("%s", down)
            await anyio.sleep(EVERY_S)

    async def _forget(self, gone: Deleted) -> None:
        for holder in self._holders:
            holder.drop(gone)
        forget_all()
        try:
            await self._stores(gone)
        except MarError as error:
            log.warning("not everything could be deleted: %s", error)


def sift(send: MemoryObjectSendStream[T], receive: MemoryObjectReceiveStream[T], keep: Callable[[T], bool]) -> None:
    """Take out of what waits in a stream what is not to be kept."""
    waiting: list[T] = []
    while send.statistics().current_buffer_used:
        waiting.append(receive.receive_nowait())
    for one in filter(keep, waiting):
        send.send_nowait(one)
