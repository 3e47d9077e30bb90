"""The limit in USD over a whole run."""

from __future__ import annotations

import math
from functools import partial

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mar import clock
from mar.concurrency import gather
from mar.errors import LimitReached, ServerFault
from mar.pool import ModelCard, scripted_pool
from mar.runtime import Ledger, Runtime
from mar.runtime.ledger import estimate_tokens, most_tokens, worst_cost
from mar.types import ChatReply, ChatRequest, Message, Stopped
from tests.runtime.episodes import ASK, FREE_TOOLS, PROMPTS, costing, plan_of

CARD = ModelCard(name="a", price_in=0.0, price_out=1e6, max_output_tokens=10)  # a dollar a token, at most 10


def request(text="", **fields):
    return ChatRequest(model="a", messages=(Message(speaker="user", text=text),), **fields)


async def call(ledger, seconds, cost, error=None):
    async with ledger.reserve(request(), CARD):
        await anyio.sleep(seconds)
        if error is not None:
            raise error
        ledger.pay(cost)


def test_the_worst_cost_is_a_full_completion_and_a_token_for_every_byte():
    card = ModelCard(name="a", price_in=1.0, price_out=2.0, max_output_tokens=1000)
    text = "ä" * 50  # 100 bytes, and 16 tokens for the message's frame
    assert worst_cost(request(text), card) == pytest.approx((116 * 1 + 1000 * 2) / 1e6)
    assert worst_cost(request(text, max_tokens=10), card) == pytest.approx((116 * 1 + 10 * 2) / 1e6)


def test_a_price_by_time_is_reserved_for_the_whole_time_limit():
    card = ModelCard(name="a", price_gpu_second=0.01, timeout_s=60)
    assert worst_cost(request(), card) == pytest.approx(0.6)
    assert worst_cost(request(timeout_s=5), card) == pytest.approx(0.05)


@given(st.text())
def test_the_estimate_of_a_prompt_is_never_above_its_upper_bound(text):
    messages = request(text).messages
    assert estimate_tokens(messages) <= most_tokens(messages)


@settings(max_examples=40)
@given(
    calls=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 10), st.booleans()), min_size=1, max_size=30),
    limit=st.integers(0, 120),
)
def test_what_is_spent_never_exceeds_the_limit_however_many_calls_are_under_way(calls, limit):
    async def main():
        ledger = Ledger(limit_usd=limit)
        refused = []

        async def one(seconds, cost, fails):
            try:
                await call(ledger, seconds, cost, ServerFault("x") if fails else None)
            except ServerFault:
                pass
            except LimitReached:
                refused.append(ledger.spent_usd)

        await gather([partial(one, *c) for c in calls])
        return ledger, refused

    ledger, refused = clock.run(main, virtual=True)
    assert ledger.spent_usd <= limit
    assert all(spent + 10 > limit for spent in refused)  # nothing is refused that would have fitted alone


def test_calls_that_do_not_fit_beside_others_wait_for_them():

    async def main():
        ledger = Ledger(limit_usd=20)  # room for two calls of at most 10 at once
        await gather([partial(call, ledger, 1, 1) for _ in range(11)])  # each costs 1
        return ledger.spent_usd, anyio.current_time()

    spent, seconds = clock.run(main, virtual=True)
    # After k calls two more fit while k + 20 <= 20, so only the first pair runs together: 1 s, and 9 more one by one.
    # The last one fits as well: 10 are spent, and it could cost 10.
    assert (spent, seconds) == (11, 10)


def test_a_cancelled_call_gives_its_reservation_back():
    async def main():
        ledger = Ledger(limit_usd=10)
        with anyio.move_on_after(1):
            await call(ledger, math.inf, 0)
        await call(ledger, 1, 3)
        return ledger.spent_usd

    assert clock.run(main, virtual=True) == 3


def test_the_message_states_the_limit_and_what_broke_it():
    async def main(card):
        await gather([partial(call, ledger, 1, 4)])
        async with ledger.reserve(request(), card):
            pass

    ledger = Ledger(limit_usd=12)
    with pytest.raises(LimitReached, match=r"may cost 12 USD; 4\.000000 are spent.* a could cost 10\.000000"):
        clock.run(lambda: main(CARD), virtual=True)
    ledger = Ledger(limit_usd=12)
    with pytest.raises(LimitReached, match=r"call to b has no known price"):
        clock.run(lambda: main(ModelCard(name="b")), virtual=True)


def test_without_a_limit_everything_is_counted_and_nothing_refused():
    async def main():
        ledger = Ledger()
        await gather([partial(call, ledger, 1, cost) for cost in (1, None, 2)])
        return ledger.spent_usd, ledger.unknown_calls

    assert clock.run(main, virtual=True) == (3, 1)


def run_many(ledger, answer, episodes=5):
    async def main():
        runtime = Runtime(
            scripted_pool(answer, latency_s=1.0, price_in=0.0, price_out=1e6),
            prompts=PROMPTS,
            tools=FREE_TOOLS,
            ledger=ledger,
        )
        return await gather([partial(runtime.run, ASK, plan_of("IO", 4)) for _ in range(episodes)])

    return clock.run(main, virtual=True)


def test_a_runs_limit_holds_and_its_episodes_keep_what_they_have_paid_for():
    worst = 1024 * 1.0  # cards default to 1024 completion tokens
    ledger = Ledger(limit_usd=worst + 10)
    episodes = run_many(ledger, costing(3.0))
    # 1024 + 3 k <= 1034 holds for k = 0, 1, 2, 3: four calls are made
    assert ledger.spent_usd == 12
    assert sum(e.cost_usd for e in episodes) == 12
    assert all(any(isinstance(event, Stopped) and event.why == "usd" for event in e.events) for e in episodes)
    assert "may cost 1034 USD" in ledger.reached


def test_answers_from_the_cache_are_not_paid_again():
    def cached(request):
        return ChatReply(text="42", model=request.model, prompt_tokens=1, completion_tokens=1, cached=True)

    ledger = Ledger(limit_usd=2000)
    run_many(ledger, cached, episodes=1)
    assert ledger.spent_usd == 0
