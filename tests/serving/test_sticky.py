"""A conversation stays with the model that answered it last, where the plan is of one agent and has it, too."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import anyio
import pytest

from mar.controllers.base import Planned
from mar.pool import scripted_pool
from mar.serving.state import Places, State
from mar.types import AgentSpec, ModeSpec, Plan
from tests.asking import served

pytestmark = pytest.mark.anyio


def single(model):
    return Plan(mode=ModeSpec(name="IO"), domain="Commonsense", agents=(AgentSpec(role="Assistant", model=model),))


class Turning:
    """Chooses a for first questions and b for others."""

    name = "turning"

    def __init__(self, *, alternatives=True) -> None:
        self.alternatives = alternatives

    def plan(self, queries, space):
        return [self._planned("b" if query.history else "a") for query in queries]

    def _planned(self, model):
        other = {"a": "b", "b": "a"}[model]
        return Planned(plan=single(model), alternatives=(other,) if self.alternatives else ())


FIRST = [{"role": "user", "content": "What is a prime?"}]
SECOND = [*FIRST, {"role": "assistant", "content": "A number."}, {"role": "user", "content": "Is 7 one?"}]


async def models(gateway, messages, **body):
    reply = await gateway.post(model="mar/turning", messages=messages, **body)
    assert reply.status_code == 200, reply.text
    return reply.headers["x-mar-models"]


async def until_noted(place):
    """Until the first answer is on the shelf, which nobody waits for."""
    with anyio.fail_after(60), closing(sqlite3.connect(place)) as db:
        while not db.execute("SELECT count(*) FROM mar_shelf").fetchone()[0]:  # noqa: ASYNC110 - by another task
            await anyio.sleep(0.01)


async def conversation(tmp_path, controller, **settings):
    """Who answers the second turn, asked of another worker than the first."""
    places = Places(store=str(tmp_path / "g.sqlite"))
    made = {"mar/turning": controller}
    async with (
        served(scripted_pool(lambda _: "x"), made, state=State(places), **settings) as one,
        served(scripted_pool(lambda _: "x"), made, state=State(places), **settings) as two,
    ):
        assert await models(one, FIRST) == "a"
        if settings:
            await until_noted(places.limits_place)
        return await models(two, SECOND)


async def test_a_later_turn_stays_with_the_model_of_the_turn_before_in_every_worker(tmp_path):
    assert await conversation(tmp_path, Turning(), sticky_seconds=60.0) == "a"


async def test_controllers_choose_anew_unless_conversations_are_told_to_stay(tmp_path):
    assert await conversation(tmp_path, Turning()) == "b"


async def test_a_controller_that_has_no_such_alternative_is_left_alone(tmp_path):
    assert await conversation(tmp_path, Turning(alternatives=False), sticky_seconds=60.0) == "b"


async def test_a_model_that_may_not_answer_is_not_stayed_with(tmp_path):
    places, made = Places(store=str(tmp_path / "g.sqlite")), {"mar/turning": Turning()}
    async with served(scripted_pool(lambda _: "x"), made, state=State(places), sticky_seconds=60.0) as gateway:
        assert await models(gateway, FIRST) == "a"
        await until_noted(places.limits_place)
        assert await models(gateway, SECOND, mar={"deny": ["a"]}) == "b"


async def test_another_conversation_and_another_user_begin_anew(tmp_path):
    places, made = Places(store=str(tmp_path / "g.sqlite")), {"mar/turning": Turning()}
    async with served(scripted_pool(lambda _: "x"), made, state=State(places), sticky_seconds=60.0) as gateway:
        assert await models(gateway, FIRST, user="ann") == "a"
        await until_noted(places.limits_place)
        assert await models(gateway, SECOND, user="bob") == "b"
        assert await models(gateway, SECOND, user="ann") == "a"


async def test_why_it_stayed_is_among_the_reasons(tmp_path):
    places, made = Places(store=str(tmp_path / "g.sqlite")), {"mar/turning": Turning()}
    async with served(scripted_pool(lambda _: "x"), made, state=State(places), sticky_seconds=60.0) as gateway:
        await models(gateway, FIRST)
        await until_noted(places.limits_place)
        reply = await gateway.post(model="mar/turning", messages=SECOND, mar={"explain": True})
    why = reply.json()["mar"]["why"]["stays"]
    assert why == "stays with a, which answered this conversation last; b would be chosen"
