# pyright: basic
"""The faulty part of the gateway's benchmark: what clients saw, the log, a key's budget and upstream's own count.

Each request asks something else, so that upstream knows which one a call is of, and its row is found by the episode
that the reply's head names. What the killed worker had under way has no row: its calls and its money must be all that
rows do not explain.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from _gateway_load import Outcome, body, closed
from _gateway_upstream import FAULTS, PAID, Upstream

TEXT = "What is 17*23?"
KILLED_AFTER = 0.5  # of the requests
LAPSE_S = 60.0  # in which the killed worker's holdings must have lapsed
UNWRITTEN_S = 2.0  # before a worker's end, in which its log may be behind; on a busy machine, too
NANO = 10**9


class Running(Protocol):
    """A gateway under way."""

    @property
    def pid(self) -> int:
        """The process that was started."""
        ...

    def pids(self) -> list[int]:
        """Its processes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the log says of a request."""

    status: int
    attempts: int
    cost: int  # nano-USD
    uncertain: int  # part of it that nobody stated


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """What the budget says of the key, in nano-USD."""

    spent: int
    uncertain: int
    held: int


async def faults(
    start: Callable[[Path, Path, Path], AbstractAsyncContextManager[Running]],
    mar: str,
    folder: Path,
    upstream: Upstream,
    *,
    requests: int,
    share: float = 0.3,
) -> None:
    """Many requests while the upstream fails often and one of two workers is killed in the middle.

    Args:
        start: Starts a gateway of two workers in a folder, over a store with keys and one of limits.
        mar: The command.
        folder: For what is written.
        upstream: Who is asked.
        requests: How many there are.
        share: Of upstream's answers that are faults.
    """
    store, limits = folder / "faults.sqlite", folder / "limits.sqlite"
    made = [mar, "keys", "create", "load", "--usd-total", "1000", "--store", str(store), "--json"]
    key = json.loads(subprocess.run(made, check=True, capture_output=True, text=True).stdout)  # noqa: ASYNC221
    upstream.begin(share)
    async with start(folder, store, limits) as gateway:
        done: list[Outcome] = []
        asked = closed(
            8133,
            lambda n: body("mar", f"{TEXT} {n}", stream=n % 2 == 0),
            clients=64,
            requests=requests,
            key=key["secret"],
            outcomes=done,
        )
        task = asyncio.ensure_future(asked)
        while len(done) < KILLED_AFTER * requests:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        killed = time.perf_counter()
        os.kill(next(pid for pid in gateway.pids() if pid != gateway.pid and _listens(pid)), signal.SIGKILL)
        outcomes, took = await task
        money = await _lapsed(limits, key["id"])
    upstream.faults = 0.0  # the others have ended, and what waited is written
    print(f"\nFaults: {len(outcomes):,} requests in {took:.0f} s, {share:.0%} of upstream's answers one of {FAULTS}")
    print("clients saw: " + ", ".join(f"{kind} {n:,}" for kind, n in Counter(map(kind_of, outcomes)).most_common()))
    print("upstream saw: " + ", ".join(f"{kind} {n:,}" for kind, n in upstream.counts.most_common()))
    account(outcomes, _rows(store), money, upstream, killed)


def account(outcomes: Sequence[Outcome], rows: dict[str, Row], money: Money, upstream: Upstream, killed: float) -> None:
    """Compare the four accounts, and say what explains each difference.

    Args:
        outcomes: What clients saw.
        rows: The log, by episode.
        money: The key's.
        upstream: Whose count it is compared with.
        killed: When the worker was, by time.perf_counter.
    """
    calls = upstream.calls
    told = {o.episode: o for o in outcomes if o.episode}
    logged = {id: o for id, o in told.items() if id in rows}
    unwritten = [o for id, o in told.items() if id not in rows]
    late = sum(not killed - UNWRITTEN_S < o.at < killed + UNWRITTEN_S for o in unwritten)
    status = sum(rows[id].status != status_of(o) for id, o in logged.items())
    tries = sum(rows[id].attempts != len(calls[o.number]) for id, o in logged.items())
    paid = {id: sum(price(c.model) for c in calls[o.number] if c.what in PAID) for id, o in logged.items()}
    cost = sum(paid[id] != rows[id].cost - rows[id].uncertain for id in logged)
    unread = [row for id, row in rows.items() if id not in told]
    rest = [c for number in {*calls} - {o.number for o in logged.values()} for c in calls[number]]
    certain = money.spent - money.uncertain - sum(row.cost - row.uncertain for row in rows.values())
    uncertain = money.uncertain - sum(row.uncertain for row in rows.values())
    most = sum(price(c.model) for c in rest if c.what in PAID)
    print(
        f"clients and log: {len(outcomes):,} requests, {len(rows):,} rows; {len(logged):,} replies have one, of which "
        f"{status} have another status than the client saw; {len(unwritten)} replies have none, all but "
        f"{late} of the killed worker's last moment; {len(outcomes) - len(told)} requests got no reply, and "
        f"{len(unread)} of them have a row\n"
        f"log and upstream: {sum(rows[id].attempts for id in logged):,} tries in rows, of which {tries} requests' are "
        f"not upstream's number of calls; {len(rest)} more calls, of requests without a row\n"
        f"money: {sum(paid.values()) / NANO:.6f} USD by upstream's counts of tokens; {cost} rows say something else\n"
        f"budget: {money.spent / NANO:.6f} USD spent, of which {money.uncertain / NANO:.6f} uncertain; rows explain "
        f"all but {certain / NANO:.6f} that is certain (upstream charged {most / NANO:.6f} for calls without a row) "
        f"and {uncertain / NANO:.6f} that is not: what the killed worker held; {money.held / NANO:.6f} is still held"
    )
    agree = not (status or late or tries or cost or money.held) and 0 <= certain <= most and uncertain >= 0
    print("They agree, but for what the killed worker had under way." if agree else "THEY DO NOT AGREE.")


def price(model: str) -> int:
    """Nano-USD of one whole answer of the upstream."""
    return {"small": 7_000, "large": 550_000}[model]


def status_of(outcome: Outcome) -> int:
    """What a row should say: of a stream that ended with an error, that error's status."""
    if outcome.status == 200 and b'"error"' in outcome.body:
        return 502
    return outcome.status


