"""Episodes that the sequential controller plays: what it asks, when it stops, what it settles on."""

import math
from dataclasses import replace

import pytest
import torch

from mar.controllers.base import PlanSpace
from mar.controllers.belief.topics import Topics
from mar.controllers.embeddings import HashEncoder
from mar.controllers.sequential import Mind, Sequential, Terms, foresee
from mar.controllers.sequential.mind import SCALE, stated_level
from mar.errors import ServerFault
from mar.pool import Pool
from mar.pool.cards import ModelCard
from mar.pool.scripted import ScriptedModel
from mar.runtime import PromptLibrary
from mar.tasks.scoring.formats import Choice, Number
from mar.types import Budget, Considered, Decided, PlainText, Query
from tests.runtime.episodes import events, run

CHEAP, DEAR, WEAK = "cheap", "dear", "weak"
QUERY = Query(text="What is 6 times 7?", id="q/1", domain="Math", answer_format=Number())


def cards(**more):
    prices = {CHEAP: 0.1, DEAR: 10.0, WEAK: 0.1}
    return [ModelCard(name=n, price_in=p, price_out=p, **more) for n, p in prices.items()]


def mind(form="open", domain="Math", theta=(4.0, 6.0, -1.0), **changes) -> Mind:
    made = Mind.vague(cards(), domain, form, strategies=(None,), embedding=16)
    made.beliefs.theta = torch.tensor(theta)
    for name, value in changes.items():
        setattr(made.beliefs, name, torch.tensor(value))
    return made


def pool(answers, **more):
    def answer(request):
        found = answers[request.model]
        if isinstance(found, Exception):
            raise found
        return found

    return Pool(cards(**more), ScriptedModel(answer), kind="scripted", virtual_time=True)


def play(answers, query=QUERY, *, terms=None, minds=None, budget=None, **more):
    """One episode, and the models that were asked."""
    made = pool(answers, **more)
    controller = Sequential(minds or [mind()], HashEncoder(16), terms or Terms(cost_rate=10.0), domain="Math")
    (planned,) = controller.plan([query], PlanSpace.of(made, PromptLibrary.load()))
    episode = run(planned.how, made, query, budget=budget)
    return episode, [call.model for call in episode.calls()]


def test_where_money_is_dear_one_cheap_answer_is_enough():
    episode, asked = play(dict.fromkeys((CHEAP, DEAR, WEAK), "The answer is 42."), terms=Terms(cost_rate=1e5))

    assert asked == [CHEAP]
    assert episode.answer == "42"


def test_where_money_is_nothing_the_best_is_asked_first_and_never_more_than_the_most_calls():
    _, asked = play(
        {CHEAP: "The answer is 41.", DEAR: "The answer is 42.", WEAK: "The answer is 40."},
        terms=Terms(cost_rate=0.0, most_calls=3),
    )

    assert asked[0] == DEAR
    assert len(asked) <= 3


def test_disagreement_makes_it_ask_on():
    hearing = mind(theta=(2.0, 2.2, 2.0))
    minds = [replace(hearing, habits=replace(hearing.habits, apart=1.5))]  # one voice may be surer than another
    agreeing = dict.fromkeys((CHEAP, DEAR, WEAK), "The answer is 42.")
    terms = Terms(cost_rate=5.0, reading=False)

    _, sure = play(agreeing, terms=terms, minds=minds)
    _, unsure = play(agreeing | {WEAK: "The answer is 41."}, terms=terms, minds=minds)

    assert len(unsure) > len(sure) >= 2


def test_two_weak_models_do_not_outvote_a_strong_one():
    minds = [mind(theta=(-6.0, 8.0, -6.0))]

    episode, asked = play(
        {CHEAP: "The answer is 1.", WEAK: "The answer is 1.", DEAR: "The answer is 42."},
        minds=minds,
        terms=Terms(cost_rate=0.0, reading=False),
    )

    assert DEAR in asked
    assert episode.answer == "42"


