"""Families: a consensus that a family's agreement does not fool."""

import numpy as np
import pytest

from mar.controllers.cascal import FamilySettings, agreement_shares, family_scores
from tests.controllers.cascal_worlds import crowd, responses, silent

FAMILY = ("f", "f", "f", "x", "y", "z")


def test_a_family_that_repeats_itself_outvotes_the_best_model_but_not_the_likelihood():
    answers, truth = crowd([0.45, 0.45, 0.45, 0.7, 0.5, 0.5], FAMILY, copying=0.85)
    right = (answers.choices == truth[:, None]).mean(axis=0)
    fit = family_scores(answers, FAMILY)
    assert right.argmax() == 3
    assert agreement_shares(answers).mean(axis=0).argmax() < 3
    assert fit.scores.mean(axis=0).argmax() == 3
    assert fit.scores.mean(axis=0) == pytest.approx(right, abs=0.1)
    assert fit.copying["f"] > 0.6


def test_a_family_whose_members_are_independent_is_found_to_be_so():
    answers, _ = crowd([0.6, 0.5, 0.5, 0.7, 0.5, 0.5], FAMILY, copying=0.0)
    assert family_scores(answers, FAMILY).copying["f"] < 0.15


def test_an_abstention_has_no_chance_of_being_right_and_lowers_the_model():
    answers, _ = crowd([0.6, 0.6, 0.6, 0.6], "abcd")
    table = answers.choices.copy()
    table[:, 0] = silent(answers, 0.5).choices[:, 0]
    fit = family_scores(responses(table, options=8), "abcd")
    assert (fit.scores[:, 0][table[:, 0] < 0] == 0).all()
    assert fit.scores.mean(axis=0)[0] < 0.75 * fit.scores.mean(axis=0)[1:].min()


def test_guesses_on_a_favourite_option_are_no_agreement():
    # Two models know little and say A whenever they do not know; their many equal answers are not taken for right ones.
    answers, truth = crowd([0.3, 0.3, 0.5, 0.5], "abcd", questions=1500)
    table = answers.choices.copy()
    table[:, :2] = np.where(table[:, :2] == truth[:, None], table[:, :2], 0)
    right = (table == truth[:, None]).mean(axis=0)
    fit = family_scores(responses(table, options=8), "abcd")
    habits = fit.crowd.habits.softmax(1)
    assert habits[:2, 0].min() > 0.6
    assert habits[2:, 0].max() < 0.25
    assert fit.scores.mean(axis=0) == pytest.approx(right, abs=0.06)
    assert agreement_shares(responses(table, options=8)).mean(axis=0)[:2].min() > right[:2].max()


def test_the_same_answers_and_seed_give_the_same_scores():
    answers, _ = crowd([0.6, 0.5, 0.4], "abc", questions=300)
    one, two = (family_scores(answers, "abc", FamilySettings(questions=100)) for _ in range(2))
    assert one.scores.tobytes() == two.scores.tobytes()


def test_a_question_with_one_option_or_without_readable_answers_does_no_harm():
    answers, _ = crowd([0.6, 0.5], "ab", questions=50, options=4)
    table = answers.choices.copy()
    table[0], table[1] = 0, -1
    mixed = responses(table)
    mixed.options[0] = 1
    scores = family_scores(mixed, "ab").scores
    assert np.isfinite(scores).all()
    assert scores[0] == pytest.approx([1, 1])
    assert scores[1].tolist() == [0, 0]
