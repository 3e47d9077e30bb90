"""A worker drops what it holds of whoever is deleted, whichever worker or command was asked to delete them.

It looks once a second for deletions that are new. What it remembers of texts to be quicker (vectors, what personal
controllers made of ratings) goes as a whole: nobody knows whose it is, and it can be made again. Of requests that wait
for something (a grader, others to be asked) those of the deleted go, and one that is still under way is kept nowhere
once it ends. Stores of personal controllers are told again, since an answer may have been on its way there while they
were told first; one that gives no answer is told once it does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from secrets import token_bytes
from typing import Protocol, TypeVar

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from mar.errors import MarError
from mar.remembered import forget_all
from mar.serving.keeping import hash_of
from mar.serving.record import Entry
from mar.serving.store.deleting import LATELY_S, What
from mar.traffic.records import Deletion

log = logging.getLogger(__name__)
EVERY_S = 1.0  # between looks
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """Somebody, or some conversation, that was deleted."""

    deletion: Deletion
    secret: bytes  # of the hashes, the store's or its own

    @classmethod
    def now(cls, what: What, name: str) -> Deleted:
        """A user or a conversation, by the client's name, that is being deleted."""
        secret = token_bytes(32)
        return cls(deletion=Deletion(what=what, hash=hash_of(secret, what, name), at=time.time()), secret=secret)

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
    """Sees to deletions in this worker: those that it is told of, and those that `run` finds.

    Args:
        holders: Who holds requests.
        stores: Deletes what somebody asked before the deletion in the stores of personal controllers.
    """

    def __init__(self, holders: Sequence[Holds], stores: Callable[[Deleted], Awaitable[object]]) -> None:
        self._holders, self._stores = holders, stores
        self._lately: Sequence[Deleted] = ()  # the latest first

    def covers(self, entry: Entry) -> bool:
        """Whether a request that has ended came before whoever asked it was deleted; then nothing may keep it."""
        later = takewhile(lambda gone: entry.at <= gone.deletion.at, self._lately)
        return any(gone.covers(entry) for gone in later)

    def at_once(self, gone: Deleted) -> None:
        """Let go of what is held of somebody who has just been deleted; stores are another matter."""
        young = gone.deletion.at - LATELY_S
        self._lately = _latest_first([gone, *(other for other in self._lately if other.deletion.at > young)])
        self._drop(gone)

    async def run(self, deleted: Callable[[], Awaitable[Sequence[Deleted]]]) -> None:
        """Look until it is called off.

        Args:
            deleted: The deletions of the last day.
        """
        known: frozenset[Deletion] | None = None
        untold: list[Deleted] = []
        while True:
            try:
                found = _latest_first(await deleted())
                new = [] if known is None else [gone for gone in found if gone.deletion not in known]
                self._lately = found  # before anything is dropped: what ends meanwhile would be held again
                known = frozenset(gone.deletion for gone in found)
                for gone in new:
                    self._drop(gone)
                untold += new
            except MarError as down:
                log.warning("%s", down)
            untold = [gone for gone in untold if not await self._told(gone)]
            await anyio.sleep(EVERY_S)

    def _drop(self, gone: Deleted) -> None:
        for holder in self._holders:
            holder.drop(gone)
        forget_all()

    async def _told(self, gone: Deleted) -> bool:
        """Whether the stores have deleted somebody; what they cannot do now is tried again."""
        try:
            await self._stores(gone)
        except MarError as error:
            log.warning("not everything could be deleted yet: %s", error)
            return False
        return True


def _latest_first(some: Sequence[Deleted]) -> list[Deleted]:
    return sorted(some, key=lambda gone: gone.deletion.at, reverse=True)


def sift(send: MemoryObjectSendStream[T], receive: MemoryObjectReceiveStream[T], keep: Callable[[T], bool]) -> None:
    """Take out of what waits in a stream what is not to be kept."""
    waiting: list[T] = []
    while send.statistics().current_buffer_used:
        waiting.append(receive.receive_nowait())
    for one in filter(keep, waiting):
        send.send_nowait(one)
