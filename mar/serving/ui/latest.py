"""What open live views show: the latest requests of each list that somebody looks at, in the worker's memory.

A request that this worker answered enters as soon as it has ended. What other workers answered, what was said of
answers and what was deleted comes with a look at the store, once a second: whoever polls waits neither for that nor for
what has still to be written down. Everybody who looks at the same list is given the same one.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

import anyio

from mar.errors import StoreUnavailable
from mar.serving.lines import Line, Part, Sieve, joined, seen
from mar.serving.record import Entry, Record

MOST = 30  # requests of a list
LOOK_S = 1.0  # between looks at the store
RESTS, RESTS_S = 20, 5.0  # times as long as a look took, and seconds at most: where a filter fits little, much is read
IDLE_S = 10.0  # after which a list that nobody has asked for is dropped
MOST_LISTS = 50
MOST_NEW = 2000  # requests between two polls; of more the latest


@dataclass(slots=True, kw_only=True)
class _List:
    part: Part
    wanted: float  # when it was last asked for
    next: float  # when the store is looked at again
    since: list[Line] = field(default_factory=list[Line])  # that have entered since the last look began


class Latest:
    """The latest requests of lists. `run` has to run meanwhile.

    Args:
        record: What is kept of requests.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._lists: OrderedDict[Sieve, _List] = OrderedDict()
        self._new: deque[Entry] = deque(maxlen=MOST_NEW)

    def add(self, entry: Entry) -> None:
        """Take note of a request that has ended, where somebody looks."""
        if self._lists:
            self._new.append(entry)

    async def of(self, sieve: Sieve) -> Part:
        """The latest requests of a list; the same object as long as nothing has changed.

        Raises:
            StoreUnavailable: Nobody has looked at it lately, and the store gives no answer.
        """
        await self._enter()
        one = self._lists.get(sieve)
        if one is None:
            part = await self._record.latest(sieve, before=None, most=MOST)
            one = _List(part=part, wanted=0.0, next=anyio.current_time() + LOOK_S)
            self._lists[sieve] = one
            if len(self._lists) > MOST_LISTS:
                self._lists.popitem(last=False)
        one.wanted = anyio.current_time()
        return one.part

    async def run(self) -> None:
        """Look at the store again and again for what is looked at."""
        while True:
            await anyio.sleep(LOOK_S)
            for sieve, one in list(self._lists.items()):
                now = anyio.current_time()
                if now - one.wanted > IDLE_S:
                    self._lists.pop(sieve, None)
                elif now >= one.next:
                    await self._look(sieve, one)
            if not self._lists:
                self._new.clear()

    async def _enter(self) -> None:
        """Let requests that have ended enter the lists in which they are to be seen."""
        if not self._new:
            return
        entries = list(self._new)
        self._new.clear()
        lines = await self._record.lines(entries)
        for sieve, one in self._lists.items():
            if mine := [line for line in lines if seen(sieve, line)]:
                one.part = joined(one.part, mine, MOST)
                shown = {line.id for line in one.part.lines}
                one.since = [line for line in (*one.since, *mine) if line.id in shown]

    async def _look(self, sieve: Sieve, one: _List) -> None:
        """What the store says holds, but for what has ended since it was asked."""
        began, before, one.since = anyio.current_time(), one.since, []
        try:
            part = await self._record.latest(sieve, before=None, most=MOST)
        except StoreUnavailable:  # it says so to whoever opens the page
            one.since = [*before, *one.since]
            return
        now = anyio.current_time()
        one.next = now + min(max(LOOK_S, RESTS * (now - began)), RESTS_S)
        part = joined(part, one.since, MOST)
        if part != one.part:
            one.part = part
