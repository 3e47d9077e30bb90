"""Thinkers, workers and verifiers: who is picked, when it ends, and whose answer it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mar.controllers.base import PlanSpace
from mar.controllers.belief.topics import Topics
from mar.controllers.embeddings import HashEncoder
from mar.controllers.trinity import CONVERSATION, TURNS, Head, Trinity
from mar.controllers.trinity.head import Talk
from mar.errors import ConfigError, ServerFault
from mar.pool import scripted_pool
from mar.runtime import PromptLibrary, Tools
from mar.tasks.scoring.formats import Number
from mar.types import CallAnswered, PassedThrough, Query, StepBound
from tests.runtime.episodes import JudgeByWord, context_of, events, run
from tests.runtime.test_turn import BAD, GOOD, SHOWN

QUERY = Query(text="What is 6 times 7?", id="q/1", domain="Math", answer_format=Number())
PROGRAM = replace(SHOWN, domain="Code")
PROMPTS = PromptLibrary.load()
TURN, DRAFTED, CONTESTED = 1, 2, 6  # rows of the conversation's facts
THINK, WORK, VERIFY = 2, 3, 4  # columns, behind those of models a and b


def head(**entries: float) -> Head:
    """A head of two models and no text; entries like `r2c4` are weights, all others 0."""
    weights = np.zeros((CONVERSATION, 5))
    for place, value in entries.items():
        row, column = place[1:].split("c")
        weights[int(row), int(column)] = value
    return Head.of(("a", "b"), weights.ravel())


WORK_THEN_VERIFY = head(r0c3=1.0, r2c4=2.0, r2c1=1.0)  # a works; once there is a draft, b verifies


def play(chosen, answer, query=QUERY, names=("a", "b"), **space):
    """One episode; who took each turn, in which role."""
    pool = scripted_pool(answer, names=names)
    within = PlanSpace(cards=tuple(pool.cards.values()), prompts=PROMPTS, **space)
    controller = Trinity(chosen, Topics.none(16), HashEncoder(16), "Math")
    (planned,) = controller.plan([query], within)
    episode = run(planned.how, pool, query, runtime={"tools": Tools(sandbox=JudgeByWord(), sandbox_charge_s=0.0)})
    return episode, [(e.model, e.role) for e in events(episode, StepBound)]


def by_turn(*texts):
    return lambda request: texts[context_of(request).index]


def test_it_ends_when_a_verifier_comes_to_the_same_answer():
    episode, turns = play(WORK_THEN_VERIFY, by_turn("The answer is 42.", "The answer is 42.0"))
    assert turns == [("a", "MathSolver"), ("b", "Inspector")]
    assert episode.answer == "42"
    first, second = events(episode, CallAnswered)
    assert second.read == (first.message_id,)


def test_a_verifier_that_differs_does_not_end_it_and_the_answer_is_the_last_workers():
    again = head(r0c3=1.0, r2c4=2.0, r6c3=3.0, r6c4=-3.0)  # once a draft is contested, work again
    episode, turns = play(again, by_turn("41", "42", "42", "42", "0"))
    assert [role for _, role in turns] == ["MathSolver", "Inspector", "MathSolver", "Inspector"]
    assert episode.answer == "42"
    stubborn, turns = play(WORK_THEN_VERIFY, by_turn("41", "42", "42", "42", "42"))
    assert (len(turns), stubborn.answer) == (TURNS, "41")


def test_a_thinker_is_no_answer_and_the_last_turn_is_a_workers_if_nobody_has_worked():
    episode, turns = play(head(), by_turn("1", "2", "3", "4", "42"))
    assert [role for _, role in turns] == ["MathAnalyst"] * 4 + ["MathSolver"]
    assert episode.answer == "42"


def test_there_is_nothing_to_verify_before_somebody_has_worked():
    _, turns = play(head(r0c4=5.0, r0c3=1.0), by_turn(*["42"] * 5))
    assert [role for _, role in turns] == ["MathSolver", "Inspector"]


def test_a_program_that_passes_is_accepted_without_a_call():
    episode, turns = play(WORK_THEN_VERIFY, by_turn(GOOD), PROGRAM)
    assert len(turns) == len(list(episode.calls())) == 1
    assert (len(events(episode, PassedThrough)), episode.answer) == (1, GOOD)


def test_what_a_verifier_mended_is_taken_over_by_the_next_worker():
    again = head(r0c3=1.0, r2c4=2.0, r6c3=3.0, r6c4=-3.0)
    episode, turns = play(again, by_turn(BAD, GOOD), PROGRAM)
    assert [role for _, role in turns] == ["ProgrammingExpert", "BugFixer"]
    assert episode.answer == GOOD


def test_a_model_that_failed_is_not_asked_again():
    def answer(request):
        if request.model == "a":
            raise ServerFault("down")
        return "42"

    episode, turns = play(WORK_THEN_VERIFY, answer)
    assert [model for model, _ in turns] == ["a", "b", "b"]
    assert episode.answer == "42"


def test_when_all_fail_the_episode_says_so():
    def answer(request):
        raise ServerFault("down")

    episode, turns = play(WORK_THEN_VERIFY, answer)
    assert (len(turns), episode.answer, episode.failure.kind) == (2, None, "server_fault")


def test_only_models_of_the_space_that_the_head_knows_are_asked():
    _, turns = play(WORK_THEN_VERIFY, by_turn(*["42"] * 5), names=("b", "new"))
    assert {model for model, _ in turns} == {"b"}
    with pytest.raises(ConfigError, match="knows none of new"):
        play(WORK_THEN_VERIFY, by_turn("42"), names=("new",))


def test_where_nobody_can_read_anybody_it_is_refused():
    with pytest.raises(ConfigError, match="read each other"):
        play(WORK_THEN_VERIFY, by_turn("42"), alone=True)


def test_the_texts_coordinates_come_first():
    topics = Topics(mean=torch.zeros(16), directions=torch.eye(16)[:, :2])
    weights = np.zeros((2 + CONVERSATION, 5))
    weights[0, 1] = weights[1, 4] = 1.0
    chosen = Head.of(("a", "b"), weights.ravel())
    talk = Talk(turns=0.0, drafted=True)

    assert chosen.pick(np.array([1.0, 0.0]), talk, {"a", "b"}, ("thinker", "worker", "verifier")) == ("b", "thinker")
    assert chosen.pick(np.array([-1.0, 1.0]), talk, {"a", "b"}, ("thinker", "worker", "verifier")) == ("a", "verifier")
    assert chosen.pick(np.array([1.0, 1.0]), talk, {"a"}, ("thinker", "worker")) == ("a", "thinker")
    assert Head.size(2, 2) == weights.size
    assert topics.directions.shape[1] == 2
