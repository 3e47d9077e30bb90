"""When a server is left alone, for how long, and who finds out that it is back. On virtual time."""

import json
from contextlib import suppress
from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest
from pydantic import ValidationError

from mar import clock
from mar.errors import (
    BadKey,
    BadReply,
    BadRequest,
    BrokenOff,
    CallTimeout,
    ConnectionLost,
    ModelLoading,
    RateLimited,
    ServerDown,
    ServerFault,
)
from mar.pool import CachedModel, FileReplies, ModelCard
from mar.pool.breaker import Breaker, BreakerPolicy
from mar.pool.faults import Where
from mar.pool.openai_client import OpenAIModel
from mar.pool.retry import RetryPolicy
from mar.runtime import Ledger, Meter
from mar.testing import ChatServer
from mar.types import ChatRequest, Message
from tests.pool.test_transport import CHUNK, OK, each, served

WHERE = Where(model="m", host="h:1")
POLICY = BreakerPolicy(failures=3, first_pause_s=1, longest_pause_s=4)


def call(breaker, error=None):
    with breaker.call(WHERE):
        if error is not None:
            raise error


def fail(breaker, times, error=None):
    for _ in range(times):
        with pytest.raises(ServerFault):
            call(breaker, error or ServerFault("ill"))


def run(main):
    return clock.run(main, virtual=True)


@pytest.mark.parametrize("error", [ConnectionLost("x"), CallTimeout("x"), ServerFault("x"), ModelLoading("x")])
def test_a_circuit_opens_after_failures_in_a_row_and_calls_fail_at_once(error):
    async def main():
        breaker = Breaker(POLICY)
        for _ in range(3):
            assert breaker.state == "closed"
            with pytest.raises(type(error)):
                call(breaker, error)
        assert breaker.state == "open"
        with pytest.raises(ServerDown, match=r"m at h:1: not asked, since 3 calls .* the last: x") as caught:
            call(breaker)
        return caught.value

    found = run(main)
    assert (found.retryable, found.kind, found.charge.charged) == (False, "server_fault", "no")
    assert found.retry_after_s == 1


@pytest.mark.parametrize("answer", [None, BadRequest("x"), BadKey("x"), RateLimited("x"), BadReply("x")])
def test_whoever_answers_is_well_whatever_is_said(answer):
    async def main():
        breaker = Breaker(POLICY)
        for _ in range(4):
            fail(breaker, 2)
            if answer is None:
                call(breaker)
            else:
                with pytest.raises(type(answer)):
                    call(breaker, answer)
        return breaker.state

    assert run(main) == "closed"


def test_one_call_tries_after_the_pause_and_closes_the_circuit():
    async def main():
        breaker = Breaker(POLICY)
        fail(breaker, 3)
        await anyio.sleep(1)
        assert breaker.state == "trial"
        with breaker.call(WHERE), pytest.raises(ServerDown):  # others go on failing meanwhile
            breaker.check(WHERE)
        return breaker.state

    assert run(main) == "closed"


def test_pauses_double_up_to_the_longest_and_begin_anew_once_the_server_is_well():
    async def main():
        breaker, pauses = Breaker(POLICY), []
        for _ in range(2):
            fail(breaker, 3)
            for _ in range(5):
                began = anyio.current_time()
                while breaker.state == "open":  # noqa: ASYNC110  # virtual time: this is how long it lasts
                    await anyio.sleep(0.25)
                pauses.append(anyio.current_time() - began)
                fail(breaker, 1)
            await anyio.sleep(4)
            call(breaker)
        return pauses

    assert run(main) == [1, 2, 4, 4, 4] * 2


def test_a_cancelled_trial_says_nothing_and_another_may_follow():
    async def main():
        breaker = Breaker(POLICY)
        fail(breaker, 3)
        await anyio.sleep(1)
        with anyio.move_on_after(1):
            with breaker.call(WHERE):
                await anyio.sleep(5)
        call(breaker)
        return breaker.state

    assert run(main) == "closed"


def test_failures_of_calls_that_were_under_way_when_it_opened_lengthen_nothing():
    async def main():
        breaker = Breaker(POLICY)

        async def slow():
            with suppress(ServerFault), breaker.call(WHERE):
                await anyio.sleep(0.5)
                raise ServerFault("late")

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(slow)
            await anyio.wait_all_tasks_blocked()  # all five are under way
            fail(breaker, 3)
        await anyio.sleep(0.75)  # 1.25 s after it opened for 1 s
        return breaker.state

    assert run(main) == "trial"


