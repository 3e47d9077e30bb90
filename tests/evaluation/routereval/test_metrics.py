"""RouterEval's metrics and references, by hand."""

import math

import numpy as np
import pytest

from mar.controllers.routers.base import choose, share, softmax
from mar.errors import ConfigError, DataError
from mar.evaluation.routereval.metrics import entropy, measure
from mar.evaluation.routereval.references import mixture, mixture_values, probability

SCORES = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]], dtype=np.float32)
UNIFORM = np.full((4, 3), 1 / 3, dtype=np.float32)


def test_the_four_metrics_by_hand():
    # Chosen: 1, 0, 0, 1 -> mean 1/2. Best single: columns 0 and 1 score 2/4 each. Reference of mmlu: 0.864.
    found = measure(SCORES, np.array([0, 2, 1, 1]), UNIFORM, benchmark="mmlu")
    assert found.mu == 0.5
    assert found.vb == 1.0
    assert found.vr == pytest.approx(0.5 / 0.864)
    assert found.ep == pytest.approx(math.log2(3))


def test_what_is_not_defined_is_not_a_number():
    found = measure(np.zeros_like(SCORES), np.zeros(4, dtype=np.int64), UNIFORM, benchmark="mine")
    assert math.isnan(found.vr)
    assert math.isnan(found.vb)


def test_rows_that_are_no_distribution_are_refused():
    with pytest.raises(DataError, match="rows that sum to 1"):
        measure(SCORES, np.zeros(4, dtype=np.int64), 2 * UNIFORM)


def test_entropy_is_in_bits_and_certainty_has_none():
    assert entropy(np.array([[0.5, 0.5, 0], [1, 0, 0]], dtype=np.float32)) == pytest.approx(0.5)


def test_the_references_by_hand():
    # Best per row: 1, 1, 0, 1; mean per row: 1/3, 2/3, 0, 1/3.
    assert mixture(SCORES, 1.0).mu == 0.75
    assert mixture(SCORES, 0.0).mu == pytest.approx(1 / 3)
    assert mixture_values(SCORES, 0.5) == pytest.approx([2 / 3, 5 / 6, 0, 2 / 3])
    # Oracle: certain, one of two, one of three (none is right), certain -> (0 + 1 + log2 3 + 0) / 4 bits.
    assert mixture(SCORES, 1.0).ep == pytest.approx((1 + math.log2(3)) / 4)
    assert mixture(SCORES, 0.0).ep == pytest.approx(math.log2(3))


@pytest.mark.parametrize(
    ("name", "p"), [("oracle", 1.0), ("random", 0.0), ("r_o_0.5", 0.5), ("r_o_1", 1.0), ("knn", None), ("r_o_", None)]
)
def test_references_by_name(name, p):
    assert probability(name) == p


def test_a_probability_above_one_is_refused():
    with pytest.raises(ConfigError, match="r_o_2: the probability is 2"):
        probability("r_o_2")


def test_ties_go_to_the_better_training_mean_then_to_chance_or_as_published_to_the_first_column():
    scores = np.array([[0.5, 0.5, 0.1], [0.2, 0.9, 0.9]], dtype=np.float32)
    assert choose(scores, np.array([0.3, 0.4, 0.5])).tolist() == [1, 2]
    assert choose(scores, None).tolist() == [0, 1]
    even = {tuple(choose(scores, np.array([0.4, 0.4, 0.4]), seed=s).tolist()) for s in range(20)}
    assert len(even) > 1
    assert choose(scores, np.zeros(3), seed=3).tolist() == choose(scores, np.zeros(3), seed=3).tolist()


def test_shares_are_uniform_where_nothing_is_positive():
    assert share(np.array([[0, 0], [3, 1]], dtype=np.float32)).tolist() == [[0.5, 0.5], [0.75, 0.25]]
    assert softmax(np.array([[1000, 1000]], dtype=np.float32)).tolist() == [[0.5, 0.5]]