def test_a_model_that_fails_is_not_asked_again_and_another_answers():
    answers = {CHEAP: ServerFault("down"), DEAR: "The answer is 42.", WEAK: "The answer is 42."}

    episode, asked = play(answers, terms=Terms(cost_rate=1e3))

    assert CHEAP not in asked
    assert episode.answer == "42"


def test_when_all_models_fail_the_episode_says_so():
    episode, asked = play(dict.fromkeys((CHEAP, DEAR, WEAK), ServerFault("down")))

    assert asked == []
    assert episode.answer is None
    assert episode.failure is not None


def test_answers_that_cannot_be_read_are_heard_as_silence():
    episode, asked = play(dict.fromkeys((CHEAP, DEAR, WEAK), "I cannot say."), terms=Terms(cost_rate=1e5))

    assert len(asked) >= 1
    assert episode.answer is None


def test_a_call_that_does_not_fit_the_budget_is_not_made():
    episode, asked = play(
        {CHEAP: "The answer is 41.", DEAR: "The answer is 42.", WEAK: "The answer is 40."},
        terms=Terms(cost_rate=0.0),
        budget=Budget(usd=0.02),
        max_output_tokens=200,
        context_tokens=4000,
    )

    assert (episode.cost_usd or 0.0) <= 0.02
    assert episode.answer is not None
    assert asked


def test_every_step_says_what_was_believed_and_what_else_could_be_done():
    episode, _ = play(dict.fromkeys((CHEAP, DEAR, WEAK), "The answer is 42."), terms=Terms(cost_rate=30.0))

    first, *_, last = events(episode, Considered)
    assert first.why.beliefs == ()
    assert first.why.options[0].action.startswith("ask ")
    assert last.why.options[0].action == "settle"
    assert last.why.beliefs[0].answer == "42"
    assert last.why.options[0].right == pytest.approx(last.why.beliefs[0].probability)
    assert [e.how for e in events(episode, Decided)] == ["chosen"]


def test_a_model_that_was_never_heard_is_judged_by_its_card():
    known = mind()
    new = ModelCard(name="new", description="It scores 95.0 on GSM8K and 90.0 on MATH (percent accuracy).")

    grown = known.knowing([*cards(), new])

    place = grown.beliefs.models.index("new")
    expected = SCALE * (math.log(0.95 / 0.05) + math.log(0.9 / 0.1)) / 2
    assert float(grown.beliefs.theta[place]) == pytest.approx(expected + float(known.beliefs.overall), abs=1e-4)
    assert grown.beliefs.theta[:3].tolist() == known.beliefs.theta.tolist()
    assert known.knowing(cards()) is known


@pytest.mark.parametrize(
    ("description", "percent"),
    [
        ("Small general model, 0.1 USD per million tokens, HumanEval 84", 84.0),
        ("It scores 72.2 on MBPP.", 72.2),
        ("MBPP: 65%", 65.0),
        ("Good at MBPP-like tasks, 8192 tokens of context", None),
        ("", None),
    ],
)
def test_scores_are_read_from_what_cards_say(description, percent):
    found = stated_level(ModelCard(name="m", description=description), "Code")

    if percent is None:
        assert found is None
    else:
        assert found is not None
        assert found.mean == pytest.approx(SCALE * math.log(percent / (100 - percent)))


def test_the_mind_of_the_domain_is_asked_and_lends_its_models_to_answers_of_another_form():
    minds = [mind(), mind("options", "Commonsense"), mind("programs", "Code", theta=(1.0, 2.0, 3.0))]
    controller = Sequential(minds, HashEncoder(16), Terms(cost_rate=1.0))
    nowhere = torch.zeros(16)

    def kind(domain, form):
        return controller.mind(Query(text="-", domain=domain, answer_format=form), nowhere).kind

    assert kind("Math", Number()) == "Math/open"
    assert kind("Commonsense", Choice(options=("a", "b"))) == "Commonsense/options"
    assert kind("Code", PlainText()) == "Code/programs"
    lent = controller.mind(Query(text="-", domain="Code", answer_format=Number()), nowhere)
    assert (lent.kind, lent.beliefs.theta.tolist()) == ("Code/open", [1.0, 2.0, 3.0])


