"""The likelihood of tables: the same model as that of calls, in probabilities that add up to one."""

from itertools import product

import numpy as np
import pytest
import torch

from mar.controllers.belief import Evidence, Posterior, Said, hypotheses
from mar.controllers.belief.crowd import Crowd
from mar.controllers.belief.table import NOBODY, Table

MODELS, FAMILIES = ("a1", "a2", "b"), ("a", "a", "b")
ALONE = -30.0  # logit: nobody repeats a relative


def crowd(**numbers) -> Crowd:
    made = Crowd.vague(MODELS, FAMILIES, 3)  # of three options at most
    made.beliefs.theta = torch.tensor([2.0, 1.0, 3.0])
    for name, value in numbers.items():
        setattr(made, name, torch.tensor(value))
    return made


def every_table(options: int) -> Table:
    """One question for each of all things that three models may say."""
    choices = np.array(list(product(range(NOBODY, options), repeat=3)))
    return Table.of(choices, np.full(len(choices), options))


def test_a_table_is_as_probable_as_its_calls_are_one_by_one():
    made, table = crowd(repeats=[ALONE, ALONE]), every_table(4)
    made.habits = torch.zeros(3, 4)

    calls = [[Said(model=m, answer=int(a)) for m, a in enumerate(row)] for row in table.choices.tolist()]
    evidence = Evidence.of(calls, [4] * len(table), torch.zeros(len(table), 3))
    posterior = Posterior.of(made.beliefs, evidence, hypotheses(made.beliefs, evidence))

    assert torch.allclose(made.log_likelihood(table), posterior.log_likelihood(), atol=1e-4)


@pytest.mark.parametrize("repeats", [[ALONE, ALONE], [0.5, 0.5]])
@pytest.mark.parametrize("habits", [[[0.0] * 3] * 3, [[1.0, 0.0, -1.0], [0.0, 0.5, 0.0], [-1.0, 0.0, 2.0]]])
def test_everything_that_a_crowd_may_say_has_probability_one(repeats, habits):
    table = every_table(3)

    total = torch.exp(crowd(repeats=repeats, habits=habits).log_likelihood(table)).sum()

    assert float(total) == pytest.approx(1.0, abs=1e-4)


def test_relatives_who_repeat_each_other_prove_less_than_those_who_do_not():
    table = Table.of(np.array([[0, 0, 1]]), np.array([3]))

    together, apart = (crowd(repeats=[x, x]).right(table)[0] for x in (2.0, ALONE))

    assert together[2] > apart[2]
    assert together[:2] == pytest.approx([together[0]] * 2)


def test_a_guessers_favourite_is_not_believed():
    table = Table.of(np.array([[0, 1, 2], [1, 0, 2]]), np.array([3, 3]))

    said_a, said_b = crowd(habits=[[2.0, 0.0, 0.0], [0.0] * 3, [0.0] * 3]).right(table)[:, 0]

    assert said_a < said_b


def test_what_cannot_be_read_is_never_right():
    table = Table.of(np.array([[0, 1, NOBODY]]), np.array([3]))

    one, other, unread = crowd().right(table)[0]

    assert one > other > unread == 0


def test_the_rows_of_a_question_are_all_pairs_of_right_and_popular_options():
    # Three models say 0, 1, 1 of five options: slots 0, 1 and "one of the three that nobody chose". Two rows have a
    # right 0, two a right 1, three a right one that nobody chose. Uniform over 5 x 4 pairs: shares add up to 1.
    table = Table.of(np.array([[0, 1, 1]]), np.array([5]))

    assert torch.exp(table.share).sum() == pytest.approx(1.0)
    assert len(table.right) == 7


def test_blocks_of_questions_are_weighed_as_each_is_alone(monkeypatch):
    rng = np.random.default_rng(0)
    choices, options = rng.integers(NOBODY, 3, (7, 3)), np.full(7, 3)
    whole = crowd().right(Table.of(choices, options))

    monkeypatch.setattr("mar.controllers.belief.crowd.BLOCK", 2)

    assert crowd().weigh(choices, options) == pytest.approx(whole, abs=1e-5)
