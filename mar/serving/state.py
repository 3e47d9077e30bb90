"""The state of one worker that other workers share: who is let in, what limits are left, what came of requests.

Nothing of it needs a server: by default keys and requests lie in a SQLite file and limits in another one beside it, so
that the log's large transactions do not keep the limits' small ones waiting.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from mar.environment import cache_folder
from mar.errors import ConfigError
from mar.runtime import Purse
from mar.serving.admission import Anybody, Shown, Visit
from mar.serving.forgetting import Deleted
from mar.serving.keeping import Encodes
from mar.serving.keys.admission import Keyed
from mar.serving.keys.key import Key, Terms
from mar.serving.keys.ring import KeyRing
from mar.serving.limits.base import Counters
from mar.serving.limits.calendar import Money, Names
from mar.serving.limits.purse import KeyPurse, Room
from mar.serving.limits.teller import Teller
from mar.serving.lines import Line, Part, Place, Sieve, joined, seen
from mar.serving.record import Entry, Feedback
from mar.serving.replies import REPLY
from mar.serving.rollout.store import RolloutStore
from mar.serving.store.database import Database
from mar.serving.store.deleting import What, lately_deleted
from mar.serving.store.keys import KeyStore
from mar.serving.store.lines import latest
from mar.serving.store.places import POSTGRES, database, limits
from mar.serving.store.record import Retention, Stored
from mar.serving.store.shelf import Shelf
from mar.serving.store.standing import Standings
from mar.serving.store.sums import Sums
from mar.traffic.records import Other, Outcome
from mar.traffic.redaction import Redaction

MOST_WAITING = 200  # requests that wait to be written and are looked at for a list, the latest


def default_store() -> str:
    """Where keys and requests are kept unless an address is given."""
    return str(cache_folder() / "gateway.sqlite")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where state is kept, by its address; see `mar.serving.store.places`."""

    store: str  # of what came of requests, and of keys
    keys: str | None = None  # of keys; None: in the store, and none is needed until there has been one
    limits: str | None = None  # None: in the store's database, or a file beside the store's

    @property
    def limits_place(self) -> str:
        """Where limits are kept."""
        if self.limits is not None:
            return self.limits
        if self.store.startswith(POSTGRES):
            return self.store
        path = Path(self.store)
        return str(path.with_name(f"{path.stem}-limits{path.suffix}"))

    @property
    def keys_place(self) -> str:
        """Where keys are kept."""
        return self.store if self.keys is None else self.keys


def _check_there(places: Places) -> None:
    """Check that a file of keys that was named is there: without it nobody could be let in.

    Raises:
        ConfigError: It is not.
    """
    if places.keys is not None and _absent(places.keys):
        raise ConfigError(f"{places.keys}: no such file; `mar keys create NAME --keys {places.keys}` makes it")


def _absent(place: str) -> bool:
    return "://" not in place and not Path(place).exists()


