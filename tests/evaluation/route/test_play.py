"""Controllers on calls that were made: what they answer and what they pay."""

from __future__ import annotations

from functools import partial

import pytest

from mar.controllers.base import Planned, PlanSpace
from mar.errors import InternalError
from mar.evaluation.route.play import play
from mar.runtime import PromptLibrary
from mar.types import AgentSpec, Move, Settle
from tests.evaluation.route.worlds import CARDS, calls

SPACE = PlanSpace(cards=CARDS, prompts=PromptLibrary.load(), alone=True, max_agents=3)
CHEAP, DEAR = 300 * 0.1e-6, 300 * 2.5e-6  # USD of 300 tokens


class Steps:
    """Asks models one after the other until one says `until`, and takes the last answer."""

    name, plan = "steps", None

    def __init__(self, models, until):
        self.models, self.until = models, until

    async def next(self, view):
        if view.messages and (view.answer(view.messages[-1]) == self.until or len(view.said) == len(self.models)):
            return Settle(how="chosen", messages=(view.messages[-1].id,))
        agent = AgentSpec(role="MathSolver", model=self.models[len(view.said)])
        return [Move(agent=agent, domain="Math", index=len(view.said))]


class Silent(Steps):
    async def next(self, view):
        return ()


class Always:
    name = "always"

    def __init__(self, make):
        self.make = make

    def plan(self, queries, space):
        return [Planned(policy=self.make) for _ in queries]


def test_a_policy_hears_what_was_said_and_pays_for_whom_it_asked():
    steps = Always(partial(Steps, ("sums", "dear"), until="1"))

    played = play(steps, calls([0, 1]), SPACE)  # question 0 is a sum, question 1 is not

    assert played.quality.tolist() == [1.0, 1.0]
    assert played.calls.tolist() == [1.0, 2.0]
    assert played.usd.tolist() == pytest.approx([CHEAP, CHEAP + DEAR])


def test_the_answer_that_is_settled_on_counts_and_not_the_best_one():
    steps = Always(partial(Steps, ("dear", "sums"), until="3"))
    assert play(steps, calls([1]), SPACE).quality.tolist() == [0.0]


def test_a_policy_that_does_nothing_is_an_error():
    with pytest.raises(InternalError, match="does not settle"):
        play(Always(partial(Silent, (), "")), calls([0]), SPACE)