@pytest.mark.parametrize("wrong", [{"failures": 0}, {"first_pause_s": 0}, {"longest_pause_s": float("inf")}, {"x": 1}])
def test_a_policy_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        BreakerPolicy(**wrong)


ASK = ChatRequest(model="m", messages=(Message(speaker="user", text="q"),))


@pytest.mark.parametrize("breaker", [None, BreakerPolicy(failures=2, first_pause_s=60)])
def test_a_pool_leaves_a_server_alone_only_if_it_is_told_to(breaker, tmp_path):
    async def main():
        async with ChatServer(faults={"server_error": 1.0}) as server:
            card = ModelCard(name="m", base_url=server.base_url)
            live = OpenAIModel([card], retry=RetryPolicy(attempts=1), breaker=breaker)
            async with CachedModel(live, FileReplies(tmp_path / "c.sqlite")) as model:
                kinds = []
                for _ in range(4):
                    with pytest.raises(ServerFault) as caught:
                        await model.chat(ASK)
                    kinds.append(type(caught.value))
                return kinds, len(server.requests), model.telemetry()["m"].circuit

    kinds, asked, circuit = anyio.run(main)
    if breaker is None:
        assert (kinds, asked, circuit) == ([ServerFault] * 4, 4, "closed")
    else:
        assert (kinds, asked, circuit) == ([ServerFault] * 2 + [ServerDown] * 2, 2, "open")


def test_the_circuits_of_two_servers_are_two():
    async def main():
        async with ChatServer() as well:
            cards = [
                ModelCard(name="ill", base_url="http://127.0.0.1:9/v1"),
                ModelCard(name="m", base_url=well.base_url),
            ]
            policy = BreakerPolicy(failures=1)
            async with OpenAIModel(cards, retry=RetryPolicy(attempts=1), breaker=policy) as model:
                with pytest.raises(ConnectionLost):
                    await model.chat(ChatRequest(model="ill", messages=ASK.messages))
                await model.chat(ASK)
                return {name: seen.circuit for name, seen in model.telemetry().items()}

    assert anyio.run(main) == {"ill": "open", "m": "closed"}


@pytest.mark.parametrize(
    ("after", "states"),
    [
        ([], ["closed", "open"]),  # it ends, and nothing says that the answer has
        ([{"error": {"message": "gone"}}], ["closed", "open"]),
        ([{"error": {"message": "slow down", "code": 429}}], ["closed", "closed"]),
        ([{"choices": [{"index": 0, "delta": {}, "finish_reason": "content_filter"}]}], ["closed", "closed"]),
    ],
)
def test_a_stream_that_broke_off_tells_of_its_server_as_a_failure_before_it_does(after, states):
    async def reply(_, writer):
        writer.write(OK + b"Connection: close\r\n\r\n" + CHUNK)
        writer.write(b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in after))
        await writer.drain()
        writer.close()

    async def main():
        async with served(each(reply)) as port:
            card = ModelCard(name="m", base_url=f"http://127.0.0.1:{port}/v1")
            async with OpenAIModel([card], breaker=BreakerPolicy(failures=2)) as model:
                found = []
                for _ in range(2):
                    meter = Meter(card, Ledger())
                    with pytest.raises(BrokenOff):
                        await model.chat(replace(ASK, meter=meter), lambda _: None)
                    found.append((meter.tries, model.telemetry()["m"].circuit))
                return found

    assert anyio.run(main) == [(1, state) for state in states]


def test_a_try_that_a_circuit_does_not_let_through_is_not_counted():
    async def main():
        card = ModelCard(name="m", concurrency=1)
        meters, kinds = [Meter(card, Ledger()), Meter(card, Ledger())], []

        async def call(model, meter):
            try:
                await model.chat(replace(ASK, meter=meter))
            except ServerFault as error:
                kinds.append(type(error))

        async with ChatServer(faults={"server_error": 1.0}) as server:
            cards = [card.model_copy(update={"base_url": server.base_url})]
            policy = BreakerPolicy(failures=1)
            async with OpenAIModel(cards, retry=RetryPolicy(attempts=1), breaker=policy) as model:
                async with anyio.create_task_group() as tasks:  # the second waits for the first one's slot
                    for meter in meters:
                        tasks.start_soon(call, model, meter)
                return kinds, [meter.tries for meter in meters], len(server.requests)

    assert anyio.run(main) == ([ServerFault, ServerDown], [1, 0], 1)
