"""The limit in USD over a whole run."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mar import clock
from mar.concurrency import gather
from mar.errors import BadReply, CallError, CallTimeout, Charge, LimitReached, ServerFault
from mar.pool import ModelCard, scripted_pool
from mar.pool.costs import most_tokens, reply_usage, worst_cost
from mar.runtime import Ledger, Meter, Runtime, Spent
from mar.runtime.ledger import estimate_tokens
from mar.types import ChatReply, ChatRequest, Message, Stopped, ToolCall, ToolSpec, Usage
from tests.runtime.episodes import ASK, FREE_TOOLS, PROMPTS, costing, plan_of

CARD = ModelCard(name="a", price_in=0.0, price_out=1e6, max_output_tokens=10)  # a dollar a token, at most 10


def request(text="", **fields):
    return ChatRequest(model="a", messages=(Message(speaker="user", text=text),), **fields)


def answer(tokens, **fields):
    return ChatReply(text="42", model="a", prompt_tokens=0, completion_tokens=tokens, **fields)


async def call(ledger, seconds, tokens, error=None, card=CARD):
    """One try that takes some seconds and ends with an answer of so many tokens, or with an error."""

    async def attempt():
        await anyio.sleep(seconds)
        if error is not None:
            raise error
        return answer(tokens)

    return await Meter(card, ledger)(request(), attempt)


def test_the_worst_cost_is_a_full_completion_and_a_token_for_every_byte():
    card = ModelCard(name="a", price_in=1.0, price_out=2.0, max_output_tokens=1000)
    text = "ä" * 50  # 100 bytes, and 16 tokens for the message's frame
    assert worst_cost(request(text), card) == pytest.approx((116 * 1 + 1000 * 2) / 1e6)
    assert worst_cost(request(text, max_tokens=10), card) == pytest.approx((116 * 1 + 10 * 2) / 1e6)


def test_a_price_by_time_is_reserved_for_the_whole_time_limit():
    card = ModelCard(name="a", price_gpu_second=0.01, timeout_s=60)
    assert worst_cost(request(), card) == pytest.approx(0.6)
    assert worst_cost(request(timeout_s=5), card) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("word " * 60, 100), ("数学" * 50, 100), ("수학" * 50, 100), ("математика" * 15, 100)],  # 300 bytes each
)
def test_the_estimate_is_cautious_in_every_script(text, tokens):
    assert estimate_tokens([Message(speaker="user", text=text)]) == tokens + 8  # 8 for the message's frame


TOOL = ToolSpec(name="f", description="d" * 90, parameters={"x": 1})  # 1 + 1 + 90 + 1 + 8 = 101 bytes
CALL = ToolCall(id="1", name="f", arguments="{}")  # 4 bytes


def test_tools_and_their_calls_are_part_of_a_prompt():
    called = Message(speaker="assistant", text="", calls=(CALL,))
    answered = Message(speaker="tool", text="ok", call_id="1")  # 3 bytes
    assert estimate_tokens([called, answered], [TOOL]) == 36 + 2 * 8 + 200  # 108 / 3, two frames, a preamble
    assert most_tokens([called, answered], [TOOL]) == (4 + 32) + (3 + 16) + (2 * 101 + 512)
    card = ModelCard(name="a", price_in=1.0, price_out=2.0, max_output_tokens=1000)
    with_tools = replace(request("x"), tools=(TOOL,))
    assert worst_cost(with_tools, card) - worst_cost(request("x"), card) == pytest.approx(714 / 1e6)


@given(st.text(), st.lists(st.just(TOOL), max_size=3), st.lists(st.just(CALL), max_size=3))
def test_the_estimate_of_a_prompt_is_never_above_its_upper_bound(text, tools, calls):
    messages = (Message(speaker="assistant", text=text, calls=tuple(calls), call_id=text),)
    assert estimate_tokens(messages, tools) <= most_tokens(messages, tools)


ENDINGS = st.one_of(
    st.integers(0, 10),  # an answer of so many dollars
    st.none(),  # an answer whose server does not say what it used
    st.just(ServerFault("500")),  # nothing was generated
    st.just(CallTimeout("too late")),  # nobody knows
    st.integers(0, 10).map(lambda n: BadReply("", charge=Charge(charged="yes", prompt_tokens=0, completion_tokens=n))),
    st.just(BadReply("", charge=Charge(charged="yes", prompt_tokens=-7, completion_tokens=2**60))),  # absurd counts
    st.just("cancelled"),
)


def charged(ending):
    """USD that a provider takes at the most: where it is not known, the 10 that a try can cost."""
    if isinstance(ending, ServerFault):
        return 0
    if isinstance(ending, BadReply):
        tokens = ending.charge.completion_tokens
        return tokens if tokens <= 10 else 10
    return ending if isinstance(ending, int) else 10


@settings(max_examples=60, deadline=None)
@given(
    calls=st.lists(st.lists(st.tuples(st.integers(1, 5), ENDINGS), min_size=1, max_size=4), min_size=1, max_size=20),
    limit=st.integers(0, 120),
    before=st.integers(0, 40),
    shared=st.booleans(),
)
def test_what_is_charged_never_exceeds_the_limit_whatever_becomes_of_tries(calls, limit, before, shared):
    made, refused = [before], []

    async def main():
        run = Ledger(limit_usd=limit)
        run.spent += Spent.of(before)
        ledger = Ledger(limit_usd=50, of="the episode", within=run) if shared else run

        async def one(tries):
            meter = Meter(CARD, ledger)
            for seconds, ending in tries:

                async def attempt(seconds=seconds, ending=ending):
                    made.append(charged(ending))  # it is on its way: from here on it may be charged
                    await anyio.sleep(seconds)
                    if ending == "cancelled":
                        await anyio.sleep_forever()
                    if isinstance(ending, Exception):
                        raise ending
                    return answer(ending)

                try:
                    with anyio.move_on_after(1000):
                        await meter(request(), attempt)
                        return
                except CallError:
                    continue
                except LimitReached:
                    refused.append((run.spent_usd, ledger.spent_usd))
                    return

        await gather([partial(one, tries) for tries in calls])
        return run

    run = clock.run(main, virtual=True)
    assert run.spent_usd == sum(made)  # what was charged is booked, and nothing else
    assert run.spent_usd <= max(limit, before)
    # nothing is refused that would have fitted alone
    assert all(spent + 10 > limit or (shared and episode + 10 > 50) for spent, episode in refused)


def test_tries_that_do_not_fit_beside_others_wait_for_them():

    async def main():
        ledger = Ledger(limit_usd=20)  # room for two tries of at most 10 at once
        await gather([partial(call, ledger, 1, 1) for _ in range(11)])  # each costs 1
        return ledger.spent_usd, anyio.current_time()

    spent, seconds = clock.run(main, virtual=True)
    # After k tries two more fit while k + 20 <= 20, so only the first pair runs together: 1 s, and 9 more one by one.
    # The last one fits as well: 10 are spent, and it could cost 10.
    assert (spent, seconds) == (11, 10)


@pytest.mark.parametrize(
    ("error", "spent"),
    [
        (ServerFault("x"), Spent()),  # nothing was generated
        (CallTimeout("x"), Spent(usd=10, uncertain_usd=10, uncertain_calls=1)),
        (BadReply("x", charge=Charge(charged="yes", prompt_tokens=5, completion_tokens=4)), Spent(usd=4)),
        (BadReply("x", charge=Charge(charged="yes")), Spent(usd=10, uncertain_usd=10, uncertain_calls=1)),
    ],
)
def test_a_failed_try_is_booked_at_what_a_provider_takes_for_it(error, spent):
    async def main():
        ledger = Ledger(limit_usd=100)
        with pytest.raises(type(error)):
            await call(ledger, 1, 0, error)
        return ledger.spent

    assert clock.run(main, virtual=True) == spent


def test_a_cancelled_try_is_booked_at_its_worst_since_it_may_have_been_generated():
    async def main():
        ledger = Ledger(limit_usd=15)
        with anyio.move_on_after(1):
            await call(ledger, math.inf, 0)
        with pytest.raises(LimitReached):
            await call(ledger, 1, 3)
        return ledger.spent

    assert clock.run(main, virtual=True) == Spent(usd=10, uncertain_usd=10, uncertain_calls=1)


def test_an_answer_without_counts_or_with_absurd_ones_costs_the_most_it_can():
    async def main(tokens):
        ledger = Ledger()
        reply = await call(ledger, 1, tokens)
        return ledger.spent, reply_usage(reply, CARD).cost_usd

    for tokens in (None, -3, 10**15):
        spent, known = clock.run(partial(main, tokens), virtual=True)
        assert (spent, known) == (Spent(usd=10, uncertain_usd=10, uncertain_calls=1), None)


def test_the_reply_says_what_the_tries_before_it_cost():
    async def main():
        meter = Meter(CARD, Ledger())

        async def fails():
            raise BadReply("empty", charge=Charge(charged="yes", prompt_tokens=7, completion_tokens=2))

        async def answers():
            return answer(3)

        with pytest.raises(BadReply):
            await meter(request(), fails)
        return await meter(request(), answers)

    reply = clock.run(main, virtual=True)
    assert reply.lost == Usage(calls=0, prompt_tokens=7, completion_tokens=2, cost_usd=2.0)


def test_what_an_episode_spends_the_run_has_spent_too_and_the_tighter_limit_holds():
    async def main(episode_usd, run_usd):
        run = Ledger(run_usd)
        ledger = Ledger(episode_usd, of="the episode", within=run)
        await call(ledger, 1, 4)
        with pytest.raises(LimitReached) as refused:
            await call(ledger, 1, 4)
        return ledger.spent_usd, run.spent_usd, str(refused.value)

    spent, of_run, why = clock.run(partial(main, 13, 100), virtual=True)
    assert (spent, of_run) == (4, 4)
    assert why == "the episode may cost 13 USD; 4.000000 are spent, and the next call to a could cost 10.000000"
    spent, of_run, why = clock.run(partial(main, 100, 13), virtual=True)
    assert (spent, of_run) == (4, 4)
    assert why.startswith("the run may cost 13 USD")


def test_the_message_states_the_limit_and_what_broke_it():
    async def main(card):
        await call(ledger, 1, 4)
        await call(ledger, 1, 4, card=card)

    ledger = Ledger(limit_usd=12)
    with pytest.raises(LimitReached, match=r"may cost 12 USD; 4\.000000 are spent.* a could cost 10\.000000"):
        clock.run(lambda: main(CARD), virtual=True)
    ledger = Ledger(limit_usd=12)
    with pytest.raises(LimitReached, match=r"call to b has no known price"):
        clock.run(lambda: main(ModelCard(name="b")), virtual=True)


def test_without_a_limit_everything_is_counted_and_nothing_refused():
    async def main():
        ledger = Ledger()
        free = ModelCard(name="b")
        await gather([partial(call, ledger, 1, cost) for cost in (1, None, 2)])
        await call(ledger, 1, 5, card=free)
        return str(ledger.spent)

    said = "13.0000 USD, of which 10.0000 is the most that 1 calls can have cost, and 1 calls of unknown price"
    assert clock.run(main, virtual=True) == said


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
