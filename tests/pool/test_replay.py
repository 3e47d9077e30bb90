from dataclasses import replace

import anyio
import pytest

from mar import clock
from mar.errors import LimitReached, NoRecording
from mar.pool import Recording, RecordingKey, replay_pool
from mar.runtime import Ledger, Meter, Spent
from mar.types import CallContext, ChatRequest, Message, ToolSpec

CONTEXT = CallContext(item="i1", message_id="x")
ASK = ChatRequest(model="m", messages=(Message(speaker="user", text="q"),), context=CONTEXT)
RECORDINGS = {
    RecordingKey(item="i1", model="m"): Recording(text="four", cost_usd=0.25, latency_s=100.0),
    RecordingKey(item="i1", model="n"): Recording(text="five"),
}


def replay(request, on_delta=None):
    pool = replay_pool(RECORDINGS)

    async def main():
        async with pool:
            began = anyio.current_time()
            reply = await pool.chat(request, on_delta)
            return reply, anyio.current_time() - began

    reply, took = clock.run(main, virtual=pool.virtual_time)
    return reply, took, pool.usage(reply)


def test_a_recorded_answer_comes_back_with_its_cost_and_latency():
    heard = []
    reply, took, usage = replay(ASK, lambda delta: heard.append(delta.text))
    assert (reply.text, reply.latency_s, took, heard) == ("four", 100.0, 100.0, ["four"])
    assert usage.cost_usd == 0.25
    assert usage.prompt_tokens is None


def test_a_cost_that_nobody_recorded_is_unknown():
    assert replay(replace(ASK, model="n"))[2].cost_usd is None
    assert replay_pool(RECORDINGS).without_price() == ("n",)


@pytest.mark.parametrize(
    "request_",
    [
        replace(ASK, context=None),
        replace(ASK, context=replace(CONTEXT, item="i2")),
        replace(ASK, context=replace(CONTEXT, round=1)),
        replace(ASK, context=replace(CONTEXT, kind="decider")),
        replace(ASK, context=replace(CONTEXT, kind="revise")),
        replace(ASK, context=replace(CONTEXT, read=("y",))),
        replace(ASK, tools=(ToolSpec(name="f", description="", parameters={}),)),
    ],
    ids=["no context", "unknown item", "later round", "decider", "revision", "read something", "tools"],
)
def test_what_nobody_recorded_is_a_final_failure(request_):
    with pytest.raises(NoRecording) as caught:
        replay(request_)
    assert (caught.value.kind, caught.value.retryable) == ("no_recording", False)


@pytest.mark.parametrize(("limit", "answers"), [(0.25, 1), (0.49, 1), (0.5, 2)])
def test_a_limit_holds_what_was_recorded_as_the_most_that_an_answer_costs(limit, answers):
    pool, ledger = replay_pool(RECORDINGS), Ledger(limit)

    async def main():
        async with pool:
            for _ in range(answers):
                await pool.chat(replace(ASK, meter=Meter(pool.card("m"), ledger)))
            with pytest.raises(LimitReached):
                await pool.chat(replace(ASK, meter=Meter(pool.card("m"), ledger)))

    clock.run(main, virtual=pool.virtual_time)
    assert ledger.spent == Spent(usd=0.25 * answers)


@pytest.mark.parametrize(
    ("request_", "error"),
    [(replace(ASK, model="n"), LimitReached), (replace(ASK, context=replace(CONTEXT, item="i2")), NoRecording)],
    ids=["a cost that nobody recorded", "nothing to replay"],
)
def test_with_a_limit_an_unknown_cost_is_refused_and_a_missing_answer_is_free(request_, error):
    pool, ledger = replay_pool(RECORDINGS), Ledger(1.0)

    async def main():
        async with pool:
            with pytest.raises(error):
                await pool.chat(replace(request_, meter=Meter(pool.card(request_.model), ledger)))

    clock.run(main, virtual=pool.virtual_time)
    assert ledger.spent == Spent()
