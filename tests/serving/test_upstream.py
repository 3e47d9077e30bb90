"""A gateway before real sockets: what a server is sent, what comes back of its reply, who takes over when it fails."""

from __future__ import annotations

import asyncio
import json

import pytest

from mar.controllers.cards import Cards
from mar.errors import ConnectionLost, ServerDown
from mar.pool import ModelCard, Pool
from mar.pool.breaker import BreakerPolicy
from mar.pool.openai_client import OpenAIModel
from mar.pool.retry import RetryPolicy
from mar.serving.app import load_pool
from mar.serving.settings import Settings
from mar.serving.state import Places, State
from mar.testing.chat_server import ChatServer, ServedAnswer
from mar.types import ChatRequest
from tests.asking import HI, KEY, pool_on, served, streamed


def before(main, *servers, **fields):
    """What comes of asking a gateway before some servers."""

    async def asked():
        async with asyncio.timeout(60):
            for server in servers:
                await server.__aenter__()
            async with served(pool_on(*servers, **fields), {"mar": Cards()}) as gateway:
                return await main(gateway)

    return asyncio.run(asked())


def test_all_but_the_models_name_reaches_the_server_as_it_was_sent():
    body = {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi", "name": "bo"}],
        "top_k": 5,
        "stop": ["END"],
        "seed": 3,
        "logit_bias": {"5": 1},
        "future_field": {"deep": [1, None]},
    }
    server = ChatServer()

    async def main(gateway):
        return await gateway.post(model="mar", mar={"seed": 5}, **body)

    reply = before(main, server)
    sent = dict(server.requests[0].body)
    assert sent.pop("model") == "m0"
    assert sent.pop("max_tokens") == 1024  # the card's, where a client sets no limit: what a call costs is bounded
    assert sent == body
    assert reply.json()["choices"][0]["message"]["content"] == "answer to hi"
    assert reply.json()["model"] == "mar"


def test_reasoning_streams_through_and_the_usage_of_the_server_is_told_once():
    server = ChatServer(answer=lambda r: ServedAnswer(text="so it is", reasoning="well well"))

    async def main(gateway):
        return await streamed(gateway, stream_options={"include_usage": True})

    text, chunks = before(main, server)
    assert text == "so it is"
    reasoning = [getattr(c.choices[0].delta, "reasoning_content", None) or "" for c in chunks if c.choices]
    assert "".join(reasoning) == "well well "
    assert [c.usage.completion_tokens for c in chunks if c.usage] == [5]
    assert len({c.id for c in chunks}) == 1


@pytest.mark.parametrize("fault", ["server_error", "rate_limited", "garbage", "closed", "bad_key"])
@pytest.mark.parametrize("stream", [False, True])
def test_whatever_a_server_does_before_its_first_piece_another_one_answers(fault, stream):
    ill, well = ChatServer(), ChatServer()
    ill.next_faults.extend([fault] * 9)

    async def main(gateway):
        if stream:
            return (await streamed(gateway))[0], None
        reply = await gateway.post(model="mar", messages=HI)
        return reply.json()["choices"][0]["message"]["content"], reply.headers["x-mar-models"]

    text, models = before(main, ill, well)
    assert text == "answer to hi"
    assert models in (None, "m0,m1")
    assert len(ill.requests) == len(well.requests) == 1


def test_a_stream_that_breaks_off_is_not_begun_again():
    breaks, other = ChatServer(answer=lambda r: "one two three"), ChatServer()
    breaks.next_faults.extend(["truncated"])

    async def main(gateway):
        reply = await gateway.post(model="mar", messages=HI, stream=True)
        return reply.text, await gateway.kept.next()

    text, entry = before(main, breaks, other)
    events = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: {")]
    assert events[0]["choices"][0]["delta"]["content"] == "one "
    assert "the answer broke off" in events[-1]["error"]["message"]
    assert "[DONE]" not in text
    assert not other.requests
    assert entry.status == 502
    assert entry.usage.uncertain_usd > 0


def test_keys_of_servers_are_found_in_nothing_that_a_client_can_see(capsys):
    server = ChatServer(key="another")  # it repeats the key that it refuses

    async def main(gateway):
        reply = await gateway.post(model="mar", messages=HI)
        whole = await gateway.post(model="m0", messages=HI, stream=True)
        episode = await gateway.http.get(f"/v1/episodes/{reply.headers['x-mar-episode']}")
        figures = await gateway.http.get("/metrics")
        return [r.text + str(r.headers) for r in (reply, whole, episode, figures)]

    told = before(main, server)
    printed = capsys.readouterr()
    assert KEY[3:] not in "".join([*told, printed.out, printed.err])
    assert "502" in told[2]


def test_a_gateways_own_pool_leaves_ill_servers_alone_as_it_is_told(tmp_path):
    (tmp_path / "pool.toml").write_text('[[models]]\nname = "ill"\nbase_url = "http://127.0.0.1:9/v1"\n')
    settings = Settings(pool=str(tmp_path / "pool.toml"), breaker=BreakerPolicy(failures=1))

    async def asked():
        request = ChatRequest(model="ill", messages=(), longest_wait_s=0.0)
        async with load_pool(settings) as pool:
            with pytest.raises(ConnectionLost):
                await pool.chat(request)
            with pytest.raises(ServerDown):
                await pool.chat(request)
            return pool.telemetry()["ill"].circuit

    assert asyncio.run(asked()) == "open"


@pytest.mark.parametrize("model", ["m0", "mar"])
def test_how_long_a_server_asks_to_be_left_alone_is_passed_on_rounded_up(model):
    server = ChatServer(retry_after_s=7.2)
    server.next_faults.append("rate_limited_with_wait")

    async def main(gateway):
        return await gateway.post(model=model, messages=HI)

    reply = before(main, server)
    assert reply.status_code == 429
    assert reply.headers["retry-after"] == "8"


def test_what_the_response_cache_answers_says_so_whole_and_streamed(tmp_path):
    server = ChatServer()

    async def asked():
        state = State(Places(store=str(tmp_path / "g.sqlite")))
        async with (
            asyncio.timeout(60),
            server,
            served(pool_on(server), state=state, cache={"seconds": 60.0}) as gateway,
        ):
            return [await gateway.post(model="mar", messages=HI, stream=s) for s in (False, False, True, True)]

    replies = asyncio.run(asked())
    assert [r.headers["x-mar-cache"] for r in replies] == ["miss", "hit", "miss", "hit"]
    assert [r.json()["mar"]["cache"] for r in replies[:2]] == ["miss", "hit"]
    assert len(server.requests) == 2  # of each form, whole and streamed, one


def test_without_the_cache_nothing_is_said_of_it():
    async def main(gateway):
        return await gateway.post(model="mar", messages=HI)

    assert "x-mar-cache" not in before(main, ChatServer()).headers


def test_figures_say_whose_server_is_left_alone():
    server = ChatServer()
    server.next_faults.append("server_error")

    async def asked():
        async with asyncio.timeout(60), server:
            cards = [ModelCard(name="ill", base_url=server.base_url), ModelCard(name="well", base_url=server.base_url)]
            model = OpenAIModel(cards, {}, retry=RetryPolicy(attempts=1), breaker=BreakerPolicy(failures=1))
            async with served(Pool(cards, model, kind="live")) as gateway:
                await gateway.post(model="ill", messages=HI)
                return (await gateway.http.get("/metrics")).text.splitlines()

    figures = asyncio.run(asked())
    assert 'mar_circuit{model="ill"} 2.0' in figures
    assert 'mar_circuit{model="well"} 0.0' in figures
    assert "mar_records_dropped_total 0.0" in figures
