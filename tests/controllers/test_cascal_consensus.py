"""Consensus scores, by numbers derived by hand."""

import numpy as np
import pytest

from mar.controllers.cascal import (
    ABSTAINED,
    Responses,
    agreement,
    agreement_shares,
    consensus_scores,
    dawid_skene,
    plurality,
    vote_weights,
    z_scores,
)
from mar.errors import ConfigError
from tests.controllers.cascal_worlds import crowd, responses

E = np.e


def test_the_posterior_runs_over_the_questions_own_options():
    # Two of three models choose option 0 of four, one chooses 1: exp(2) against exp(1), 1 and 1.
    scores = consensus_scores(responses([[0, 0, 1]], options=4))
    total = E**2 + E + 2
    assert scores[0] == pytest.approx([E**2 / total, E**2 / total, E / total])


def test_the_published_softmax_over_twenty_letters_gives_letters_nobody_chose_mass():
    # Five unanimous votes of weight 0.5: exp(2.5) against 19 letters with exp(0), the 0.39 that it is known for.
    logprobs = [[-1.0] * 5, [-1.0] * 5, [-1.0] * 5]
    answers = responses([[0] * 5] * 3, options=20, logprobs=logprobs)
    assert vote_weights(answers)[0] == pytest.approx([0.5] * 5)
    assert consensus_scores(answers, letters=20)[0, 0] == pytest.approx(E**2.5 / (E**2.5 + 19), abs=1e-9)
    assert consensus_scores(answers, letters=20)[0, 0] == pytest.approx(0.39, abs=0.005)


def test_an_abstention_neither_votes_nor_agrees_nor_scores():
    answers = responses([[0, 0, ABSTAINED, ABSTAINED]])
    assert vote_weights(answers)[0].tolist() == [1, 1, 0, 0]
    assert not agreement(answers.choices)[0, 2].any()
    assert consensus_scores(answers)[0, 2:].tolist() == [0, 0]
    assert agreement_shares(answers)[0].tolist() == [0.5, 0.5, 0, 0]


def test_confidence_is_measured_in_robust_units_of_the_model():
    # Median -2, absolute deviations 1, 0, 1: MAD 1.
    z = z_scores(np.array([[-3.0], [-2.0], [-1.0]]))
    assert z[:, 0] == pytest.approx([-1 / 1.4826, 0, 1 / 1.4826])


def test_an_unknown_log_probability_weighs_like_none():
    answers = responses([[0, 1], [0, 1], [0, 0]], logprobs=[[-1, np.nan], [-2, np.nan], [-3, np.nan]])
    assert vote_weights(answers)[:, 1].tolist() == [1, 1, 1]
    assert vote_weights(answers)[0, 0] > vote_weights(answers)[2, 0]


def test_a_vote_goes_to_the_most_and_a_tie_to_whom_stands_first():
    said = np.array([[2, 1, 1], [2, 1, 0], [ABSTAINED, 3, 0], [ABSTAINED] * 3])
    assert plurality(said, 4).tolist() == [1, 2, 3, ABSTAINED]


def test_dawid_skene_finds_the_better_of_independent_models():
    answers, truth = crowd([0.8, 0.6, 0.4, 0.4], ["a", "b", "c", "d"])
    found = dawid_skene(answers).mean(axis=0)
    right = (answers.choices == truth[:, None]).mean(axis=0)
    assert found == pytest.approx(right, abs=0.06)


def test_responses_of_a_wrong_shape_or_with_an_impossible_option_are_refused():
    with pytest.raises(ConfigError, match="does not have"):
        responses([[4]], options=4)
    with pytest.raises(ConfigError, match="expected"):
        Responses(questions=("q",), models=("a",), options=np.array([4]), choices=np.zeros((2, 1), np.int8))


def test_models_can_be_chosen_and_added():
    answers = responses([[0, 1], [1, 1]])
    assert answers.of(["b"]).choices[:, 0].tolist() == [1, 1]
    more = answers.with_model("c", np.array([2, 3], np.int8))
    assert more.models == ("a", "b", "c")
    assert more.choices[:, 2].tolist() == [2, 3]
    with pytest.raises(ConfigError, match="'x'"):
        answers.of(["x"])
    with pytest.raises(ConfigError, match="already"):
        answers.with_model("a", np.array([0, 0], np.int8))
