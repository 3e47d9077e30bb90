"""Topics: what an item is about, as its text tells it."""

from dataclasses import replace

import numpy as np
import pytest
from sim_worlds import number_item, profile

from mar import clock
from mar.controllers.embeddings import HashEncoder
from mar.errors import InternalError
from mar.evaluation.session import Session
from mar.learning.progress import Progress
from mar.pool.simulated import DEFAULT, SimulatedModel, World
from mar.pool.simulated.skill import Skills
from mar.pool.simulated.topics import ENCODER, topic_maps, with_topics
from mar.tasks.registry import load_task


class StandIn(HashEncoder):
    """Hash vectors under the real encoder's name."""

    name = ENCODER


TEXTS = {"a": "one", "b": "two"}
WORLD = World.of({i: number_item(0.5) for i in TEXTS})


def test_every_benchmark_has_a_map_as_wide_as_its_loadings():
    assert set(topic_maps()) == set(DEFAULT.topics) == set(DEFAULT.spreads)
    for name, found in topic_maps().items():
        assert found.weights.shape == (384, 1 + len(DEFAULT.topics[name].loadings))


def test_a_text_shifts_difficulty_and_gives_topics():
    placed = with_topics(WORLD, TEXTS, StandIn())
    coordinates = topic_maps()["gsm8k"](HashEncoder().encode(["one"]))[0].round(3)
    share = DEFAULT.topics["gsm8k"].difficulty
    assert placed.items["a"].topic == tuple(coordinates[1:])
    assert placed.items["a"].difficulty == pytest.approx(share * coordinates[0] + (1 - share**2) ** 0.5 * 0.5)


def test_another_encoder_tells_nothing_and_neither_does_a_benchmark_without_a_map():
    assert with_topics(WORLD, TEXTS, HashEncoder()) is WORLD
    own = World.of({"a": replace(number_item(), benchmark="mine")})
    assert with_topics(own, TEXTS, StandIn()) is own


def test_topics_are_given_once():
    with pytest.raises(InternalError):
        with_topics(with_topics(WORLD, TEXTS, StandIn()), TEXTS, StandIn())


def test_loadings_decide_who_is_better_at_what_and_leave_the_variance_as_it_is():
    good = replace(profile(), loadings={"gsm8k": (1.0, 0, 0, 0, 0, 0)})
    bad = replace(profile(), loadings={"gsm8k": (-1.0, 0, 0, 0, 0, 0)})
    skills = Skills({"good": good, "bad": bad}, DEFAULT, 0)
    about = replace(number_item(), topic=(3.0, 0, 0, 0, 0, 0))
    apart = [skills.logit("good", f"q{k}", about) - skills.logit("bad", f"q{k}", about) for k in range(400)]
    assert np.mean(apart) == pytest.approx(6.0, abs=0.5)
    told = [
        skills.logit("good", f"q{k}", replace(about, topic=tuple(np.random.default_rng(k).normal(size=6))))
        for k in range(2000)
    ]
    plain = [skills.logit("good", f"q{k}", number_item()) for k in range(2000)]
    assert np.std(told) == pytest.approx(np.std(plain), rel=0.08)


def test_what_a_session_asks_has_topics():
    task = load_task("gsm8k")
    items = list(task.items("train"))[:3]
    session = Session(task=task, items=items, pool="simulated", progress=Progress(quiet=True), encoder=StandIn())

    async def main() -> World:
        async with session.open() as rollouts:
            model = rollouts.runtime.pool.model
            assert isinstance(model, SimulatedModel)
            return model.world

    world = clock.run(main, virtual=True)
    assert [len(item.topic) for item in world.items.values()] == [6, 6, 6]
