"""A share of the requests is answered otherwise, within bounds, and it is known with which probability."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager

import pytest
from pydantic import ValidationError

from mar.controllers.base import Planned
from mar.controllers.baselines import vote
from mar.pool import ModelCard, Pool, scripted_pool
from mar.pool.scripted import ScriptedModel
from mar.serving.admission import Visit
from mar.serving.exploring import OTHERS, drawn, weighed
from mar.serving.settings import ExploreSettings
from mar.types import AgentSpec, ModeSpec, Plan
from tests.asking import HI, ask

MANY = 40


class Guests:
    """Lets everybody in on the same terms."""

    open = True

    def __init__(self, **terms):
        self.terms = terms

    @asynccontextmanager
    async def visit(self, key, *, tokens):
        yield Visit(**self.terms)

    def holder(self, key):
        return None


class Knowing:
    """Plans for `a`, and knows what to expect of others."""

    name = "knowing"

    def __init__(self, right=None, usd=None, log_prob=None):
        self.expected = {"right": right or {}, "usd": usd or {}, "log_prob": log_prob}

    def plan(self, queries, space):
        plan = Plan(mode=ModeSpec(name="IO"), domain="Math", agents=(AgentSpec(role="Assistant", model="a"),))
        return [Planned(plan=plan, **self.expected) for _ in queries]


def entries(controller=None, *, many=MANY, names=("a", "b", "c"), terms=None, model="mar/x", **explore):
    """What is kept of requests."""

    async def main(gateway):
        replies = [await gateway.post(model=model, messages=HI) for _ in range(many)]
        assert {reply.status_code for reply in replies} == {200}
        headers = [reply.headers.get("x-mar-explored") for reply in replies]
        assert headers == ["true" if entry.explored else None for entry in gateway.kept.entries]
        return gateway.kept.entries

    controllers = {"mar/x": controller or Knowing()}
    pool = scripted_pool(lambda _: "x", names=names)
    return ask(pool, main, controllers, admission=Guests(**(terms or {})), explore={"share": 0.25, **explore})


def test_every_request_has_the_probabilities_of_all_that_could_have_been_drawn():
    found = entries()
    for entry in found:
        assert math.isclose(sum(arm.probability for arm in entry.arms), 1.0)
        assert {arm.name: arm.probability for arm in entry.arms} == {"a": 0.75, "b": 0.125, "c": 0.125}
        assert entry.arms[0].name == entry.models[0]
    assert any(entry.explored for entry in found)
    assert [entry.explored for entry in found] == [entry.models[0] != "a" for entry in found]


def test_who_knows_an_episodes_id_can_check_what_was_drawn():
    for entry in entries():
        assert drawn(entry.id, 0.25, ["c", "b"]) == (entry.models[0] if entry.explored else None)


def test_draws_have_the_stated_shares():
    found = [drawn(f"ep_{n}", 0.2, ["a", "b"]) for n in range(20_000)]
    for name, share in (("a", 0.1), ("b", 0.1), (None, 0.8)):
        error = 4 * math.sqrt(share * (1 - share) / 20_000)
        assert abs(found.count(name) / 20_000 - share) < error


def test_what_is_drawn_is_said_with_the_reason():
    one = next(entry for entry in entries() if entry.explored)
    assert one.why["explored"] == f"{one.models[0]} in place of IO(a), drawn to learn from: 25% of requests are"
    assert one.label == f"IO({one.models[0]})"
    assert one.controller == "knowing"


@pytest.mark.parametrize(
    "terms", [{"explore": False, "keep": "text"}, {"keep": "nothing"}], ids=["opted out", "nothing is logged"]
)
def test_keys_that_opt_out_or_log_nothing_are_answered_as_planned(terms):
    found = entries(terms=terms, share=0.5)
    assert {entry.models for entry in found} == {("a",)}
    assert {sum(arm.probability for arm in entry.arms) for entry in found} in ({1.0}, {0})
    assert all(arm.probability == (arm.name == "a") for entry in found for arm in entry.arms)


def test_models_that_are_expected_to_lose_or_to_cost_too_much_are_not_drawn():
    controller = Knowing(right={"a": 0.9, "b": 0.75, "c": 0.5}, usd={"a": 0.01, "b": 0.02, "c": 0.01})
    chances = [{arm.name: arm.probability for arm in e.arms} for e in entries(controller, many=3)]
    assert chances == [{"a": 0.75, "b": 0.25, "c": 0.0}] * 3
    found = entries(controller, many=3, max_usd=0.015)
    assert [{arm.name: arm.probability for arm in e.arms} for e in found] == [{"a": 1.0, "b": 0.0, "c": 0.0}] * 3
    assert {arm.name: (arm.right, arm.usd) for arm in found[0].arms}["b"] == (0.75, 0.02)


def test_a_controller_that_draws_its_plans_keeps_its_own_probabilities():
    found = entries(Knowing(log_prob=math.log(0.4)), many=3)
    chances = {arm.name: arm.probability for arm in found[0].arms}
    expected = {"a": 0.3, OTHERS: 0.45, "b": 0.125, "c": 0.125}  # 0.75 of 0.4 and of 0.6, and a quarter for two
    assert chances == pytest.approx(expected)


def test_a_team_is_one_arm_beside_the_models_alone():
    found = entries(vote(["a", "b", "c"], "Math"), many=20)
    plain = next(entry for entry in found if not entry.explored)
    drawn_one = next(entry for entry in found if entry.explored)
    assert plain.arms[0].name == plain.label
    assert len(plain.models) >= 1
    assert drawn_one.arms[0].name in ("a", "b", "c")
    assert drawn_one.usage.calls == 1


def test_a_model_that_is_asked_for_by_name_answers():
    found = entries(model="b", many=10, share=0.5)
    assert {entry.models for entry in found} == {("b",)}
    assert {entry.arms for entry in found} == {()}


def test_a_wish_for_what_an_answer_may_cost_bounds_what_is_drawn():
    cards = [ModelCard(name=n, price_in=p, price_out=p) for n, p in (("a", 1.0), ("b", 500.0))]
    pool = Pool(cards, ScriptedModel(lambda _: "x"), kind="scripted")

    async def main(gateway):
        for _ in range(10):
            await gateway.post(model="mar/x", messages=HI, mar={"max_usd": 0.01})
        return gateway.kept.entries

    found = ask(pool, main, {"mar/x": Knowing()}, explore={"share": 0.5})
    assert {entry.arms[0].probability for entry in found} == {1.0}


def believing(worth, best):
    """A worker that believes so."""
    from mar.traffic.beliefs import Belief

    return lambda self, asked: Belief(worth=worth, best=best)


def test_by_belief_a_model_is_drawn_as_probably_as_it_is_the_best(monkeypatch):
    worth, best = {"a": 0.6, "b": 0.58, "c": 0.4}, {"a": 0.4, "b": 0.4, "c": 0.2}
    monkeypatch.setattr("mar.serving.beliefs.Beliefs.of", believing(worth, best))
    found = entries(many=MANY, share=1.0, by="belief", max_loss=0.05)
    for entry in found:
        assert {arm.name: arm.probability for arm in entry.arms} == pytest.approx({"a": 0.5, "b": 0.5, "c": 0.0})
        assert entry.arms[0].name == entry.models[0]
    assert {entry.models[0] for entry in found} == {"a", "b"}


def test_by_belief_nothing_is_explored_before_anything_is_known():
    found = entries(many=8, share=1.0, by="belief")
    assert [{arm.name: arm.probability for arm in e.arms} for e in found] == [{"a": 1.0, "b": 0.0, "c": 0.0}] * 8


def test_draws_by_weight_have_the_stated_shares():
    chances = {"b": 0.3, "a": 0.1}
    found = [weighed(f"ep_{n}", chances) for n in range(20_000)]
    for name, share in (("a", 0.1), ("b", 0.3), (None, 0.6)):
        assert abs(found.count(name) / 20_000 - share) < 4 * math.sqrt(share * (1 - share) / 20_000)


def test_all_requests_explore_by_belief_alone():
    with pytest.raises(ValidationError, match=r"expected 0.5 at most where by is evenly"):
        ExploreSettings(share=0.6)
    assert ExploreSettings(share=1.0, by="belief").share == 1.0
