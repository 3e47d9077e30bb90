"""A process of its own that asks with a key: what tests of several workers start."""

from __future__ import annotations

from mar.concurrency import gather
from mar.errors import LimitReached
from mar.serving.errors import Refusal
from mar.serving.keys.admission import Keyed
from mar.serving.keys.ring import KeyRing
from mar.serving.limits.teller import Teller
from mar.serving.store.keys import KeyStore
from mar.serving.store.places import database, limits
from mar.types import Usage

LEASE_S = 3.0  # of a worker that is to be killed


async def main(keys_url: str, limits_url: str, secret: str, requests: int, hang: bool) -> None:
    """Ask so many times at once, for a cent each, and print how many were served; or stay in the middle for ever."""
    import anyio

    under_way = 0

    async def ask(admission: Keyed) -> bool:
        nonlocal under_way
        try:
            async with admission.visit(secret, tokens=1) as visit:
                assert visit.purse is not None
                async with visit.purse.hold(0.1 if hang else 0.01, "m") as one:
                    under_way += 1
                    if hang:
                        if under_way == requests:
                            print("all under way", flush=True)
                        await anyio.sleep_forever()
                    one.usage = Usage(cost_usd=0.01)
        except (Refusal, LimitReached):
            return False
        return True

    async with (
        database(keys_url, durable=True) as db,
        limits(limits_url) as found,
        Teller(found.counters, **({"lease_s": LEASE_S} if hang else {})) as teller,
        KeyRing(await KeyStore.open(db)) as keys,
    ):
        admission = Keyed(keys, teller)
        print(sum(await gather([lambda: ask(admission)] * requests)))
