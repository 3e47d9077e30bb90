"""What applications get of a controller: the cards where it knows nothing, and plans that end well."""

from dataclasses import replace

import pytest
import torch

from mar.controllers.base import Planned, PlanSpace
from mar.controllers.belief.topics import Topics
from mar.controllers.cards import CardsPolicy
from mar.controllers.careful import FALLBACK, plan_carefully, pool_doubt
from mar.controllers.sequential import Mind, Sequential, Terms
from mar.pool.cards import ModelCard
from mar.runtime import PromptLibrary
from mar.tasks.scoring.formats import Number
from mar.types import AgentSpec, ModeSpec, Plan, Query

CARDS = tuple(ModelCard(name=n, price_in=1.0, price_out=1.0) for n in ("a", "b"))
PROMPTS = PromptLibrary.load()


class OneWay:
    """An encoder: texts about apples point one way, all others across."""

    name, width = "one way", 4

    def encode(self, texts):
        return torch.tensor([[1.0, 0, 0, 0] if "apple" in t else [0, 1.0, 0, 0] for t in texts]).numpy()


def sequential(models=CARDS, **topics):
    seen = Topics(mean=torch.tensor([1.0, 0, 0, 0]), directions=torch.zeros(4, 0), edge=0.5, middle=0.9)
    mind = Mind.vague(models, "Math", "open", strategies=(None,), embedding=4)
    return Sequential([replace(mind, topics=replace(seen, **topics))], OneWay(), Terms(cost_rate=10.0))


def planned(controller, *texts, cards=CARDS, **query):
    space = PlanSpace(cards=cards, prompts=PROMPTS)
    return plan_carefully(controller, [Query(text=t, **query) for t in texts], space)


def test_a_question_far_from_all_that_was_learned_is_answered_by_card_and_the_others_are_not():
    near, far = planned(sequential(), "How many apples?", "hi", answer_format=Number())
    assert FALLBACK not in near.notes
    assert far.notes[FALLBACK] == "sequential does not decide: the question is far from those that it learned from"
    policy = far.policy()
    assert isinstance(policy, CardsPolicy)
    assert policy.because == far.notes[FALLBACK]


def test_answers_of_another_form_have_to_be_nearer():
    assert FALLBACK not in planned(sequential(middle=0.99), "How many apples?")[0].notes
    assert FALLBACK in planned(sequential(middle=1.1), "How many apples?")[0].notes
    assert FALLBACK not in planned(sequential(middle=1.1), "How many apples?", answer_format=Number())[0].notes


def test_a_domain_that_it_learned_nothing_of_is_left_to_the_cards():
    assert FALLBACK in planned(sequential(), "How many apples?", domain="Code")[0].notes


def test_where_nothing_is_known_of_the_texts_none_is_far():
    nowhere = Sequential(
        [Mind.vague(CARDS, "Math", "open", strategies=(None,), embedding=4)], OneWay(), Terms(cost_rate=10.0)
    )
    assert FALLBACK not in planned(nowhere, "hi")[0].notes


def test_a_pool_of_models_that_it_never_met_and_whose_cards_say_nothing_is_left_to_the_cards():
    new = tuple(ModelCard(name=n, price_in=1.0, price_out=1.0) for n in ("x", "y"))
    note = planned(sequential(), "How many apples?", cards=new, answer_format=Number())[0].notes[FALLBACK]
    assert note.endswith("it never met x, y, and the cards state no benchmark")
    stated = tuple(c.model_copy(update={"description": "Scores 80 on GSM8K."}) for c in new)
    assert FALLBACK not in planned(sequential(), "How many apples?", cards=stated, answer_format=Number())[0].notes


@pytest.mark.parametrize(
    ("unpriced", "doubted"), [(("a", "b"), True), (("a",), False)], ids=["no price is known", "half are"]
)
def test_unknown_prices_are_a_doubt_of_who_weighs_money(unpriced, doubted):
    cards = tuple(ModelCard(name=c.name) if c.name in unpriced else c for c in CARDS)
    assert bool(pool_doubt(cards, ["a", "b"], priced=True)) is doubted
    assert not pool_doubt(cards, ["a", "b"], priced=False)


class Planner:
    """Always the same plan; it has no doubts."""

    name, as_published = "planner", False

    def __init__(self, plan):
        self.fixed = plan

    def doubts(self, queries, space):
        return [""] * len(queries)

    def plan(self, queries, space):
        return [Planned(plan=self.fixed) for _ in queries]


def test_a_plan_needs_no_decider_where_most_agree_and_else_takes_the_best_of_its_models():
    strong = ModelCard(name="strong", description="Scores 90 on GSM8K.")
    weak = ModelCard(name="weak", description="Scores 70 on GSM8K.")
    agents = tuple(AgentSpec(role="MathSolver", model=m) for m in ("weak", "weak", "strong"))
    plan = Plan(mode=ModeSpec(name="IO"), domain="Math", agents=agents)
    made = planned(Planner(plan), "q", cards=(weak, strong))[0].plan
    assert (made.decision, made.decider) == ("agreed", "strong")
    published = Planner(plan)
    published.as_published = True
    assert planned(published, "q", cards=(weak, strong))[0].plan == plan
