"""Evolving who is asked: what it costs, that it is repeatable, and that it learns."""

from __future__ import annotations

import numpy as np

from mar import clock
from mar.controllers import PlanSpace
from mar.controllers.embeddings import HashEncoder
from mar.learning.progress import Progress
from mar.learning.rollouts import Job, Rollouts
from mar.learning.trinity import Evolution
from mar.runtime import PromptLibrary, RunIdentity, Runtime
from tests.learning.toy import ToyTask, toy_pool


def evolved(**options):
    """The evolution, its controller, and the mean utility of that on test questions."""

    async def main():
        async with toy_pool() as pool:
            rollouts = Rollouts(runtime=Runtime(pool), task=ToyTask(), sandbox=None)
            space = PlanSpace.of(pool, PromptLibrary.load())
            evolution = Evolution(
                rollouts=rollouts, space=space, encoder=HashEncoder(16), progress=Progress(quiet=True), **options
            )
            controller = await evolution.evolve(ToyTask().items("train"))
            items = ToyTask().items("test")
            planned = controller.plan([ToyTask().query(i) for i in items], space)
            jobs = [Job(item=i, how=p.how, identity=RunIdentity()) for i, p in zip(items, planned, strict=True)]
            worth = [o.utility(evolution.cost_rate) for o in await rollouts.run(jobs)]
            return evolution, controller, float(np.mean(worth))

    return clock.run(main, virtual=True)


def test_it_learns_to_ask_a_good_model_and_keeps_to_its_calls():
    # One call of `good` costs 0.001 USD, of `dear` 0.1: at 5 a USD, 0.995 for one good call and 0.5 for one dear.
    evolution, _, worth = evolved(cost_rate=5.0, most_calls=1500, questions=3)

    assert 1000 < evolution.calls <= 1500
    assert worth > 0.9


def test_the_same_seed_evolves_the_same_head_and_leaves_numpys_own_draws_alone():
    np.random.seed(7)
    expected = np.random.random()
    np.random.seed(7)
    once, again, other = (evolved(cost_rate=5.0, most_calls=300, questions=1, seed=s)[1] for s in (0, 0, 1))

    assert np.random.random() == expected
    assert (once.head.weights == again.head.weights).all()
    assert (once.head.weights != other.head.weights).any()


def test_where_no_generation_is_affordable_no_call_is_made():
    evolution, controller, _ = evolved(cost_rate=5.0, most_calls=20)

    assert evolution.calls == 0
    assert not controller.head.weights.any()
