"""Means of a judge's verdicts, corrected by few grades of people."""

from __future__ import annotations

import numpy as np
import pytest

from mar.errors import DataError
from mar.traffic.corrected import corrected, graded_alone


def made(rng, *, graded, judged, right=0.7, hit=0.9, false=0.4):
    """Grades and verdicts of a judge that passes `hit` of the right answers and `false` of the wrong ones."""
    truth = (rng.random(graded + judged) < right).astype(float)
    says = (rng.random(graded + judged) < np.where(truth == 1, hit, false)).astype(float)
    return truth[:graded], says[:graded], says[graded:]


def test_the_estimate_is_the_grades_mean_and_the_weighted_error_of_the_judge():
    grades, verdicts = [1.0, 0.0] * 10, [1.0, 1.0, 1.0, 0.0] * 5
    found = corrected(grades, verdicts, [1.0, 1.0, 1.0, 1.0, 0.0] * 20)
    # mean(grades) = 0.5; of the judge 0.75 on these and 0.8 on the others
    assert found.mean == pytest.approx(0.5 + found.weight * 0.05)
    assert 0 < found.weight < 1


@pytest.mark.parametrize(("hit", "false"), [(0.9, 0.4), (1.0, 0.0), (0.5, 0.5), (0.2, 0.9)])
def test_intervals_hold_the_truth_as_often_as_they_say_however_bad_the_judge_is(hit, false):
    rng = np.random.default_rng(1)
    held = widths = alone = 0.0
    for _ in range(1000):
        data = made(rng, graded=100, judged=1000, hit=hit, false=false)
        found = corrected(*data)
        held += found.low <= 0.7 <= found.high
        widths += found.width
        alone += graded_alone(data[0]).width
    assert 0.925 <= held / 1000 <= 0.97  # four standard errors of 95% are 2.8 points
    assert widths <= alone * 1.005  # never wider than people's grades alone


def test_the_verdicts_mean_itself_is_wrong_where_the_corrected_one_is_not():
    rng = np.random.default_rng(2)
    means, raw = zip(
        *((corrected(*d).mean, d[2].mean()) for d in (made(rng, graded=100, judged=1000) for _ in range(500))),
        strict=True,
    )
    assert abs(np.mean(raw) - 0.75) < 0.005  # 0.7 * 0.9 + 0.3 * 0.4
    assert abs(np.mean(means) - 0.7) < 0.01


def test_a_judge_that_is_always_right_is_worth_as_many_grades_as_it_gave():
    rng = np.random.default_rng(3)
    found = corrected(*made(rng, graded=100, judged=9900, hit=1.0, false=0.0))
    assert found.width < 0.25 * graded_alone(made(rng, graded=100, judged=0)[0]).width  # sqrt(100 / 10,000) is a tenth


def test_a_judge_that_says_the_same_of_everything_has_no_weight():
    found = corrected([1.0, 0.0] * 10, [1.0] * 20, [1.0] * 100)
    assert (found.weight, found.mean) == (0.0, 0.5)


def test_too_few_grades_and_lists_of_unlike_length_are_refused():
    with pytest.raises(DataError, match="9 answers are graded; expected 10 or more"):
        corrected([1.0] * 9, [1.0] * 9, [])
    with pytest.raises(DataError, match="10 grades and 9 verdicts"):
        corrected([1.0] * 10, [1.0] * 9, [])
