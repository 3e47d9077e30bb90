"""What a few answers say of a model that nobody tried."""

import numpy as np
import pytest

from mar.controllers.belief.probing import CHOSEN, Bank, Skill

MODELS, QUESTIONS = 40, 600


def world(seed=0):
    """Others' grades and a new model's, drawn from the model that is believed in; two topics."""
    random = np.random.default_rng(seed)
    topic = np.arange(QUESTIONS) % 2
    skill = random.normal(0, 1, MODELS)[:, None] + random.normal(0, 0.3, (MODELS, 2))
    ease = random.normal(0, 1.5, QUESTIONS)
    right = random.random((QUESTIONS, MODELS)) < 1 / (1 + np.exp(-(ease[:, None] + skill[:, topic].T)))
    return right.astype(float), ["even" if t == 0 else "odd" for t in topic]


def errors(choose, count):
    """Mean absolute error of the accuracy of each of some models, from so many questions."""
    right, topics = world()
    found, held = [], []
    for model in range(8):
        bank = Bank.of(np.delete(right, model, axis=1), topics)
        skill = Skill.after(bank, {})
        if count:
            skill = Skill.after(bank, {i: right[i, model] for i in choose(skill, count)})
        whole, _ = skill.accuracies()
        found.append(abs(whole.mean - right[:, model].mean()))
        held.append(whole.low <= right[:, model].mean() <= whole.high)
    return np.mean(found), sum(held)


def test_a_few_answers_tell_more_than_none_and_the_interval_holds():
    before, _ = errors(None, 0)
    after, held = errors(lambda skill, n: skill.worth_asking(n), 120)

    assert after < before * 0.7
    assert held >= 6  # of 8 intervals of 95%: fewer would happen once in 200 times


def test_what_is_asked_counts_as_it_was_graded():
    right, topics = world()
    bank = Bank.of(right[:, 1:], topics)
    whole, by_topic = Skill.after(bank, {i: right[i, 0] for i in range(QUESTIONS)}).accuracies()

    assert whole.mean == pytest.approx(right[:, 0].mean())
    assert whole.high - whole.low == pytest.approx(0)
    assert by_topic["odd"].mean == pytest.approx(right[1::2, 0].mean())


def test_questions_that_all_or_none_get_right_are_not_asked():
    right, topics = world()
    right[:100], right[100:200] = 1.0, 0.0
    skill = Skill.after(Bank.of(right, topics), {})

    asked = skill.worth_asking(CHOSEN)

    assert len(set(asked)) == CHOSEN
    assert min(asked) >= 200


def test_nothing_is_asked_twice_or_beyond_what_is_allowed():
    right, topics = world()
    bank = Bank.of(right, topics)
    skill = Skill.after(bank, {0: 1.0, 1: 0.0})

    assert sorted(skill.worth_asking(9, np.arange(5))) == [2, 3, 4]


def test_both_topics_are_asked_about():
    right, topics = world()
    bank = Bank.of(right, topics)
    assert {bank.topics[bank.topic[i]] for i in Skill.after(bank, {}).worth_asking(10)} == {"even", "odd"}


def test_a_card_moves_the_prior_to_the_accuracy_that_it_states():
    right, topics = world()
    bank = Bank.of(right, topics).stated(0.8)

    whole, _ = Skill.after(bank, {}).accuracies()

    assert whole.mean == pytest.approx(0.8, abs=0.03)  # the mean lies a little below the most probable value
    assert whole.low > 0.55


def test_grades_may_be_missing():
    right, topics = world()
    right[::3, 5] = np.nan
    bank = Bank.of(right, topics)
    assert np.isfinite(bank.ease).all()
    assert np.isfinite(bank.spread).all()


def test_the_first_questions_are_chosen_and_further_ones_drawn_from_all_that_are_left():
    right, topics = world()
    right[:100], right[100:200] = 1.0, 0.0  # these tell nothing
    skill = Skill.after(Bank.of(right, topics), {})

    asked = skill.worth_asking(CHOSEN + 60)

    assert len(set(asked)) == CHOSEN + 60
    assert asked[:CHOSEN] == skill.worth_asking(CHOSEN)
    assert 5 <= sum(i < 200 for i in asked[CHOSEN:]) <= 40  # a third of 584 that are left: 20 expected, spread 3.7
    after = Skill.after(skill.bank, dict.fromkeys(asked[:CHOSEN], 1.0))
    assert any(i < 200 for i in after.worth_asking(40))