class State:
    """Admission and record of a worker, in one. Use it as `async with state:`.

    Args:
        places: Where it is kept.
        retention: How long requests are.
        redaction: What is blotted out of texts that are kept.
        encoder: Of questions that are kept as features.
    """

    def __init__(
        self,
        places: Places,
        retention: Retention | None = None,
        *,
        redaction: Redaction | None = None,
        encoder: Encodes | None = None,
    ) -> None:
        self.places, self._retention = places, retention
        self._redaction, self._encoder = redaction, encoder
        self._anybody = Anybody()
        self._keys: KeyStore | None = None
        self._ring: KeyRing | None = None
        self._keyed: Keyed | None = None
        self._record: Stored | None = None
        self._shelf: Shelf | None = None
        self._standings: Standings | None = None
        self._sums: Sums | None = None
        self._teller: Teller | None = None
        self._rollouts: RolloutStore | None = None
        self._look: Database | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        places = self.places
        _check_there(places)
        async with AsyncExitStack() as stack:
            enter = stack.enter_async_context
            store = await enter(database(places.store, durable=False))
            self._record = await enter(Stored(store, self._retention, redaction=self._redaction, encoder=self._encoder))
            self._look = await enter(database(places.store, durable=False))
            self._standings = await Standings.open(self._look)
            self._sums = Sums(self._look)
            shared = await enter(limits(places.limits_place))
            self._shelf = shared.shelf
            # Keys on a connection of their own, whose transactions wait for the disk.
            own = await enter(database(places.keys_place, durable=True))
            self._keys = await KeyStore.open(own)
            self._ring = await enter(KeyRing(self._keys))
            self._teller = await enter(Teller(shared.counters))
            self._keyed = Keyed(self._ring, self._teller)
            # On a connection of their own, since what is read of them takes its time.
            self._rollouts = await RolloutStore.open(await enter(database(places.store, durable=True)))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(None, None, None)

    @property
    def open(self) -> bool:
        """See `Admission`. That is over for good as soon as the ring of keys knows of the first one."""
        assert self._ring is not None, "the state is not open"
        return self.places.keys is None and not self._ring.any

    @property
    def key_names(self) -> Mapping[str, str]:
        """What each key is for, by its id."""
        return {} if self._ring is None else self._ring.names

    @property
    def keys(self) -> KeyStore:
        """All keys, to be managed."""
        assert self._keys is not None, "the state is not open"
        return self._keys

    async def spent(self, keys: Sequence[str], *, period: Money, now: float) -> dict[str, int]:
        """What keys have spent; see the function of this name."""
        assert self._teller is not None, "the state is not open"
        return await _spent(self._teller.counters, keys, period, now)

    @property
    def look(self) -> Database:
        """The store, for those who only read: a connection of their own, so that a long look holds up nobody."""
        assert self._look is not None, "the state is not open"
        return self._look

    @property
    def shelf(self) -> Shelf:
        """What workers share for a while."""
        assert self._shelf is not None, "the state is not open"
        return self._shelf

    @property
    def rollouts(self) -> RolloutStore:
        """New versions of controllers on their way."""
        assert self._rollouts is not None, "the state is not open"
        return self._rollouts

    def purse(self, name: str, *, usd_day: float) -> Purse:
        """What something other than a key pays from, so much a day over all workers.

        Args:
            name: Under which it is counted; no key's id.
            usd_day: USD a day of UTC.
        """
        assert self._teller is not None, "the state is not open"
        key = Key(id=name, name=name, terms=Terms(usd_day=usd_day), created=0.0, revoked=None)
        return KeyPurse(key, self._teller, Room())

    @property
    def standings(self) -> Standings:
        """How the pool's servers stand, as workers know, and which models are out."""
        assert self._standings is not None, "the state is not open"
        return self._standings

    @property
    def sums(self) -> Sums:
        """What requests came to."""
        assert self._sums is not None, "the state is not open"
        return self._sums

    @property
    def dropped(self) -> int:
        """Requests that were not written down."""
        return 0 if self._record is None else self._record.dropped

    def holder(self, key: Shown) -> Key | None:
        """See `Admission`."""
        return self._admission.holder(key)

    def visit(self, key: Shown, *, tokens: int) -> AbstractAsyncContextManager[Visit]:
        """See `Admission`."""
        return self._admission.visit(key, tokens=tokens)

    def add(self, entry: Entry) -> None:
        """See `Record`."""
        self._kept.add(entry)

    async def find(self, id: str) -> Entry | None:
        """See `Record`."""
        return await self._kept.find(id)

    async def latest(self, sieve: Sieve, *, before: Place | None, most: int) -> Part:
        """See `Record`. What waits to be written by this worker is among them."""
        # First what waits: what is written meanwhile is found twice, and not missed.
        waiting = [line for line in await self._kept.waiting(MOST_WAITING) if seen(sieve, line)]
        part = await self.look.look(lambda: latest(sieve, before, most))
        return joined(part, (line for line in waiting if before is None or line.place < before), most)

    async def lines(self, entries: Sequence[Entry]) -> list[Line]:
        """See `Record`."""
        return await self._kept.lines(entries)

    async def rate(self, feedback: Feedback) -> Entry | None:
        """See `Record`."""
        return await self._kept.rate(feedback)

    async def tell(self, episode: str, outcome: Outcome) -> None:
        """See `Record`."""
        await self._kept.tell(episode, outcome)

    async def rated(self, ids: Sequence[str]) -> set[str]:
        """Which of these requests are written down and rated."""
        return await self._kept.rated(ids)

    async def hear(self, episode: str, others: Sequence[Other]) -> None:
        """Keep what models say about a question; see `Stored.hear`."""
        await self._kept.hear(episode, others)

    async def forget(self, what: What, name: str) -> int:
        """See `Record`. The answers given before go, whosever they are: nobody knows whose they are."""
        count = await self._kept.forget(what, name)
        await self.shelf.clear(REPLY)
        return count

    def whose(self, what: What, name: str) -> Callable[[str], bool]:
        """See `Record`."""
        return self._kept.whose(what, name)

    async def deleted(self) -> list[Deleted]:
        """Who was deleted in the last day, by whichever worker or command."""
        found = await self.look.look(lambda: lately_deleted(self.look))
        return [Deleted(deletion=deletion, secret=self._kept.secret) for deletion in found]

    @property
    def _admission(self) -> Anybody | Keyed:
        if self.open:
            return self._anybody
        assert self._keyed is not None, "the state is not open"
        return self._keyed

    @property
    def _kept(self) -> Stored:
        assert self._record is not None, "the state is not open"
        return self._record


@asynccontextmanager
async def key_store(place: str) -> AsyncGenerator[KeyStore]:
    """The keys at an address, to be managed.

    Raises:
        ConfigError: The place cannot hold keys.
        StoreUnavailable: It gives no answer.
    """
    async with database(place, durable=True) as db:
        yield await KeyStore.open(db)


async def spent(places: Places, keys: Sequence[str], *, period: Money = "total", now: float = 0.0) -> dict[str, int]:
    """What keys have spent, with what they hold, in nano-USD, by id; empty where nothing is kept yet.

    Args:
        places: Where limits are kept.
        keys: Their ids.
        period: In all, or in the day or month of a time.
        now: That time, in seconds since 1970.

    Raises:
        ConfigError: The place holds no limits.
        StoreUnavailable: It gives no answer.
    """
    if _absent(places.limits_place):
        return {}
    async with limits(places.limits_place) as found:
        return await _spent(found.counters, keys, period, now)


async def _spent(counters: Counters, keys: Sequence[str], period: Money, now: float) -> dict[str, int]:
    names = {Names(key=key, now=now).money(period): key for key in keys}
    counts = await counters.counts(list(names))
    return {key: counts[name].spent + counts[name].held for name, key in names.items()}
