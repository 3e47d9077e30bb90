"""Quality against cost, by hand."""

import numpy as np
import pytest

from mar.errors import DataError
from mar.evaluation.routereval.trade_off import aiq, aiq_gain, hull, sweep


def test_the_hull_rises_and_bends_down():
    xs, ys = hull(np.array([1.0, 2.0, 3.0, 4.0, 2.5]), np.array([0.2, 0.3, 0.8, 0.7, 0.6]))
    # At 2 and 2.5 the line from (1, .2) to (3, .8) is at .5 and .65; 4 is dearer and worse.
    assert (xs.tolist(), ys.tolist()) == ([1.0, 3.0], [0.2, 0.8])


def test_the_area_is_the_mean_height_and_level_beyond_the_last_point():
    # From (0, 0) to (1, 1), then level to 2: area 0.5 + 1, over a range of 2.
    assert aiq(np.array([0.0, 1.0]), np.array([0.0, 1.0]), 0.0, 2.0) == pytest.approx(0.75)


def test_a_sweep_goes_from_the_cheapest_to_the_best():
    scores = np.array([[0, 1], [1, 1], [0, 1], [1, 0]], dtype=np.float32)
    costs = np.tile(np.array([1.0, 3.0], dtype=np.float32), (4, 1))
    curve = sweep(scores, costs.mean(axis=0), scores, costs)
    assert (curve.costs[0], curve.quality[0]) == (1.0, 0.5)
    assert (curve.costs[-1], curve.quality[-1]) == (2.0, 1.0)  # free quality: the dear one where it alone is right
    gain = aiq_gain([curve], [(scores, costs)], draws=50)
    # Router: (1, .5) to (2, 1), level to 3 -> .875. Singles: (1, .5) to (3, .75) -> .625.
    assert gain.mean == pytest.approx(0.25)


def test_llms_of_one_price_have_no_trade_off():
    with pytest.raises(DataError, match="all LLMs cost the same"):
        sweep(np.ones((2, 2)), np.ones(2), np.ones((2, 2)), np.ones((2, 2)))
