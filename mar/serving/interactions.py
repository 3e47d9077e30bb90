"""Answers and ratings on their way to personal controllers: written by one task, off the path of requests.

What waits is written together, so that a hundred answers wait for a disk about as long as one. A rating finds its
answer by its episode, whichever worker answered; where that worker has not written it yet, it is tried again.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, runtime_checkable

import anyio
import anyio.to_thread

from mar.controllers.base import Controller
from mar.errors import MarError
from mar.serving.forgetting import Deleted
from mar.serving.record import Entry
from mar.serving.store.deleting import What

log = logging.getLogger(__name__)
MOST_WAITING = 10_000  # answers and ratings that are not yet written
TOGETHER = 100  # that are written at once
TRIES, AGAIN_S = 10, 0.2  # at a rating whose answer is not there yet


class Store(Protocol):
    """Where a personal controller keeps what users say (`mar.controllers.gmt.Interactions`)."""

    def together(self) -> AbstractContextManager[None]:
        """What is written meanwhile reaches the disk at once."""
        ...

    def record(
        self,
        user: str,
        *,
        conversation: str,
        turn: int,
        model: str,
        opening: str,
        query: str,
        response: str | None,
        episode: str,
        created: float,
    ) -> int:
        """Keep an answered query, that was asked at `created` (seconds since 1970); gives its id."""
        ...

    def said(self, episode: str) -> int | None:
        """The id of what an episode answered; None: it is not kept."""
        ...

    def rate(self, interaction: int, rating: float) -> None:
        """Rate an answer from 0 to 1."""
        ...

    def users(self) -> list[str]:
        """Everybody with data here."""
        ...

    def conversations(self) -> list[str]:
        """All conversations that have a name."""
        ...

    def forget(self, user: str, *, before: float) -> int:
        """Delete what a user asked until then, seconds since 1970; gives how many answers."""
        ...

    def forget_conversation(self, conversation: str, *, before: float) -> int:
        """Delete what was asked in a conversation until then; gives how many answers."""
        ...


@runtime_checkable
class Personal(Protocol):
    """A controller that learns what users like."""

    @property
    def store(self) -> Store:
        """What it learns from."""
        ...

    def likes(self, *args: object) -> object:
        """What each query's user said so far."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """An answer, or what was said of one."""

    entry: Entry
    rating: float | None = None  # None: nothing, it is an answer
    tries: int = TRIES


class Interactions:
    """Hands answers and ratings on to the stores of the controllers that learn from them, in order."""

    def __init__(self, controllers: Mapping[str, Controller]) -> None:
        self._stores = {name: c.store for name, c in controllers.items() if isinstance(c, Personal)}
        self._waiting = deque[_Said]()
        self._more, self._closed = anyio.Event(), False
        self._batch = anyio.Lock()  # of whoever writes one, or deletes

    def add(self, entry: Entry) -> None:
        """Take note of an answer, where it is one that a controller learns from: of a known user, with its texts."""
        self._put(_Said(entry=entry))

    def rate(self, entry: Entry, rating: float) -> None:
        """Take note of what was said of an answer."""
        self._put(_Said(entry=entry, rating=rating))

    def _put(self, said: _Said) -> None:
        entry = said.entry
        user = entry.person or (entry.query is not None and entry.query.user_id)
        learned = entry.asked in self._stores and entry.keep == "text" and user
        if not (learned and entry.status == 200 and entry.models):
            return
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(said)
            self._more.set()
        else:
            log.warning("more than %d answers and ratings wait to be written; one is lost", MOST_WAITING)

    async def forget(self, what: What, named: Callable[[str], bool], *, before: float = math.inf) -> int:
        """Delete everything about a user, or a conversation, in every store; gives how many answers.

        What is just being written is waited for, and deleted as well.

        Args:
            what: Which of both.
            named: Whether a name is theirs.
            before: Only what was asked until then, seconds since 1970.

        Raises:
            MarError: A store gives no answer, or cannot delete at the moment.
        """
        stores = {id(store): store for store in self._stores.values()}
        async with self._batch:
            work = [partial(forgotten, store, what, named, before=before) for store in stores.values()]
            return sum([await anyio.to_thread.run_sync(one) for one in work])

    def drop(self, gone: Deleted) -> None:
        """See `Holds`."""
        self._waiting = deque(said for said in self._waiting if not gone.covers(said.entry))

    async def run(self) -> None:
        """Write them until `close`."""
        while self._waiting or not self._closed:
            if not self._waiting:
                self._more = anyio.Event()
                await self._more.wait()
            async with self._batch:  # what waits can be dropped until it is taken, and then is waited for
                batch = [self._waiting.popleft() for _ in range(min(TOGETHER, len(self._waiting)))]
                late = await anyio.to_thread.run_sync(self._written, batch)
            if late:
                await anyio.sleep(AGAIN_S)
                self._again(late)

    def _again(self, late: Sequence[_Said]) -> None:
        if not self._closed:
            self._waiting.extend(late)
            return
        for said in late:
            log.warning("%s: its answer was not written down by another worker; a rating is lost", said.entry.id)

    def close(self) -> None:
        """Let `run` end once everything is written."""
        self._closed = True
        self._more.set()

    def _written(self, batch: Sequence[_Said]) -> list[_Said]:
        """Write what waits; gives the ratings whose answers are not there yet."""
        late: list[_Said] = []
        for name, store in self._stores.items():
            of_it = [said for said in batch if said.entry.asked == name]
            try:
                with store.together():
                    late += [replace(said, tries=said.tries - 1) for said in of_it if not _write(store, said)]
            except MarError as error:
                log.warning("%s; %d answers and ratings are lost", error, len(of_it))
        return [said for said in late if said.tries > 0]


def forgotten(store: Store, what: What, named: Callable[[str], bool], *, before: float = math.inf) -> int:
    """Delete everything about a user, or a conversation, in a store; see `Interactions.forget`."""
    if what == "user":
        return sum(store.forget(user, before=before) for user in store.users() if named(user))
    return sum(store.forget_conversation(name, before=before) for name in store.conversations() if named(name))


def _write(store: Store, said: _Said) -> bool:
    """Whether it is done with; a rating may have to wait for its answer."""
    entry, query = said.entry, said.entry.query
    try:
        if said.rating is not None:
            found = store.said(entry.id)
            if found is not None:
                store.rate(found, said.rating)
            return found is not None
        assert query is not None
        store.record(
            query.user_id or "",
            conversation=query.conversation_id or "",
            turn=len(query.history),
            model=entry.models[-1],
            opening=query.history[0].query if query.history else query.text,
            query=query.text,
            response=None if entry.episode is None else entry.episode.text,
            episode=entry.id,
            created=entry.at,
        )
    except MarError as error:  # of this one alone
        log.warning("%s", error)
    return True
