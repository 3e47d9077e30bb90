"""Cascades in the engine: programs, options and open answers, failing models, deny lists, recorded answers."""

from __future__ import annotations

import pytest

from mar.controllers.base import PlanSpace
from mar.controllers.cascades import relatives
from mar.errors import ConfigError, ServerFault
from mar.pool import Pool
from mar.pool.scripted import ScriptedModel
from mar.runtime import PromptLibrary, Tools
from mar.tasks.scoring.formats import Choice, Number
from mar.types import Budget, ChatReply, Considered, Decided, Query
from tests.controllers.cascades.questions import ENCODER, answered, call, cards, question
from tests.runtime.episodes import JudgeByWord, events, run
from tests.runtime.test_turn import BAD, GOOD, SHOWN

PRICES = {"cheap": 0.001, "other": 0.001, "dear": 0.2}
OPEN = Query(text="What is 6 times 7?", id="q/1", domain="Math", answer_format=Number())
CHOICE = Query(text="Which?", id="q/2", domain="Commonsense", answer_format=Choice(options=("a", "b", "c")))
# The cheap ones are right together on half of the questions and else differ; the dear one is always right.
TRAINING = answered({"cheap": "yynn" * 8, "other": "yyxx" * 8, "dear": "yyyy" * 8})
PROGRAMS = [
    question(
        f"program {i}",
        [
            call(m, "p", float(m == "dear" or i % 2 == 0), feedback="passed" if m == "dear" or i % 2 == 0 else "failed")
            for m in PRICES
        ],
        "programs",
    )
    for i in range(32)
]
NAMES = ["threshold cascade", "agreement cascade", "cascade routing"]
PROMPTS = PromptLibrary.load()


def pool(answers, priced=True):
    def answer(request):
        found = answers[request.model]
        if isinstance(found, Exception):
            raise found
        return ChatReply(text=found, model=request.model, prompt_tokens=10, completion_tokens=1)

    return Pool(cards(**PRICES), ScriptedModel(answer), kind="scripted", virtual_time=True)


def made(training=TRAINING, domain="Math", cost_rate=1.0, names=PRICES):
    known = cards(**{n: PRICES[n] for n in names})
    return {c.name: c for c in relatives(training, known, domain, ENCODER, cost_rate)}


LEARNED = {"Math": made(), "Commonsense": made(domain="Commonsense"), "Code": made(PROGRAMS, "Code")}


def play(name, answers, query=OPEN, *, deny=(), space=None, controllers=None, **options):
    """One episode, and the models that answered."""
    asked = pool(answers)
    within = space or PlanSpace(cards=tuple(c for c in asked.cards.values() if c.name not in deny), prompts=PROMPTS)
    (planned,) = (controllers or LEARNED[query.domain])[name].plan([query], within)
    tools = {"tools": Tools(sandbox=JudgeByWord(), sandbox_charge_s=0.0)}
    episode = run(planned.how, asked, query, runtime=tools, **options)
    return episode, [c.model for c in episode.calls()]


def test_there_are_three_of_them():
    assert list(LEARNED["Math"]) == NAMES


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("query", "right", "wrong"), [(OPEN, "The answer is 42.", "The answer is 7."), (CHOICE, "The answer is (B)", "(C)")]
)
def test_open_answers_and_options_are_settled_by_a_message_that_said_it(name, query, right, wrong):
    episode, asked = play(name, dict.fromkeys(PRICES, right), query)
    assert query.answer_format.equivalent(episode.answer, query.answer_format.extract(right))
    assert [e.how for e in events(episode, Decided)] == ["chosen"]
    assert len(asked) == len(set(asked))
    assert events(episode, Considered)


def test_two_cheap_ones_that_differ_send_the_question_on_and_two_that_agree_do_not():
    agree = dict.fromkeys(PRICES, "The answer is 42.")
    differ = agree | {"other": "The answer is 7.", "cheap": "The answer is 8."}

    episode, asked = play("agreement cascade", differ)
    assert (set(asked[:2]), asked[2:], episode.answer) == ({"cheap", "other"}, ["dear"], "42")
    assert set(play("agreement cascade", agree)[1]) == {"cheap", "other"}


@pytest.mark.parametrize("name", NAMES)
def test_a_program_that_passes_ends_it_and_one_that_fails_is_followed_by_another(name):
    episode, asked = play(name, dict.fromkeys(PRICES, GOOD), SHOWN, controllers=LEARNED["Code"])
    assert (episode.answer, "dear" in asked) == (GOOD, False)

    episode, asked = play(name, {"cheap": BAD, "other": BAD, "dear": GOOD}, SHOWN, controllers=LEARNED["Code"])
    assert (episode.answer, asked[-1]) == (GOOD, "dear")


@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_fails_is_passed_over(name):
    for failing in PRICES:
        answers = dict.fromkeys(PRICES, "The answer is 42.") | {failing: ServerFault("down")}
        episode, asked = play(name, answers)
        assert failing not in asked
        assert (episode.answer, episode.failure) == ("42", None)


@pytest.mark.parametrize("name", NAMES)
def test_when_all_fail_or_say_nothing_that_is_what_comes_of_it(name):
    episode, asked = play(name, dict.fromkeys(PRICES, ServerFault("down")))
    assert (asked, episode.answer, episode.failure.kind) == ([], None, "server_fault")
    episode, _ = play(name, dict.fromkeys(PRICES, "I cannot say."))
    assert (episode.answer, episode.failure.kind) == (None, "unreadable")


@pytest.mark.parametrize("name", NAMES)
def test_only_models_of_the_space_are_asked(name):
    for denied in (("dear",), ("cheap", "other"), ("cheap",)):
        episode, asked = play(name, dict.fromkeys(PRICES, "The answer is 42."), deny=denied)
        assert asked
        assert not {*denied} & {*asked}
        assert episode.answer == "42"
    with pytest.raises(ConfigError, match="knows none of stranger"):
        LEARNED["Math"][name].plan([OPEN], PlanSpace(cards=tuple(cards(stranger=1.0)), prompts=PROMPTS))


@pytest.mark.parametrize("name", NAMES)
def test_of_recorded_answers_no_more_are_asked_than_there_may_be(name):
    space = PlanSpace(cards=tuple(cards(**PRICES)), prompts=PROMPTS, modes=("Vote",), max_agents=1, alone=True)
    _, asked = play(name, dict.fromkeys(PRICES, "I cannot say."), space=space)
    assert len(asked) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_spent_budget_ends_it_with_the_best_so_far(name):
    answers = {"cheap": "The answer is 1.", "other": "The answer is 2.", "dear": "The answer is 42."}
    episode, _ = play(name, answers, budget=Budget(tokens=1))
    assert episode.answer in {"1", "2", "42"}
    assert episode.failure is None


def test_money_decides_whom_to_ask():
    right = dict.fromkeys(PRICES, "The answer is 42.")
    for name, controller in made(cost_rate=100.0).items():
        assert "dear" not in play(name, right, controllers={name: controller})[1]
    for name, controller in made(cost_rate=0.0).items():
        episode, _ = play(
            name, right | {"cheap": "The answer is 1.", "other": "The answer is 2."}, controllers={name: controller}
        )
        assert episode.answer == "42"


def test_the_same_calls_make_the_same_cascades():
    for name, controller in made().items():
        again = LEARNED["Math"][name]
        assert (
            play(name, dict.fromkeys(PRICES, "8"), controllers={name: controller})[1]
            == (play(name, dict.fromkeys(PRICES, "8"), controllers={name: again})[1])
        )
