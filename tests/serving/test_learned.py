"""Learned controllers behind the gateway, asked by the official client: CASCAL from its checkpoint, GMT by user."""

from __future__ import annotations

import pytest

from mar.api import load_controller
from mar.controllers.cascal import CascalModel
from mar.controllers.cascal.artefacts import save_model
from mar.controllers.cascal.skills import train_skills
from mar.controllers.embeddings import HashEncoder
from mar.controllers.gmt import GmtRouter, InteractionStore
from mar.pool import scripted_pool
from tests.asking import HI, served, streamed
from tests.controllers.cascal_worlds import crowd

pytestmark = pytest.mark.anyio


@pytest.fixture
def cascal(tmp_path):
    """Trained on answers of three models, of which c is right most often; loaded from its file."""
    answers, truth = crowd([0.1, 0.6, 0.95], "xyz", questions=60)
    encoder, scores = HashEncoder(8), (answers.choices == truth[:, None]).astype(float)
    skills = train_skills(answers, scores, ["all"] * 60, encoder.encode(answers.questions))
    save_model(tmp_path / "cascal.safetensors", CascalModel(learned=skills, encoder=encoder.name))
    return load_controller(tmp_path / "cascal.safetensors", encoder=encoder)


async def test_cascal_answers_as_mar_cascal_whole_and_streamed(cascal):
    pool = scripted_pool(lambda request: f"{request.model} says 42", ("a", "b", "c"))
    async with served(pool, {"mar/cascal": cascal}) as gateway:
        reply = await gateway.client.chat.completions.create(
            model="mar/cascal", messages=HI, extra_body={"mar": {"explain": True}}
        )
        text, _ = await streamed(gateway, model="mar/cascal")
    assert reply.choices[0].message.content == text == "c says 42"
    assert reply.mar["controller"] == "CASCAL top-1"
    assert reply.mar["why"]["subject"] == "all"


async def test_cascal_falls_back_on_its_own_second_where_its_first_may_not_answer(cascal):
    pool = scripted_pool(lambda request: request.model, ("a", "b", "c"))
    async with served(pool, {"mar/cascal": cascal}) as gateway:
        reply = await gateway.client.chat.completions.create(
            model="mar/cascal", messages=HI, extra_body={"mar": {"deny": ["c"]}}
        )
    assert reply.choices[0].message.content == "b"


async def test_gmt_answers_as_mar_gmt_and_knows_its_user_from_the_field_user(tmp_path):
    store = InteractionStore(tmp_path / "said.sqlite")
    number = store.record("ann", conversation="c", turn=0, model="b", opening="q", query="q", response="x")
    store.rate(number, 1.0)
    pool = scripted_pool(lambda request: request.model, ("a", "b"))
    async with served(pool, {"mar/gmt": GmtRouter(store, HashEncoder(8), exploration="none")}) as gateway:
        said = {
            user: (await gateway.client.chat.completions.create(model="mar/gmt", messages=HI, user=user))
            for user in ("ann", "bob")
        }
    assert {user: reply.choices[0].message.content for user, reply in said.items()} == {"ann": "b", "bob": "a"}
    store.close()
