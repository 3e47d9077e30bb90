"""What is noticed of changes, how soon, and how often for nothing."""

import numpy as np
import pytest

from mar.traffic.drift import BASE, Watch, changed_pool, fallen, moved


def coins(random, p, n):
    return (random.random(n) < p).astype(float).tolist()


def test_a_model_that_falls_is_noticed_within_a_hundred_answers_and_one_that_does_not_is_let_alone():
    random = np.random.default_rng(0)
    fell = [fallen(coins(random, 0.8, BASE) + coins(random, 0.4, 300), 0.1) for _ in range(50)]
    assert np.median([found[1] for found in fell if found is not None]) < 100
    assert None not in fell
    same = [fallen(coins(random, 0.8, BASE + 1000), 0.1) for _ in range(50)]
    assert sum(found is not None for found in same) <= 5  # 50,000 values: 5 false alarms by the bound


def test_too_few_answers_say_nothing():
    assert fallen([1.0] * BASE, 0.0) is None


def test_capital_begins_anew_where_it_was_lost():
    watch = Watch(0.5)
    assert not any(watch.push(1.0) for _ in range(1000))
    lost = watch.capital.copy()
    watch.push(0.0)  # 1 (not what was left) x (1 + stake / 0.5 x 0.5)
    assert max(lost) < 1
    assert watch.capital == pytest.approx([1.1, 1.3, 1.6, 1.9])


def test_questions_of_another_kind_are_noticed_and_the_same_are_not():
    random = np.random.default_rng(0)
    usual, other = random.normal(0, 1, (2000, 32)), random.normal(0, 1, (400, 32))
    other[:, 3] += 1.5  # one of 32 coordinates
    assert moved(usual, 500) is None
    many = [moved(random.normal(0, 1, (1500, 384)), 500) for _ in range(20)]  # nearly as many coordinates as questions
    assert many == [None] * 20
    assert moved(np.concatenate([usual[:500], other]), 500) < 200


def test_a_pools_changes_show_at_once():
    before = {"a": (1.0, 2.0), "b": (1.0, 1.0), "c": (None, None)}
    now = {"a": (1.0, 3.0), "c": (None, None), "d": (0.1, 0.1)}
    assert [(d.what, d.subject) for d in changed_pool(before, now)] == [
        ("price", "a"),
        ("gone", "b"),
        ("new model", "d"),
    ]
    assert changed_pool(before, before) == []