def kind_of(outcome: Outcome) -> str:
    """What a client would call it."""
    if outcome.status == 0:
        return "connection lost"
    if outcome.status != 200:
        return f"refused with {outcome.status}" if b'"error"' in outcome.body else f"{outcome.status} without a reason"
    if b'"error"' in outcome.body:
        return "stream ended with an error"
    return "answered" if b"42" in outcome.body or b"[DONE]" in outcome.body else "cut off without a reason"


def _listens(pid: int) -> bool:
    """Whether a process is a worker, not Python's tracker of resources."""
    return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()


def _rows(store: Path) -> dict[str, Row]:
    sql = "SELECT id, status, attempts, cost_nano, uncertain_nano FROM mar_requests"
    with closing(sqlite3.connect(store)) as db:
        found = db.execute(sql).fetchall()
    return {id: Row(status=s, attempts=a, cost=c or 0, uncertain=u) for id, s, a, c, u in found}


async def _lapsed(limits: Path, key: str) -> Money:
    """What the budget says once nothing is held any more, or after a while."""
    for _ in range(int(LAPSE_S)):
        with closing(sqlite3.connect(limits)) as db:
            sql = "SELECT spent, uncertain, held FROM mar_counters WHERE name = ?"
            spent, uncertain, held = db.execute(sql, (f"usd/{key}/total",)).fetchone()
        if not held:
            break
        await asyncio.sleep(1.0)
    return Money(spent=spent, uncertain=uncertain, held=held)
