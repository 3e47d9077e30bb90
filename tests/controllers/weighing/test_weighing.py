"""Weighing recorded answers: marks, skills, the posterior against sums by hand, whom to ask."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from mar.controllers.routers.base import Examples, Prompts
from mar.controllers.routers.kernel import RIDGES
from mar.controllers.weighing.aggregator import Aggregator, AggregatorSettings, Case
from mar.controllers.weighing.answered import AnsweredExamples, AnsweredPrompts, WeighedAnswers
from mar.controllers.weighing.asking import STOP, Asking, Now, _Next
from mar.controllers.weighing.certainty import Certainty
from mar.controllers.weighing.options import SILENT, Answers, Marks, Shown
from mar.controllers.weighing.skills import _left_out
from mar.controllers.weighing.wording import ANSWER_MARKS, OPTION_MARKS, option_marks, read_answer
from mar.errors import ConfigError
from mar.evaluation.routereval.construct import RoutingSet
from mar.evaluation.routereval.results import run_router

OPTIONS = 4


def answers(choices, options=OPTIONS):
    """Answers without skills, marks or wording."""
    said = np.array(choices)
    n, m = said.shape
    return Answers(
        options=np.full(n, options),
        choices=said,
        skills=np.zeros((n, m)),
        marks=np.zeros((n, m, 0)),
        backing=np.zeros((n, m, options, 0)),
        wording=np.zeros((n, options, 0)),
    )


def by_hand(models=2, *, knows=0.6, misled=0.3, nodes=1, spread=1.0, sharing=-50.0, silence=0.1):
    """An aggregator whose numbers are given."""
    made = Aggregator(families=["a"] * models, settings=AggregatorSettings(nodes=nodes))
    made._start(models, Case.of(answers([[0] * models])))
    with torch.no_grad():
        made.level_ += np.log(knows / (1 - knows))
        made.popular_ += np.log(misled / (1 - misled))
        made.spread_ += np.log(spread)
        made.sharing_[:] = sharing
    made.offset_, made.rise_ = made.level_.clone(), torch.zeros(models)
    made.unsure_, made.silence_ = torch.zeros(models), torch.full((models,), silence)
    return made


def by_sums(said, *, knows, misled, options=OPTIONS):
    """The posterior by summing over right options and mistakes."""
    weight = np.zeros(options)
    for t, w in itertools.permutations(range(options), 2):
        each = [knows * (c == t) + (1 - knows) * (misled * (c == w) + (1 - misled) / options) for c in said]
        weight[t] += np.prod([e if c >= 0 else 1 - knows for e, c in zip(each, said, strict=True)])
    return weight / weight.sum()


@pytest.mark.parametrize("said", [(0,), (0, 0), (0, 1), (2, 2, 1), (3, SILENT, 3)])
def test_the_posterior_is_the_sum_over_right_options_and_popular_mistakes(said):
    model = by_hand(len(said))
    found = model.posterior(answers([said]), np.ones((1, len(said)), dtype=bool))
    np.testing.assert_allclose(found[0], by_sums(said, knows=0.6, misled=0.3), rtol=1e-4)


def test_an_answer_that_was_not_asked_for_changes_nothing():
    asked = np.array([[True, False]])
    found = [by_hand().posterior(answers([said]), asked) for said in ((0, 0), (0, 3))]
    np.testing.assert_array_equal(*found)


def test_two_who_agree_are_believed_less_where_answers_are_shared():
    sure = [by_hand(sharing=rho).posterior(answers([(0, 0)]), np.ones((1, 2), dtype=bool))[0, 0] for rho in (-50, 0)]
    assert sure[1] < sure[0]


def test_an_option_that_the_question_does_not_have_is_never_right():
    some = Answers(
        options=np.array([2]),
        choices=np.array([[0, 0]]),
        skills=np.zeros((1, 2)),
        marks=np.zeros((1, 2, 0)),
        backing=np.zeros((1, 2, OPTIONS, 0)),
        wording=np.zeros((1, OPTIONS, 0)),
    )
    found = by_hand().posterior(some, np.ones((1, 2), dtype=bool))[0]
    assert found[2:].sum() == 0
    assert found.sum() == pytest.approx(1, abs=1e-5)


def world(rng, n=1500, models=5, options=OPTIONS):
    """Answers of models that know with 0.45 to 0.75 and otherwise share a popular mistake half the time."""
    right, wrong = rng.integers(options, size=n), rng.integers(1, options, size=n)
    knows = rng.random((n, models)) < 1 / (1 + np.exp(-(np.linspace(-0.3, 1.3, models) - rng.normal(size=(n, 1)))))
    misled = rng.random((n, models)) < 0.5
    guess = rng.integers(options, size=(n, models))
    mistake = ((right + wrong) % options)[:, None]
    return np.where(knows, right[:, None], np.where(misled, mistake, guess)), right


def test_a_fitted_aggregator_is_above_the_best_single_and_the_majority_and_calibrated():
    rng = np.random.default_rng(0)
    choices, right = world(rng, 4000)
    model = Aggregator(families=list("abcde"), settings=AggregatorSettings(iterations=30))
    model.fit(answers(choices[:2000]), right[:2000])
    said, truth = choices[2000:], right[2000:]
    chances = model.posterior(answers(said), np.ones(said.shape, dtype=bool))
    votes = (said[:, :, None] == np.arange(OPTIONS)).sum(axis=1)
    accuracy = (chances.argmax(axis=1) == truth).mean()
    assert accuracy > (said[:, 4] == truth).mean() + 0.02
    assert accuracy > (votes.argmax(axis=1) == truth).mean()
    assert abs(chances.max(axis=1).mean() - accuracy) < 0.03


def test_how_often_a_model_is_right_is_expected_of_it():
    choices, right = world(np.random.default_rng(0), 2000)
    some = answers(choices)
    model = Aggregator(families=list("abcde"), settings=AggregatorSettings(iterations=20)).fit(some, right)
    found = model.chance(Case.of(some)).mean(dim=0)
    assert found.tolist() == pytest.approx((choices == right[:, None]).mean(axis=0).tolist(), abs=0.01)


def test_what_a_model_is_expected_to_say_sums_to_one():
    model, some = by_hand(3, nodes=5), answers([(0, 1, SILENT), (2, 2, 0)])
    case, asked = Case.of(some), torch.tensor([[1.0, 0.0, 0.0]] * 2)
    with torch.no_grad():
        now = Now.of(case, *model.joint(case, model.factors(case), asked))
        following = _Next.of(model, case, model.factors(case), asked, torch.tensor([0, 1]), torch.tensor([1, 2]))
        said, silent = following._says(now, model.factors_of_one(following.j, torch.zeros(2), case.options))
    assert (said.sum(dim=1) + silent).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert now.right.sum(dim=(1, 2)).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert now.mistake.sum(dim=(1, 2)).tolist() == pytest.approx([1, 1], abs=1e-5)


def test_the_gain_is_that_of_the_sum_over_what_may_be_said():
    model, some = by_hand(2, silence=0.0), answers([(0, 0)])
    gain = Asking(aggregator=model, prices=np.zeros(2)).gains(some, np.array([[True, False]]))[0, 1]
    before = by_sums((0,), knows=0.6, misled=0.3)
    joint = np.zeros((OPTIONS, OPTIONS))  # what is right, what the second says
    for t, w in itertools.permutations(range(OPTIONS), 2):
        chance = [0.6 * (c == t) + 0.4 * (0.3 * (c == w) + 0.7 / OPTIONS) for c in range(OPTIONS)]
        joint[t] += np.array(chance) * chance[0]
    joint /= joint.sum()
    assert gain == pytest.approx(joint.max(axis=0).sum() - before.max(), abs=1e-4)


def test_nobody_is_asked_at_a_price_that_no_answer_is_worth():
    some = answers([(0, 0), (1, 2)])
    assert not Asking(aggregator=by_hand(), prices=np.full(2, 2.0)).run(some).any()
    assert Asking(aggregator=by_hand(), prices=np.zeros(2)).run(some).all()


def test_whom_to_ask_does_not_hang_on_answers_that_were_not_asked_for():
    asking = Asking(aggregator=by_hand(3, nodes=5), prices=np.array([0.5, 0.0, 0.0]))
    begun = np.array([[True, False, False]])
    first = [asking.following(answers([said]), begun).tolist() for said in ((0, 0, 0), (0, 1, 2))]
    assert first[0] == first[1]
    assert first[0] != [STOP]


def test_a_ridge_regression_says_what_it_would_say_without_each_row():
    rng = np.random.default_rng(1)
    features, target = rng.normal(size=(30, 4)), rng.normal(size=(30, 1))
    features -= features.mean(axis=0)
    _, found = _left_out(features, target - target.mean())

    def without(i, ridge):
        x, y = np.delete(features, i, axis=0), np.delete(target, i)
        weights = np.linalg.solve(
            (x - x.mean(axis=0)).T @ (x - x.mean(axis=0)) + ridge * np.eye(4), (x - x.mean(axis=0)).T @ (y - y.mean())
        )
        return (features[i] - x.mean(axis=0)) @ weights + y.mean() - target.mean()

    gaps = [max(abs(without(i, ridge) - found[i, 0]) for i in range(30)) for ridge in RIDGES]
    assert min(gaps) < 0.02


def shown(choices, characters=100.0, options=OPTIONS):
    said = np.array(choices)
    n, m = said.shape
    return Shown(
        options=np.full(n, options),
        choices=said,
        characters=np.full((n, m), characters),
        texts=np.zeros((n, m, 0)),
        backing=np.zeros((n, m, options, 0)),
        wording=np.zeros((n, options, 0)),
    )


def test_marks_have_mean_zero_and_show_a_habit():
    said = shown([[0, i % 4] for i in range(200)])
    marks = Marks()
    lengths = np.exp(np.random.default_rng(0).normal(5, 0.5, (200, 2)))
    found = marks.fit(replace(said, characters=lengths), np.full((200, 2), 4.8))
    assert found.mean(axis=0) == pytest.approx(np.zeros((2, 4)), abs=1e-9)
    assert marks.habits_[0, 0] > 1  # always A: e times as often as a fair share, and more
    assert marks.habits_[1, 0] == pytest.approx(0, abs=1e-9)


OPTIONS_OF_35 = ("$10", "$25", "$35", "$60")


def marks_of(text, chosen):
    return dict(zip(ANSWER_MARKS, read_answer(text, OPTIONS_OF_35, chosen, 10)[0], strict=True))


def test_an_argument_that_ends_in_another_number_speaks_against_the_option():
    right = marks_of("So the price is 60 - 25 = 35. The answer is (C).", 2)
    wrong = marks_of("So the price is 60 - 20 = 40, the closest is 35? No: 41. The answer is (C).", 2)
    assert right["last number is the option's"] == 1
    assert wrong["last number is the option's"] == -1
    assert wrong["hedges"] == 1
    assert right["hedges"] == 0


def test_an_argument_backs_an_option_that_it_does_not_choose():
    _, backing = read_answer("It comes to 25. The answer is (D).", OPTIONS_OF_35, 3, 10)
    assert backing[1, 1] == 1
    assert backing[3].tolist() == [0, 0]
    assert backing[4:].sum() == 0


def test_options_are_compared_with_each_other():
    found = option_marks("How much?", ("1", "5", "9", "all of the above"), 10)
    assert found.shape == (10, len(OPTION_MARKS))
    assert found[3, 0] > 0 > found[0, 0]  # longer than the mean
    assert found[:4, 1].tolist() == [0, 0, 0, 1]
    assert found[4:].sum() == 0
    assert option_marks("How much?", ("7", "3", "5"), 3)[:, 2].tolist() == [0, 0, 1]  # 5 lies between


def test_how_sure_to_be_is_learned_from_how_often_one_was_right():
    rng = np.random.default_rng(0)
    asked = np.ones((4000, 2), dtype=bool)
    asked[:2000, 1] = False
    chances = np.full(4000, 0.8)
    right = rng.random(4000) < np.where(asked[:, 1], 0.9, 0.6)
    found = Certainty().fit(chances, asked, right).of(chances, asked)
    assert found[0] == pytest.approx(0.6, abs=0.03)
    assert found[-1] == pytest.approx(0.9, abs=0.03)


def examples(rng, n):
    choices, right = world(rng, n)
    vectors = rng.normal(size=(n, 6)).astype(np.float32)
    return AnsweredExamples(
        vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        scores=(choices == right[:, None]).astype(np.float32),
        shown=shown(choices),
        right=right,
    )


def test_weighed_answers_are_a_router_of_routereval_that_beats_the_best_llm():
    rng = np.random.default_rng(0)
    train, validation, test = (examples(rng, n) for n in (1200, 200, 800))
    problem = RoutingSet(
        benchmark="made", group="all", models=tuple("abcde"), train=train, validation=validation, test=test
    )
    router = WeighedAnswers(families=list("abcde"), settings=AggregatorSettings(iterations=25))
    found = run_router(router, problem, name="weighed answers")
    assert found.metrics.mu > test.scores.mean(axis=0).max()
    some = AnsweredPrompts(vectors=test.vectors, shown=test.shown)
    assert router.score(some).shape == test.scores.shape


def test_prompts_without_answers_are_refused():
    router = WeighedAnswers(families=["a"])
    vectors = np.ones((2, 1), dtype=np.float32)
    plain = Examples(vectors=vectors, scores=np.ones((2, 1), dtype=np.float32))
    with pytest.raises(ConfigError, match="without answers"):
        router.fit(plain, plain)
    with pytest.raises(ConfigError, match="without answers"):
        router.score(Prompts(vectors=vectors))
