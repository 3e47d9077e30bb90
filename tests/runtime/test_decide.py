"""Votes and last words."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mar.errors import ConfigError
from mar.runtime.decide import Settled, agreed, last, vote
from mar.tasks.scoring.formats import Number
from mar.types import AgentSpec, ConfidenceScale, ModeSpec, Move, PlainText, Plan, Said

FORM, ONCE = PlainText(), AgentSpec(role="Once")


def said(*texts, logprobs=()):
    return [
        Said(id=f"m{i}", move=Move(agent=ONCE, domain="Math", index=i), model="a", text=t, mean_logprob=p)
        for i, (t, p) in enumerate(zip(texts, [*logprobs, *[None] * len(texts)], strict=False))
    ]


def test_the_majority_wins_and_the_first_of_its_texts_is_taken():
    assert vote(said("no", "Yes", "yes"), FORM, "first") == Settled(text="Yes", answer="Yes")


def test_answers_that_say_the_same_are_one_camp():
    # "x y" has three supporters up to case and white space, "z" has two
    assert vote(said("z", "x y", "X  Y", "z", "x\ny"), FORM, "first").answer == "x y"


def test_a_tie_goes_to_the_answer_whose_first_supporter_comes_first():
    assert vote(said("b", "a", "a", "b"), FORM, "first").answer == "b"


def test_a_tie_goes_to_the_most_confident_answer_on_request():
    logprobs = (-0.5, -0.1, -0.9, -0.4)  # a: -0.5 and -0.9; b: -0.1 and -0.4
    assert vote(said("a", "b", "a", "b", logprobs=logprobs), FORM, "logprob").answer == "b"


def test_confidence_breaks_ties_only():
    assert vote(said("a", "a", "b", logprobs=(-9.0, -9.0, -0.1)), FORM, "logprob").answer == "a"


def test_answers_of_unknown_confidence_lose_ties_and_if_all_are_unknown_the_first_wins():
    assert vote(said("a", "b", logprobs=(None, -5.0)), FORM, "logprob").answer == "b"
    assert vote(said("a", "b"), FORM, "logprob").answer == "a"


def test_a_text_without_a_readable_answer_does_not_vote():
    assert vote(said(" ", "", "a"), FORM, "first").answer == "a"
    assert vote(said(" ", ""), FORM, "first") == Settled(text="", answer=None)
    assert vote([], FORM, "first") == Settled(text=None, answer=None)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=9), st.sampled_from(["first", "logprob"]))
def test_no_answer_has_more_votes_than_the_winner(answers, tie_break):
    winner = vote(said(*answers), FORM, tie_break).answer
    assert answers.count(winner) == max(map(answers.count, answers))


@pytest.mark.parametrize(("texts", "answer"), [(("a", "b"), "b"), (("a", " "), None)])
def test_the_last_word_is_that_of_the_last_who_spoke(texts, answer):
    assert last(said(*texts), FORM) == Settled(text=texts[-1], answer=answer)


def test_nobody_has_no_last_word():
    assert last([], FORM) == Settled(text=None, answer=None)


def test_a_tie_goes_by_each_models_own_units_of_confidence_on_request():
    # a: (-0.5 - -0.4) / 0.1 = -1; b: (-2 - -3) / 2 = 0.5, though its log-probability is the lower one
    scales = ConfidenceScale(centre=-0.4, spread=0.1), ConfidenceScale(centre=-3.0, spread=2.0)
    a, b = said("a", "b", logprobs=(-0.5, -2.0))
    spoken = [replace(u, confidence=s.z(u.mean_logprob)) for u, s in zip((a, b), scales, strict=True)]
    assert vote(spoken, FORM, "zscore").answer == "b"
    assert vote(spoken, FORM, "logprob").answer == "a"
    assert vote([a, b], FORM, "zscore").answer == "a"


def test_a_plan_with_units_of_confidence_comes_back_from_json():
    agents = (AgentSpec(role="r", model="m", confidence=ConfidenceScale(centre=-1.0, spread=0.5)), AgentSpec(role="s"))
    plan = Plan(mode=ModeSpec(name="Vote"), domain="Math", agents=agents, decision="vote", tie_break="zscore")
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    with pytest.raises(ConfigError, match="spread 0"):
        ConfidenceScale(centre=0.0, spread=0.0)


def test_more_than_half_have_to_give_one_answer_that_can_be_compared():
    form = Number()
    assert agreed(said("4", "4", "5"), form)
    assert not agreed(said("4", "4", "5", "6"), form)
    assert not agreed(said("4", "I do not know"), form)
    assert not agreed([], form)
    assert not agreed(said("x", "x"), FORM)
