"""Learning a mind: what training questions cost, what is learned from them, and that it is what made the answers."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from mar import clock
from mar.controllers import PlanSpace
from mar.controllers.embeddings import HashEncoder
from mar.controllers.sequential import Asked, Call, Sequential, Terms
from mar.controllers.sequential.habits import Habits, Heard, sureness
from mar.learning.progress import Progress
from mar.learning.rollouts import Rollouts
from mar.learning.sequential import Gathering, learn_mind, learn_minds
from mar.pool.cards import ModelCard
from mar.runtime import PromptLibrary, Runtime
from mar.tasks.scoring.formats import Choice, Number
from tests.learning.toy import PRICES, ToyTask, toy_pool

ENCODER = HashEncoder(16)
QUIET = Progress()


def in_toy_world(work, **options):
    """What `work` gives, with a gathering on the toy's pool."""

    async def main():
        async with toy_pool() as pool:
            runtime = Runtime(pool)
            rollouts = Rollouts(runtime=runtime, task=ToyTask(), sandbox=None)
            cards = PlanSpace.of(pool, PromptLibrary.load()).cards
            return await work(Gathering(rollouts=rollouts, cards=cards, progress=QUIET, **options))

    return clock.run(main, virtual=True)


def gathered(**options):
    async def work(gathering):
        return await gathering.gather(gathering.affordable(ToyTask().items("train")))

    return in_toy_world(work, **options)


def test_every_model_is_asked_every_question_once_and_every_message_is_graded():
    asked = gathered(readers=1)

    assert len(asked) == 24
    for question in asked:
        alone = [c for c in question.calls if not c.read]
        assert sorted(c.model for c in alone) == sorted(PRICES)
        assert len(question.calls) == len(PRICES) + 1
        assert all(c.quality == float(c.model != "bad") for c in question.calls)


def test_questions_are_asked_only_as_long_as_calls_are_left():
    asked = gathered(most_calls=20, readers=1)

    assert sum(len(q.calls) for q in asked) == 20
    assert len(asked) == 5


def test_the_same_seed_asks_the_same():
    assert gathered(seed=3) == gathered(seed=3)


def test_a_mind_learns_who_is_good_and_the_controller_asks_the_cheap_one_of_these():
    asked = gathered()
    cards = [ModelCard(name=n, price_in=p, price_out=p) for n, p in PRICES.items()]

    mind = learn_mind(asked, cards, "Math", ENCODER, topics=0)

    skill = dict(zip(mind.beliefs.models, mind.beliefs.theta.tolist(), strict=True))
    assert skill["good"] > skill["bad"] + 3
    assert mind.habits.written == pytest.approx([500.0] * 3)

    async def play(gathering):
        controller = Sequential([mind], ENCODER, Terms(cost_rate=20.0), domain="Math")
        task, space = ToyTask(), PlanSpace.of(gathering.rollouts.runtime.pool, PromptLibrary.load())
        query = task.query(task.items("test")[0])
        (planned,) = controller.plan([query], space)
        return await gathering.rollouts.runtime.run(query, planned.how)

    episode = in_toy_world(play)
    assert [c.model for c in episode.calls()] == ["good"]
    assert episode.answer == "solved"


# Answers that a known model of answers made ----------------------------------------------------------------------

SKILLS = {"a": 3.0, "b": 0.5, "c": -1.0, "d": 2.0, "e": 1.5}


def world(questions, *, graded=True, options=4, seed=0, domain=None):
    """Questions whose answers are drawn: who knows says A, who does not the popular B (half the time) or guesses."""
    rng = random.Random(seed)
    found = []
    for _ in range(questions):
        difficulty = rng.gauss(0, 1.5)
        calls = []
        for model, skill in SKILLS.items():
            knows = rng.random() < 1 / (1 + np.exp(-(skill - difficulty + rng.gauss(0, 0.5))))
            answer = "A" if knows else "B" if rng.random() < 0.5 else rng.choice("ABCD"[:options])
            calls.append(
                Call(
                    message_id=model,
                    model=model,
                    strategy=None,
                    answer=answer,
                    quality=float(answer == "A") if graded else None,
                )
            )
        form = Choice(options=tuple("abcd"[:options]))
        found.append(
            Asked(text="-", domain=domain, form="options", options=options, calls=tuple(calls), equivalent=form)
        )
    return found


