"""Vectors of texts, passed on to a server of the pool."""

from __future__ import annotations

import openai
import pytest

from mar.errors import ServerFault
from mar.pool import ModelCard, Pool
from mar.types import ChatReply
from tests.asking import HI, ask

REPLY = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.5]}], "model": "theirs"}


class Vectors:
    """A server that makes vectors."""

    def __init__(self, error=None):
        self.error, self.bodies = error, []

    async def embed(self, request):
        self.bodies.append(request.verbatim)
        if self.error is not None:
            raise self.error("it is ill")
        usage = {"usage": {"prompt_tokens": 2, "total_tokens": 2}}
        return ChatReply(text="", model="v", prompt_tokens=2, completion_tokens=0, verbatim=REPLY | usage)


def pool_of(**how):
    cards = [ModelCard(name="a"), ModelCard(name="v", embeddings=True, price_in=1.0, price_out=0.0)]
    return Pool(cards, Vectors(**how), kind="scripted")


def test_a_request_is_passed_on_and_its_cost_is_told():
    async def main(gateway):
        raw = await gateway.client.embeddings.with_raw_response.create(
            model="v", input="hi", encoding_format="float", dimensions=2
        )
        return raw.parse(), raw.headers, await gateway.kept.next(), [m.id async for m in gateway.client.models.list()]

    pool = pool_of()
    found, headers, entry, models = ask(pool, main)
    assert found.data[0].embedding == [0.5, -0.5]
    assert found.model == "v"
    assert pool.model.bodies == [{"input": "hi", "encoding_format": "float", "dimensions": 2}]
    assert headers["x-mar-cost-usd"] == "0.000002"
    assert (entry.usage.cost_usd, entry.label) == (2e-6, "embeddings")
    assert models == ["mar", "a", "v"]


def test_who_makes_no_vectors_and_who_makes_no_answers_are_told_apart():
    async def main(gateway):
        vectors = await gateway.post("/v1/embeddings", model="a", input="hi")
        answer = await gateway.post(model="v", messages=HI)
        return vectors, answer, await gateway.post("/v1/embeddings", model="v")

    vectors, answer, missing = ask(pool_of(), main)
    assert (vectors.status_code, answer.status_code, missing.status_code) == (404, 404, 400)
    assert "of this pool do: v" in vectors.json()["error"]["message"]


def test_a_server_that_fails_is_told_as_everywhere():
    async def main(gateway):
        with pytest.raises(openai.InternalServerError) as caught:
            await gateway.client.embeddings.create(model="v", input="hi")
        return caught.value

    assert ask(pool_of(error=ServerFault), main).status_code == 502
