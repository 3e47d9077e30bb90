"""Programs whose first test is shown: what a pass and a failure tell, whom to ask, what to hand in."""

from __future__ import annotations

import numpy as np
import pytest

from mar.controllers.weighing.programs import Programs


def by_hand(knows, fooled=0.2):
    """A model of tasks of one difficulty and kind."""
    made = Programs()
    made.knows_, made.fooled_, made.log_states_ = np.array(knows)[:, None], np.array([fooled]), np.zeros(1)
    return made


def test_a_passing_program_is_right_as_bayes_says():
    chances = by_hand([0.5, 0.8]).chances(np.zeros((1, 1)), np.array([[True, True]]))
    assert chances[0].tolist() == pytest.approx([0.5 / 0.6, 0.8 / 0.84])


def test_the_gain_of_a_first_program_is_the_chance_that_it_passes_and_is_right():
    gains = by_hand([0.5, 0.8]).gains(np.zeros((1, 1)), np.zeros((1, 2), dtype=bool))
    assert gains[0].tolist() == pytest.approx([0.5, 0.8])


def test_the_next_is_asked_only_where_the_first_fails():
    passed = np.array([[True, True], [False, True]])
    found = by_hand([0.5, 0.8], fooled=0.0).run(passed, np.array([0.01, 0.4]))
    assert found.asked.tolist() == [[True, False], [True, True]]
    assert found.chosen.tolist() == [0, 1]
    assert found.sure.tolist() == pytest.approx([1, 1])


def test_of_programs_that_fail_the_likeliest_is_handed_in_and_not_believed():
    found = by_hand([0.5, 0.8]).run(np.zeros((1, 2), dtype=bool), np.zeros(2))
    assert found.asked.all()
    assert found.chosen.tolist() == [1]
    assert found.sure.tolist() == [0]


def test_one_is_asked_whatever_it_costs():
    assert by_hand([0.5, 0.8]).run(np.ones((1, 2), dtype=bool), np.full(2, 9.0)).asked.sum() == 1


def test_skills_and_how_loose_tests_are_are_learned_from_graded_programs():
    rng = np.random.default_rng(0)
    x = np.array([-1.0, 0.0, 1.0]) - 1.5 * rng.normal(size=(3000, 1))
    right = rng.random(x.shape) < 1 / (1 + np.exp(-x))
    loose = rng.random((3000, 1)) < 0.3
    passed = right | (loose & (rng.random(x.shape) < 0.6))

    found = Programs().fit(passed, right)

    weights = np.exp(found.log_states_)
    assert weights.sum() == pytest.approx(1.0, abs=1e-5)
    assert weights[len(weights) // 2 :].sum() == pytest.approx(loose.mean(), abs=0.04)
    assert found.fooled_[-1] == pytest.approx(0.6, abs=0.04)
    assert (found.knows_ @ weights).tolist() == pytest.approx(right.mean(axis=0).tolist(), abs=0.02)


def test_what_passes_where_another_program_failed_is_believed_more():
    model = Programs()
    model.knows_, model.fooled_ = np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([0.0, 0.8])
    model.log_states_ = np.log([0.7, 0.3])

    first, second = (model.run(np.array([passed]), np.zeros(2)).sure[0] for passed in ([True, False], [False, True]))

    assert first == pytest.approx(0.5 / (0.5 + 0.3 * 0.5 * 0.8))
    strict, loose = 0.7 * 0.5 * 0.5, 0.3 * 0.5 * 0.2  # one fails, and the other is right
    assert second == pytest.approx((strict + loose * 0.5) / (strict + loose * (0.5 + 0.5 * 0.8)))
    assert second > first
