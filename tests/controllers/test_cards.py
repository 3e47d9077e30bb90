"""The controller that learned nothing: whom it asks, on what evidence it asks another one, and what it settles on."""

import pytest

from mar.controllers.base import PlanSpace
from mar.controllers.cards import Cards
from mar.errors import ServerFault
from mar.pool import Pool
from mar.pool.cards import ModelCard
from mar.pool.scripted import ScriptedModel
from mar.pool.simulated import simulated_cards
from mar.runtime import PromptLibrary
from mar.tasks.scoring.formats import Number
from mar.types import Budget, ChatReply, Considered, Query, ShownTests
from tests.runtime.episodes import events, run

HELLO = Query(text="hi", id="q/1")
CHEAP = ModelCard(name="cheap", description="Scores 80.0 on MMLU.", price_in=0.1, price_out=0.4)
GOOD = ModelCard(name="good", description="Scores 88.0 on MMLU.", price_in=1.0, price_out=2.0)
DEAR = ModelCard(name="dear", description="Scores 90.0 on MMLU.", price_in=10.0, price_out=40.0)


def names(*cards, query=HELLO, cost_rate=20.0):
    return [c.card.name for c in Cards(cost_rate=cost_rate).choices(query, cards)]


def play(answers, *cards, query=HELLO, budget=None, reach="anything"):
    """One episode, and the models that were asked."""

    def answer(request):
        found = answers[request.model]
        if isinstance(found, Exception):
            raise found
        return found

    pool = Pool(cards, ScriptedModel(answer), kind="scripted", virtual_time=True, reach=reach)
    (planned,) = Cards().plan([query], PlanSpace.of(pool, PromptLibrary.load()))
    episode = run(planned.how, pool, query, budget=budget)
    return episode, [request.model for request in pool.model.requests], pool


# Whom it asks ----------------------------------------------------------------------------------------------------


def test_money_decides_between_models_whose_cards_state_scores_and_prices():
    # 300 tokens in and 300 out cost 0.015 USD of `dear`, 0.0009 of `good`, 0.00015 of `cheap`.
    assert names(CHEAP, GOOD, DEAR)[0] == "good"
    assert names(CHEAP, GOOD, DEAR, cost_rate=0.0)[0] == "dear"
    assert names(CHEAP, GOOD, DEAR, cost_rate=1000.0)[0] == "cheap"


def test_a_model_of_unknown_quality_counts_as_the_weakest_that_states_one_and_of_unknown_price_as_the_dearest():
    unknown = ModelCard(name="unknown", price_in=0.1, price_out=0.4)
    assert names(unknown, CHEAP, GOOD) == ["good", "unknown", "cheap"]
    unpriced = ModelCard(name="unpriced", description="Scores 88.0 on MMLU.")
    assert names(unpriced, CHEAP, GOOD, DEAR)[0] == "good"


def test_where_no_card_says_anything_the_pools_first_model_is_asked():
    assert names(*(ModelCard(name=n) for n in ("b", "a", "c"))) == ["b", "a", "c"]


def test_where_no_card_states_a_score_a_price_is_the_only_hint_and_has_to_be_worth_it():
    small, middle, large = (ModelCard(name=f"{p}", price_in=p, price_out=p) for p in (0.05, 0.5, 50.0))
    # `middle` costs 0.00027 USD more a call: half a point at 20 a dollar, where ten times the price hints at 5.
    assert names(small, middle, large)[0] == "0.5"


def test_a_tag_that_names_the_domain_speaks_for_a_model_there_alone():
    coder = ModelCard(name="coder", tags=("code",))
    other = ModelCard(name="other")
    assert names(other, coder)[0] == "other"
    assert names(other, coder, query=Query(text="x", domain="Code"))[0] == "coder"


def test_a_document_goes_to_a_model_that_has_room_for_it():
    wide = ModelCard(name="wide", price_in=5.0, price_out=5.0, context_tokens=200_000)
    long = Query(text="word " * 20_000)
    assert names(CHEAP, GOOD, wide, query=long) == ["wide"]
    assert names(CHEAP, GOOD, query=Query(text="word " * 200_000))  # nobody has: the server may say so