CARDS = [ModelCard(name=n) for n in SKILLS]


def test_skills_are_recovered_in_their_order_from_graded_answers():
    mind = learn_mind(world(150), CARDS, "Commonsense", ENCODER, topics=0)

    theta = dict(zip(mind.beliefs.models, mind.beliefs.theta.tolist(), strict=True))
    assert theta["a"] > theta["b"] > theta["c"]


def test_without_any_grade_agreement_tells_the_best_model():
    mind = learn_mind(world(300, graded=False), CARDS, "Commonsense", ENCODER, topics=0)

    theta = dict(zip(mind.beliefs.models, mind.beliefs.theta.tolist(), strict=True))
    assert theta["a"] > theta["b"] > theta["c"]


def test_every_kind_of_question_gets_a_mind_of_its_own_where_there_are_enough_of_it():
    asked = [*world(40, domain="Math"), *world(20), *world(3, domain="Code")]

    minds = learn_minds(asked, CARDS, "Commonsense", ENCODER)

    assert [m.kind for m in minds] == ["Math/options", "Commonsense/options"]
    assert [m.kind for m in learn_minds(world(3), CARDS, "Code", ENCODER)] == ["Code/options"]
    assert [m.kind for m in learn_minds([], CARDS, "Code", ENCODER)] == ["Code/open"]


def test_nothing_asked_leaves_what_cards_state():
    mind = learn_mind([], CARDS, "Commonsense", ENCODER)

    assert mind.beliefs.theta.tolist() == mind.beliefs.level.tolist()


# Habits ------------------------------------------------------------------------------------------------------------


def heard(model=0, strategy=0, tokens=100, **more):
    fields = {"query_tokens": 10.0, "prompt_tokens": 60, "seconds": 1.0, "mean_logprob": None, "right": None}
    return Heard(**(fields | {"model": model, "strategy": strategy, "completion_tokens": tokens, "alone": True} | more))


def test_a_strategys_factor_is_apart_from_the_models_length():
    calls = [heard(m, s, 100 * (m + 1) * (0.5 if s else 1.0)) for m in (0, 1) for s in (0, 1) for _ in range(100)]

    habits = Habits.of(("x", "y"), (None, "Flash"), calls)

    assert habits.factor[1] == pytest.approx(0.5, abs=0.02)
    assert habits.written == pytest.approx([100.0, 200.0], rel=0.06)
    assert habits.overhead == 50.0


def test_who_sounds_surer_than_usual_is_believed_more_and_silence_says_nothing():
    rng = random.Random(0)
    calls = [
        heard(mean_logprob=-np.exp(-(rng.gauss(0, 0.3) + (0.6 if right else 0.0))), right=right)
        for right in (True, False)
        for _ in range(200)
    ]

    habits = Habits.of(("x",), (None,), calls)

    assert habits.telling == pytest.approx(2.0, abs=0.3)
    assert habits.surer(0, -0.3) > 0 > habits.surer(0, -1.2)
    assert habits.surer(0, None) == 0.0
    assert sureness(-1.0) == 0.0


def test_confidence_that_tells_nothing_is_not_asked_for():
    calls = [heard(mean_logprob=-0.5, right=i % 2 == 0) for i in range(100)]

    assert Habits.of(("x",), (None,), calls).telling == 0.0


def test_numbers_are_recognised_as_the_same_answer():
    calls = tuple(
        Call(message_id=m, model=m, strategy=None, answer=a, quality=1.0)
        for m, a in (("a", "42"), ("b", "42.0"), ("c", "41"))
    )
    asked = Asked(text="-", form="open", options=0, calls=calls, equivalent=Number())

    from mar.controllers.sequential.calls import Numbered

    assert Numbered.of(asked).said == (0, 0, 1)
    assert Numbered.of(replace(asked, calls=calls[:0])).said == ()
