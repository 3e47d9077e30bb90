"""A call that takes long is made a second time; one of the two is the answer, and both are paid for."""

import time

import anyio
import pytest

from mar import clock
from mar.errors import BadKey, CallError, LimitReached, ServerFault
from mar.pool import ModelCard
from mar.pool.hedge import Beaten, first_of_two
from mar.pool.openai_client import OpenAIModel
from mar.pool.retry import RetryPolicy
from mar.runtime.ledger import Ledger, Meter
from mar.testing import ChatServer
from mar.types import ChatReply, ChatRequest, Delta, Message


def reply(text):
    return ChatReply(text=text, model="m", prompt_tokens=1, completion_tokens=2)


def race(*calls, spare=True, heard=None):
    """The outcome of calls of some duration each, hedged after 10 s: (reply or error, when, what became of each)."""
    fates = []

    async def main():
        left = iter(calls)

        async def run(runner):
            seconds, outcome = next(left)
            listen = runner.listener(None if heard is None else lambda delta: heard.append(delta.text))
            number = len(fates)
            fates.append("cancelled")
            try:
                for piece in outcome.text.split() if listen and isinstance(outcome, ChatReply) else ():
                    await anyio.sleep(seconds)
                    listen(Delta(text=piece))
                await anyio.sleep(0 if listen else seconds)
                if isinstance(outcome, Exception):
                    raise outcome
                settled = await runner.settle(outcome)
            except Exception as error:
                fates[number] = type(error).__name__
                raise
            fates[number] = "answered"
            return settled

        began = anyio.current_time()
        try:
            found = await first_of_two(run, after_s=10, spare=lambda: spare)
        except (CallError, LimitReached) as error:
            found = error
        return found, anyio.current_time() - began

    found, seconds = clock.run(main, virtual=True)
    return (found.text if isinstance(found, ChatReply) else type(found).__name__), seconds, fates


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([(9, reply("a"))], ("a", 9, ["answered"])),  # no second call
        ([(30, reply("a")), (5, reply("b"))], ("b", 15, ["cancelled", "answered"])),
        ([(12, reply("a")), (5, reply("b"))], ("a", 12, ["answered", "cancelled"])),
        ([(12, ServerFault("x")), (5, reply("b"))], ("b", 15, ["ServerFault", "answered"])),
        ([(30, reply("a")), (5, ServerFault("x"))], ("a", 30, ["answered", "ServerFault"])),
        ([(12, BadKey("x")), (5, ServerFault("x"))], ("BadKey", 15, ["BadKey", "ServerFault"])),
        ([(5, ServerFault("x"))], ("ServerFault", 5, ["ServerFault"])),  # it has failed: that is for a retry
        ([(30, reply("a")), (5, LimitReached("x"))], ("a", 30, ["answered", "LimitReached"])),
        ([(12, LimitReached("x")), (5, reply("b"))], ("LimitReached", 12, ["LimitReached", "cancelled"])),
    ],
)
def test_the_first_answer_is_the_answer(calls, expected):
    assert race(*calls) == expected


def test_where_there_is_no_room_there_is_no_second_call():
    assert race((30, reply("a")), spare=False) == ("a", 30, ["answered"])


def test_of_streams_the_first_piece_decides_and_one_alone_is_heard():
    heard = []
    assert race((30, reply("a a")), (8, reply("b b")), heard=heard) == ("b b", 26, ["cancelled", "answered"])
    assert heard == ["b", "b"]  # at 18 and at 26 s
    heard = []
    assert race((8, reply("a a")), heard=heard) == ("a a", 16, ["answered"])  # at 8 s it was there
    assert heard == ["a", "a"]


def test_an_answer_that_comes_second_was_paid_for():
    error = Beaten("x")
    assert error.kind == "call"
    found, seconds, fates = race((15, reply("a")), (5, reply("b")))  # both at 15 s
    assert (found in "ab", seconds) == (True, 15)
    assert "answered" in fates


CARD = ModelCard(name="m", price_in=1.0, price_out=1.0, max_output_tokens=1000, hedge_s=0.05)
ASK = ChatRequest(model="m", messages=(Message(speaker="user", text="q"),))


@pytest.mark.parametrize("stream", [False, True])
def test_a_straggler_is_closed_and_booked_at_its_worst_within_the_call(stream):
    async def main():
        ledger, heard = Ledger(), []
        async with ChatServer() as server:
            server.next_faults.extend(["hang", None])
            card = CARD.model_copy(update={"base_url": server.base_url})
            meter = Meter(card, ledger)
            async with OpenAIModel([card], retry=RetryPolicy(attempts=1)) as model:
                request = ChatRequest(model="m", messages=ASK.messages, meter=meter)
                began = time.perf_counter()
                found = await model.chat(request, heard.append if stream else None)
                took = time.perf_counter() - began
                with anyio.fail_after(5):
                    while server.running:  # noqa: ASYNC110  # the server counts and has no event to give
                        await anyio.sleep(0.001)
            return found, took, ledger, len(server.requests), "".join(d.text for d in heard)

    found, took, ledger, asked, heard = anyio.run(main)
    assert (found.text, asked) == ("answer to q", 2)
    assert took < 2
    worst = (17 + 1000) / 1e6  # a byte and a frame of 16, and all of the output
    assert found.lost.cost_usd == pytest.approx(worst)
    assert ledger.spent_usd == pytest.approx(worst + 4 / 1e6)  # a word asked, three answered
    assert heard == ("answer to q" if stream else "")


def test_a_call_that_no_slot_is_left_for_is_not_made_a_second_time():
    async def main():
        async with ChatServer(delay_s=0.3) as server:
            card = CARD.model_copy(update={"base_url": server.base_url, "concurrency": 1})
            async with OpenAIModel([card]) as model:
                await model.chat(ASK)
            return len(server.requests)

    assert anyio.run(main) == 1
