"""What a run was paid, kept in its folder."""

from __future__ import annotations

from contextlib import suppress

import pytest

from mar import clock
from mar.errors import ConfigError, LimitReached
from mar.pool import ModelCard
from mar.runtime import Account, Ledger, Meter, Spent
from mar.types import ChatReply, ChatRequest, Message

CARD = ModelCard(name="a", price_in=0.0, price_out=1e6, max_output_tokens=10)  # a dollar a token, at most 10
ASK = ChatRequest(model="a", messages=(Message(speaker="user", text=""),))


def a_process(path, limit, bill):
    """Ask until the limit refuses; each answer costs 3 dollars and is noted on the provider's bill."""

    async def attempt():
        bill.append(3)
        return ChatReply(text="x", model="a", prompt_tokens=0, completion_tokens=3)

    async def main():
        ledger = Ledger(limit, account=Account(path))
        while ledger.reached is None:
            with suppress(LimitReached):
                await Meter(CARD, ledger)(ASK, attempt)
        return ledger.spent

    return clock.run(main, virtual=True)


def test_three_processes_at_one_limit_are_billed_no_more_than_it_in_all(tmp_path):
    bill = []
    spent = [a_process(tmp_path / "spending.jsonl", 30, bill) for _ in range(3)]
    # 3 k + 10 <= 30 holds for k = 0 to 6: seven calls in the first process and none in the others
    assert sum(bill) == 21
    assert [s.usd for s in spent] == [21, 21, 21]


def test_a_try_that_a_kill_cut_off_stands_at_its_worst(tmp_path):
    path = tmp_path / "spending.jsonl"
    account = Account(path)
    first, _killed = (account.begin(Spent.of(10, uncertain_usd=10)) for _ in range(2))
    account.end(first, Spent.of(2))
    assert Account(path).before == Spent(usd=12, uncertain_usd=10, uncertain_calls=1)


def test_the_most_that_a_try_can_cost_is_written_before_it_is_made(tmp_path):
    path = tmp_path / "spending.jsonl"
    seen = []

    async def attempt():
        seen.append(Account(path).before)  # what another process would find if this one were killed now
        return ChatReply(text="x", model="a", prompt_tokens=0, completion_tokens=3)

    async def main():
        await Meter(CARD, Ledger(account=Account(path)))(ASK, attempt)

    clock.run(main, virtual=True)
    assert seen == [Spent(usd=10, uncertain_usd=10, uncertain_calls=1)]


def test_a_line_that_a_kill_tore_was_of_a_try_that_was_not_made(tmp_path):
    path = tmp_path / "spending.jsonl"
    account = Account(path)
    account.begin(Spent.of(1))
    with path.open("a") as file:
        file.write('{"number": 2, "spe')
    assert Account(path).before == Spent.of(1)
    Account(path).begin(Spent.of(2))  # and what follows is readable
    assert Account(path).before.usd == 3


@pytest.mark.parametrize("line", ["no json", "[]", '{"number": 1, "spent": {"usd": -5}}', '{"number": 1}', "\udcff"])
def test_a_file_that_is_no_record_is_named_with_the_line(tmp_path, line):
    path = tmp_path / "spending.jsonl"
    Account(path)
    path.write_text(path.read_text() + line + "\n", errors="surrogateescape")
    with pytest.raises(ConfigError, match=r"spending\.jsonl, line 2\b"):
        Account(path)


def test_where_nothing_can_be_written_nothing_is_spent(tmp_path):
    path = tmp_path / "run" / "spending.jsonl"
    ledger = Ledger(account=Account(path))
    path.unlink()
    path.mkdir()

    async def main():
        await Meter(CARD, ledger)(ASK, pytest.fail)

    with pytest.raises(LimitReached, match="cannot be written down"):
        clock.run(main, virtual=True)
    assert ledger.reached is not None
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written down"):
        Account(tmp_path / "file" / "spending.jsonl")
