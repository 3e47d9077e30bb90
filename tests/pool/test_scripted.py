import pytest

from mar import clock
from mar.errors import RateLimited
from mar.pool import scripted_pool
from mar.types import ChatReply, ChatRequest, Message

ASK = ChatRequest(model="b", messages=(Message(speaker="user", text="one two three"),))


def chat(fn, on_delta=None, **kwargs):
    pool = scripted_pool(fn, **kwargs)

    async def main():
        async with pool:
            return await pool.chat(ASK, on_delta)

    return clock.run(main, virtual=True), pool


def test_a_function_answers_and_is_counted():
    reply, pool = chat(lambda request: f"{request.model} says hi")
    assert (reply.text, pool.model.calls, pool.model.requests) == ("b says hi", 1, [ASK])
    # 3 prompt words at 1 and 3 answer words at 2 USD per million
    assert pool.usage(reply).cost_usd == pytest.approx(9e-6)


def test_an_async_function_or_a_whole_reply_will_do():
    async def later(request):
        return ChatReply(text="x", model=request.model, latency_s=7)

    assert chat(later)[0].latency_s == 7


def test_errors_of_the_function_are_the_calls():
    def fail(request):
        raise RateLimited("no")

    with pytest.raises(RateLimited):
        chat(fail)


def test_a_fixed_latency_passes_on_the_loops_clock_and_text_is_streamed():
    heard = []
    reply, _ = chat(lambda _: "x", lambda delta: heard.append(delta.text), latency_s=3600)
    assert (reply.latency_s, heard) == (3600, ["x"])


def test_prices_can_be_unknown():
    reply, pool = chat(lambda _: "x", price_in=None, price_out=None)
    assert pool.usage(reply).cost_usd is None
    assert pool.without_price() == ("a", "b")