def test_a_question_of_no_stated_domain_goes_to_the_mind_of_the_nearest_questions():
    first, second = mind(), mind("programs", "Code")
    near = torch.zeros(16)
    near[3] = 1.0
    second = replace(second, topics=replace(second.topics, mean=near))
    controller = Sequential([first, second], HashEncoder(16), Terms(cost_rate=1.0))

    assert controller.mind(Query(text="-"), near).domain == "Code"


def test_coordinates_of_texts_are_standardised_components():
    torch.manual_seed(0)
    vectors = torch.randn(200, 16) * torch.linspace(3, 0.1, 16)

    found = Topics.of(vectors, 3)(vectors)

    assert torch.allclose(found.mean(0), torch.zeros(3), atol=1e-4)
    assert torch.allclose(found.std(0), torch.ones(3), atol=1e-3)


def test_what_would_be_done_is_foreseen_with_what_may_be_heard():
    hearing = mind(theta=(2.0, 2.2, 2.0))
    minds = [replace(hearing, habits=replace(hearing.habits, apart=1.5))]
    made = pool({})
    controller = Sequential(minds, HashEncoder(16), Terms(cost_rate=5.0, reading=False), domain="Math")
    (planned,) = controller.plan([QUERY], PlanSpace.of(made, PromptLibrary.load()))
    assert planned.policy is not None

    tree = foresee(planned.policy(), QUERY)

    assert tree.action.startswith("ask ")
    assert tree.heard == ""
    heard = {after.heard: after for after in tree.then}
    assert "an answer" in heard
    assert sum(after.chance for after in tree.then) == pytest.approx(1.0, abs=0.03)  # what is seldom is left out
    agreed = {after.heard for after in heard["an answer"].then}
    assert agreed >= {"it agrees", "another answer"}
    assert made.model.calls == 0


# Users --------------------------------------------------------------------------------------------------------------


def fan_of(model):
    """Likes one model's answers, by two to one."""

    def likes(queries, space):
        assert all(query.user_id for query in queries)
        return [{model: math.log(2)} for _ in queries]

    return likes


def first_asked(likes, user):
    """The first model asked, of two that are as good as each other and cost the same."""
    answers = dict.fromkeys((CHEAP, DEAR, WEAK), "The answer is 42.")
    controller = Sequential(
        [mind(theta=(2.0, 2.0, 1.9))], HashEncoder(16), Terms(cost_rate=0.0), domain="Math", likes=likes
    )
    made = pool(answers)
    (planned,) = controller.plan([replace(QUERY, user_id=user)], PlanSpace.of(made, PromptLibrary.load()))
    return next(iter(run(planned.how, made, QUERY).calls())).model


@pytest.mark.parametrize("model", [CHEAP, DEAR, WEAK])
def test_a_user_who_likes_a_model_gets_it_where_others_are_as_good(model):
    assert first_asked(fan_of(model), "ann") == model


def test_who_does_not_say_who_asks_gets_what_everybody_gets():
    everybody = first_asked(None, "ann")

    assert first_asked(fan_of(WEAK), None) == everybody != WEAK


def test_a_liked_model_that_is_far_worse_is_not_asked_first():
    made = mind(theta=(6.0, 6.0, -6.0))
    controller = Sequential([made], HashEncoder(16), Terms(cost_rate=0.0), domain="Math", likes=fan_of(WEAK))
    answers = pool(dict.fromkeys((CHEAP, DEAR, WEAK), "The answer is 42."))

    (planned,) = controller.plan([replace(QUERY, user_id="ann")], PlanSpace.of(answers, PromptLibrary.load()))

    assert next(iter(run(planned.how, answers, QUERY).calls())).model != WEAK
