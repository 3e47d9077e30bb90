"""What others' answers to rated questions add: where the truth is known, and where nothing may follow."""

from __future__ import annotations

import numpy as np

from mar.traffic.estimates.others import ALONE, UNASKED, Others, believed

RIGHT = np.array([0.8, 0.7, 0.5, 0.4])


def world(n: int, *, seed: int = 0, single: bool = True) -> tuple[Others, np.ndarray, np.ndarray, np.ndarray]:
    """What four models say: 0, which is right, as often as RIGHT, else one of five mistakes; the first is rated."""
    rng = np.random.default_rng(seed)
    right = rng.random((n, 4)) < RIGHT
    said = np.where(right, 0, rng.integers(1, 6, (n, 4)))
    drawn = np.zeros(n, dtype=np.int64)
    worth = np.where(rng.random(n) < 0.1, ~right[:, 0], right[:, 0]).astype(float)
    return Others(said=said, usd=np.zeros((n, 4)), single=np.full(n, single)), drawn, worth, right


def test_models_that_were_never_rated_are_ordered_by_who_says_the_same_as_the_rated_one():
    others, drawn, worth, right = world(400)
    found = believed(others, drawn, worth, np.full(4, 0.5))
    assert (np.diff(found.mean) < 0).all()
    assert np.abs(found.mean - right.mean(axis=0)).max() < 0.12
    alone = believed(Others(said=np.full((400, 4), ALONE), usd=others.usd, single=np.zeros(400, bool)), drawn, worth,
                     np.full(4, 0.5))  # fmt: skip
    assert np.abs(np.diff(alone.mean[1:])).max() < 1e-9  # nothing is told apart of those that nobody rated


def test_an_answer_that_says_the_same_is_as_right_and_another_one_is_wrong_where_one_is():
    others, drawn, worth, _ = world(300)
    found = believed(others, drawn, worth, np.full(4, 0.5)).right
    same = others.said == others.said[:, :1]
    assert np.allclose(found[same], np.broadcast_to(found[:, :1], found.shape)[same])
    liked = worth == 1
    assert found[liked][~same[liked]].mean() < found[~liked][~same[~liked]].mean()
    assert ((found >= 0) & (found <= 1)).all()


def test_of_programs_another_one_is_not_wrong_since_one_is_right():
    others, drawn, worth, _ = world(300, single=False)
    found = believed(others, drawn, worth, np.full(4, 0.5)).right
    same = others.said == others.said[:, :1]
    one = int(np.flatnonzero(~same[:, 1])[0])
    worth[one] = 1 - worth[one]
    turned = believed(others, drawn, worth, np.full(4, 0.5)).right
    assert abs(turned[one, 1] - found[one, 1]) < 0.05 < abs(turned[one, 0] - found[one, 0])


def test_without_questions_what_was_expected_stays():
    beforehand = np.array([0.7, 0.6, 0.5, 0.4])
    nothing = Others(said=np.zeros((0, 4), np.int64), usd=np.zeros((0, 4)), single=np.zeros(0, bool))
    found = believed(nothing, np.zeros(0, np.int64), np.zeros(0), beforehand)
    assert np.allclose(found.mean, beforehand)


def test_only_rows_with_everybody_s_answer_are_whole():
    others = Others(said=np.array([[0, ALONE], [0, UNASKED]]), usd=np.zeros((2, 2)), single=np.zeros(2, bool))
    assert others.whole.tolist() == [True, False]
