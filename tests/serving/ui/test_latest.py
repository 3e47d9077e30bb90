"""What an open live view shows: at once what this worker answered, a little later what the store says."""

from __future__ import annotations

import anyio
import pytest

from mar.concurrency import beside
from mar.errors import StoreUnavailable
from mar.serving.lines import Sieve
from mar.serving.record import Feedback, Memory
from mar.serving.ui import latest
from mar.serving.ui.latest import Latest
from tests.entries import entry

pytestmark = pytest.mark.anyio
ALL = Sieve()


class Slow(Memory):
    """A store that is only looked at when it is let; what is added to it is there."""

    def __init__(self):
        super().__init__(1000)
        self.looks, self.down = 0, False

    async def latest(self, sieve, *, before, most):
        self.looks += 1
        if self.down:
            raise StoreUnavailable("away")
        return await super().latest(sieve, before=before, most=most)


def ids(part):
    return [line.id for line in part.lines]


async def test_what_this_worker_answered_is_there_without_a_look_at_the_store():
    store = Slow()
    store.add(entry("e1", at=1.0))
    newest = Latest(store)
    assert ids(await newest.of(ALL)) == ["e1"]
    store.down = True
    newest.add(entry("e2", at=2.0, guest="ann"))
    assert ids(await newest.of(ALL)) == ["e2", "e1"]
    same = await newest.of(ALL)
    assert same is await newest.of(ALL), "nothing has changed, so nothing is written anew"
    assert store.looks == 1
    with pytest.raises(StoreUnavailable):
        await newest.of(Sieve(guest="bob"))  # nobody has looked at that one


async def test_a_request_enters_the_lists_in_which_it_is_to_be_seen_and_of_many_the_latest_do():
    newest, bobs = Latest(Slow()), Sieve(guest="bob")
    for sieve in (ALL, bobs):
        assert ids(await newest.of(sieve)) == []
    for n in range(latest.MOST + 5):
        newest.add(entry(f"e{n}", at=float(n), guest="bob" if n == 3 else "ann"))
    assert ids(await newest.of(bobs)) == ["e3"]
    found = await newest.of(ALL)
    assert ids(found) == [f"e{n}" for n in range(latest.MOST + 4, 4, -1)]
    assert found.on == found.lines[-1].place  # where the page of earlier ones begins


async def test_the_store_is_looked_at_again_for_what_others_did_and_for_nobody_when_nobody_looks(monkeypatch):
    monkeypatch.setattr(latest, "LOOK_S", 0.01)
    store = Slow()
    newest = Latest(store)
    assert ids(await newest.of(ALL)) == []
    with anyio.fail_after(30):
        async with beside(newest.run):
            store.add(entry("e1", at=1.0))  # by another worker
            while ids(await newest.of(ALL)) != ["e1"]:  # noqa: ASYNC110
                await anyio.sleep(0.005)
            await store.rate(Feedback(episode="e1", rating=1.0))
            while (await newest.of(ALL)).lines[0].rating != 1.0:  # noqa: ASYNC110
                await anyio.sleep(0.005)
            monkeypatch.setattr(latest, "IDLE_S", 0.0)
            while newest._lists:  # noqa: ASYNC110
                await anyio.sleep(0.005)
            newest.add(entry("e2", at=2.0))
            assert not newest._new, "nobody looks, so nothing is kept"
