"""Vectors of texts: passed on to the server that makes them, limited, retried and paid for like answers."""

import json
from collections import deque

import anyio
import pytest
from pydantic import SecretStr

from mar.errors import BadReply, ConfigError, ServerFault
from mar.pool import CachedModel, FileReplies, ModelCard, Pool, WatchedModel, scripted_pool
from mar.pool.openai_client import OpenAIModel
from mar.pool.retry import RetryPolicy
from mar.pool.watcher import TelemetryWatcher
from mar.runtime.ledger import Ledger, Meter
from mar.testing.http import send
from mar.types import ChatRequest
from tests.pool.test_transport import each, served

KEY = "sk-canary-0123456789"
VECTORS = {"object": "list", "data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 3}, "note": KEY}


def embedded(replies, tmp_path, **fields):
    """What a pool says to one request whose server gives these replies, what it cost, and what the server heard."""
    heard, left = [], deque(replies)

    async def reply(request, writer):
        heard.append(request)
        status, body = left.popleft()
        await send(writer, status, body if isinstance(body, str) else json.dumps(body))

    async def main():
        async with served(each(reply)) as port:
            url = f"http://127.0.0.1:{port}/v1"
            cards = [
                ModelCard(name="e", served_name="real", base_url=url, embeddings=True, price_in=2.0, price_out=0.0),
                ModelCard(name="m", base_url=url),
            ]
            live = OpenAIModel(cards, {"e": SecretStr(KEY)}, retry=RetryPolicy(attempts=2, first_wait_s=0.001))
            replies = FileReplies(tmp_path / "c.sqlite")
            model = CachedModel(WatchedModel(live, TelemetryWatcher([])), replies, cards=cards)
            pool, ledger = Pool(cards, model, kind="live"), Ledger()
            body = {"model": "mine", "input": ["x"], **fields}
            request = ChatRequest(model="e", messages=(), verbatim=body, meter=Meter(cards[0], ledger))
            async with pool.restricted(allow=["m"]) as part:
                found = await part.embed(request)
            return found, part.usage(found), ledger.spent_usd

    return anyio.run(main), heard


def test_a_request_is_passed_on_as_it_is_and_the_reply_is_the_server_s_without_the_key(tmp_path):
    (found, usage, spent), (request,) = embedded([(200, VECTORS)], tmp_path, dimensions=1)
    assert request.path == "/v1/embeddings"
    assert json.loads(request.body) == {"model": "real", "input": ["x"], "dimensions": 1}
    assert found.verbatim == VECTORS | {"note": "[key]"}
    assert (usage.prompt_tokens, usage.cost_usd, spent) == (3, 6e-6, 6e-6)


def test_a_failed_try_is_repeated(tmp_path):
    (found, _, _), heard = embedded([(500, "ill"), (200, VECTORS)], tmp_path)
    assert (found.attempts, len(heard)) == (2, 2)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ((200, {"data": []}), BadReply),
        ((200, "{not json"), BadReply),
        ((200, {"error": {"message": "gone", "code": 502}}), ServerFault),
        ((503, "ill"), ServerFault),
    ],
)
def test_what_holds_no_vectors_is_a_failure(reply, kind, tmp_path):
    with pytest.raises(kind):
        embedded([reply] * 2, tmp_path)


def test_a_model_that_makes_vectors_is_in_no_plan_and_one_that_makes_none_is_named():
    cards = [ModelCard(name="m"), ModelCard(name="e", embeddings=True)]
    pool = Pool(cards, scripted_pool(lambda _: "x").model, kind="scripted")
    assert (pool.names, list(pool.embedders)) == (("m",), ["e"])

    async def embed(name):
        async with pool:
            await pool.embed(ChatRequest(model=name, messages=(), verbatim={"input": "x"}))

    with pytest.raises(ConfigError, match=r"'m' makes no vectors of texts; of this pool do: e"):
        anyio.run(embed, "m")
    with pytest.raises(ConfigError, match="'e' makes no vectors"):
        anyio.run(embed, "e")
    with pytest.raises(ConfigError, match="names model 'e' twice"):
        Pool([*cards, ModelCard(name="e")], pool.model, kind="scripted")
