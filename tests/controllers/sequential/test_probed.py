"""A probed model among those that a mind knows."""

import math

import pytest

from mar.controllers.belief.probing import Estimate
from mar.controllers.sequential.mind import SCALE, Mind
from mar.controllers.sequential.probed import joined
from mar.errors import ConfigError
from mar.pool.cards import ModelCard

CARDS = (ModelCard(name="weak"), ModelCard(name="strong"))
NEW = ModelCard(name="new")
FOUND = Estimate(mean=0.8, low=0.7, high=0.9)


def minds():
    return [Mind.vague(CARDS, domain, "open", strategies=(None,), embedding=4) for domain in ("Math", "Commonsense")]


def test_its_skill_is_that_of_a_model_of_the_same_accuracy():
    math_mind, other = joined(minds(), NEW, "Math", FOUND, {"strong": 0.8, "elsewhere": 0.1})

    beliefs = math_mind.beliefs
    assert beliefs.models == ("weak", "strong", "new")
    assert float(beliefs.theta[2]) == pytest.approx(float(beliefs.theta[1]))
    # The interval's half width in log-odds: (ln 9 - ln(7/3)) / 2 = 0.6750; of skill, a standard deviation of 0.95.
    assert float(beliefs.doubt[2]) == pytest.approx(SCALE * 0.6750 / 1.96, rel=1e-3)
    assert other.beliefs.models == ("weak", "strong")


def test_better_ones_are_placed_above():
    mind, _ = joined(minds(), NEW, "Math", FOUND, {"strong": 0.6, "weak": 0.6})

    theta = mind.beliefs.theta
    assert float(theta[2] - theta[1]) == pytest.approx(SCALE * (math.log(4) - math.log(1.5)), rel=1e-4)


def test_what_cannot_be_placed_is_refused():
    with pytest.raises(ConfigError, match="knows none of elsewhere on questions of Math"):
        joined(minds(), NEW, "Math", FOUND, {"elsewhere": 0.5})
    with pytest.raises(ConfigError, match="knows weak already"):
        joined(minds(), CARDS[0], "Math", FOUND, {"strong": 0.5})