def test_scores_are_compared_with_what_is_usual_on_their_benchmark():
    hard = ModelCard(name="hard", description="Scores 75.0 on MMLU-Pro.")  # usual: 66
    easy = ModelCard(name="easy", description="Scores 93.0 on GSM8K.")  # usual: 93
    assert names(easy, hard) == ["hard", "easy"]


# What it does ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["hi", "What is 17*23?", "Write a letter to my landlord about the heating."])
def test_any_text_is_answered_by_one_model_in_no_benchmarks_role(text):
    episode, asked, pool = play(
        dict.fromkeys(("cheap", "good", "dear"), "Hello!"), CHEAP, GOOD, DEAR, query=Query(text=text)
    )
    assert (asked, episode.answer) == (["good"], "Hello!")
    assert list(episode.roles.values()) == ["Assistant"]
    assert "helpful assistant" in pool.model.requests[0].messages[0].text
    assert events(episode, Considered)[0].why.because == "best value by card"


def test_a_pool_of_one_model_without_a_price_answers():
    alone = ModelCard(name="alone")
    assert play({"alone": "yes"}, alone)[0].answer == "yes"


def test_a_call_that_fails_is_evidence_and_nobody_is_asked_twice():
    answers = {"good": ServerFault("down"), "cheap": ServerFault("down"), "dear": "here"}
    episode, asked, _ = play(answers, CHEAP, GOOD, DEAR)
    assert (asked, episode.answer) == (["good", "cheap", "dear"], "here")


def test_an_answer_that_cannot_be_read_is_evidence():
    query = Query(text="How many?", id="q/2", domain="Math", answer_format=Number())
    episode, asked, _ = play(
        {"good": "I do not know.", "cheap": "The answer is 4.", "dear": "7"}, CHEAP, GOOD, query=query
    )
    assert (asked, episode.answer) == (["good", "cheap"], "4")


def test_an_answer_that_was_cut_off_goes_to_a_model_that_may_write_more():
    def cut(request):
        reason = "length" if request.model == "good" else "stop"
        return ChatReply(text=f"by {request.model}", model=request.model, finish_reason=reason)

    large = CHEAP.model_copy(update={"name": "large", "max_output_tokens": 4000})
    for others, asked in (((CHEAP,), ["good"]), ((CHEAP, large), ["good", "large"])):
        pool = Pool([GOOD, *others], ScriptedModel(cut), kind="scripted", virtual_time=True)
        (planned,) = Cards().plan([HELLO], PlanSpace.of(pool, PromptLibrary.load()))
        episode = run(planned.how, pool, HELLO)
        assert [r.model for r in pool.model.requests] == asked
        assert episode.answer == f"by {asked[-1]}"


def test_a_budget_that_the_next_model_would_break_ends_the_episode():
    answers = {"good": ServerFault("down"), "cheap": ServerFault("down"), "dear": "here"}
    episode, asked, _ = play(answers, CHEAP, GOOD, DEAR, budget=Budget(usd=0.012))
    assert "dear" not in asked
    assert episode.answer is None


def test_a_pool_that_knows_first_answers_alone_is_asked_once():
    answers = {"good": ServerFault("down"), "cheap": "4", "dear": "5"}
    assert play(answers, CHEAP, GOOD, DEAR, reach="single")[1] == ["good"]


def test_what_would_be_done_is_said_beforehand():
    query = Query(text="Write f.", shown_tests=ShownTests(tests=("assert f() == 1",)))
    space = PlanSpace(cards=(CHEAP, GOOD, DEAR), prompts=PromptLibrary.load())
    tree = Cards().plan([query], space)[0].policy().foresee(query)
    assert (tree.action, [after.action for after in tree.then]) == ("ask good", ["settle", "ask cheap"])
    assert tree.then[1].heard.startswith("it fails the shown tests")


def test_of_the_simulated_models_a_strong_and_cheap_one_is_asked_first():
    assert names(*simulated_cards())[0] == "deepseek-v3"
