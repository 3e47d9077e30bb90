"""Money and models' limits that hold over all workers, whatever becomes of them."""

import math
import socket

import anyio
import anyio.lowlevel
import pytest

from mar.errors import OutsideError
from mar.execution import Workers, executor
from mar.execution.desk import Desk
from mar.execution.far_desk import far_desk
from mar.pool.cache_store import RESPONSES, ResponseStore
from mar.pool.cards import ModelCard
from mar.runtime import Account, Ledger
from mar.types import ChatReply, Usage
from tests.execution.paying import COST, WORST, Paying

CARDS = {"m": ModelCard(name="m", concurrency=4)}


def test_eight_workers_never_spend_more_than_one_dollar_and_a_killed_one_s_try_counts_at_its_worst(tmp_path):
    said = []

    async def main():
        ledger = Ledger(1.0, account=Account(tmp_path / "spending"))
        desk = Desk(ledger, CARDS)
        async with desk.open() as address:
            work = Paying(desk=address, folder=tmp_path)
            with executor(Workers(workers=8), say=said.append) as workers:
                outcomes = await desk.run(workers, work, range(60))
        return outcomes, ledger

    outcomes, ledger = anyio.run(main)
    bills = [float(line) for line in (tmp_path / "bills").read_text().split()]
    assert len(said) == 1
    # The one that was killed is booked at 2/32; 28 more at 1/32 leave room for a try of 2/32, and 29 do not.
    assert outcomes.count("paid") == 29
    assert len(bills) == 29 + 1
    assert ledger.spent_usd == 29 * COST + WORST
    assert sum(bills) < ledger.spent_usd <= 1.0
    assert all("may cost 1 USD; 0.968750 are spent" in outcome for outcome in outcomes if outcome != "paid")
    assert "may cost 1 USD" in ledger.reached
    assert Account(tmp_path / "spending").before.usd == ledger.spent_usd


def on_a_desk(ledger, main):
    async def run():
        async with Desk(ledger, CARDS).open() as desk:
            return await main(desk)

    return anyio.run(run)


def test_two_workers_share_a_model_s_slots():
    under_way, most = set(), []

    async def main(desk):
        async def work(number, purse):
            async with purse.hold(0.0, "m"):
                under_way.add(number)
                most.append(len(under_way))
                await anyio.wait_all_tasks_blocked()
                under_way.remove(number)

        async with far_desk(desk) as one, far_desk(desk) as other, anyio.create_task_group() as tasks:
            for number in range(16):
                tasks.start_soon(work, number, (one, other)[number % 2])

    on_a_desk(Ledger(), main)
    assert len(most) == 16
    assert max(most) <= 4


def test_what_a_try_cost_arrives_as_it_was_said():
    async def main(desk):
        async with far_desk(desk) as purse:
            async with purse.hold(0.5, "m") as one:
                one.usage = Usage(calls=1, cost_usd=0.25, uncertain_usd=0.125)
            async with purse.hold(None, "m") as one:
                one.usage = Usage(calls=1, cost_usd=None)
            with pytest.raises(ValueError, match="the call failed"):
                async with purse.hold(0.5, "m"):
                    raise ValueError("the call failed")
            while ledger.spent.uncertain_calls < 2:
                await anyio.lowlevel.checkpoint()

    ledger = Ledger()
    on_a_desk(ledger, main)
    assert ledger.spent_usd == 0.25 + 0.5
    assert ledger.spent.uncertain_usd == 0.125 + 0.5
    assert ledger.unknown_calls == 1


def test_a_desk_serves_nobody_without_the_run_s_token_and_a_worker_without_a_desk_pays_nothing():
    async def main(desk):
        stranger = type(desk)(host=desk.host, port=desk.port, token="x")
        async with far_desk(stranger) as purse:
            with pytest.raises(OutsideError, match="has lost the driver of this run"):
                async with purse.hold(0.1, "m"):
                    raise AssertionError("it was let in")
            with pytest.raises(OutsideError, match="has lost the driver of this run"):
                async with purse.hold(math.inf, "m"):
                    raise AssertionError("it was let in")

    ledger = Ledger(1.0)
    on_a_desk(ledger, main)
    assert ledger.spent_usd == 0


def test_a_machine_that_goes_without_a_word_is_noticed():
    async def main(desk):
        async with far_desk(desk) as purse:
            end = purse.wire._transport.get_extra_info("socket")
            assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            if hasattr(socket, "TCP_KEEPIDLE"):
                waits = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
                idle, between, tries = (end.getsockopt(socket.IPPROTO_TCP, one) for one in waits)
                assert idle + between * tries <= 60

    on_a_desk(Ledger(), main)


def test_one_worker_after_the_other_is_at_the_same_and_who_is_gone_or_waits_no_more_lets_others_go_on():
    told = []

    async def at(desk, name, key=b"k", until=None):
        async with desk.turn(key):
            told.append(name)
            if until is not None:
                await until.wait()

    async def main(address):
        async with far_desk(address) as first, far_desk(address) as second, anyio.create_task_group() as tasks:
            done = anyio.Event()
            tasks.start_soon(at, first, "first", b"k", done)
            while "first" not in told:
                await anyio.lowlevel.checkpoint()
            with anyio.move_on_after(0.05):
                await at(second, "never")
            tasks.start_soon(at, second, "second")
            await at(second, "of another", b"other")
            assert told == ["first", "of another"]
            done.set()
            while "second" not in told:
                await anyio.lowlevel.checkpoint()
            tasks.start_soon(at, first, "gone", b"k", anyio.Event())
            while "gone" not in told:
                await anyio.lowlevel.checkpoint()
            first.wire.close()
            await at(second, "after it")
            tasks.cancel_scope.cancel()

    on_a_desk(Ledger(), main)
    assert told == ["first", "of another", "second", "gone", "after it"]


def test_workers_of_other_machines_have_the_driver_s_response_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MAR_CACHE", str(tmp_path))
    replies = {bytes([n]) * 32: ChatReply(text=str(n) * 300_000, model="m") for n in range(10)}  # of several messages
    none, long = bytes([98]) * 32, bytes([99]) * 32

    async def main():
        async with (
            Desk(Ledger(), CARDS).open("127.0.0.2") as address,
            far_desk(address) as one,
            far_desk(address) as two,
        ):
            assert not address.shares_files
            for key, reply in replies.items():
                await one.put(key, reply)
            await one.put(long, ChatReply(text="x" * 2_000_000, model="m"))
            assert [await one.get(none), await one.get(long)] == [None, None]
            assert {key: await two.get(key) for key in replies} == replies

    anyio.run(main)
    kept = ResponseStore(tmp_path / RESPONSES)
    assert {key: kept.get(key) for key in replies} == replies
    assert kept.get(long) is None
    kept.close()
