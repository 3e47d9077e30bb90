"""Worlds and difficulties."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sim_worlds import code_item

from mar.errors import ConfigError
from mar.pool.simulated import (
    EMPTY_WORLD,
    SimItem,
    World,
    difficulty_from_complexity,
    item_difficulties,
    program_complexity,
)


def test_a_world_finds_items_by_id_and_an_empty_one_none():
    item = code_item()
    assert World.of({"a": item}).get("a") is item
    assert EMPTY_WORLD.get("a") is None


def test_an_id_given_twice_is_refused():
    with pytest.raises(ConfigError, match="twice"):
        World.of([("a", code_item()), ("a", code_item())])
    with pytest.raises(ConfigError):
        World.of({"a": code_item()}).merged(World.of({"a": code_item()}))


def test_an_item_without_wrong_answers_is_refused():
    with pytest.raises(ConfigError, match="wrong"):
        SimItem(domain="Math", benchmark="gsm8k", difficulty=0, right=("1",), wrong=(), form="number")


@pytest.mark.parametrize("passing", [{1}, {-1}])
def test_only_wrong_answers_that_there_are_can_pass_the_shown_tests(passing: set[int]):
    with pytest.raises(ConfigError, match="1 wrong answer"):
        replace(code_item(), passing=frozenset(passing))
    assert replace(code_item(), passing=frozenset({0})).passing == {0}


def test_difficulty_is_the_normal_quantile_of_the_rank():
    # Ranks 0 and 2 of 3: quantiles of 1/6 and 5/6, -0.9674 and 0.9674; the middle one is at 1/2.
    assert difficulty_from_complexity([5, 1, 9]) == pytest.approx([0, -0.9674, 0.9674], abs=1e-4)


def test_equal_complexities_share_a_difficulty():
    assert difficulty_from_complexity([3, 3]) == [0, 0]


@given(st.lists(st.floats(-1e6, 1e6), max_size=30))
def test_difficulty_keeps_the_order(values: list[float]):
    scores = difficulty_from_complexity(values)
    for i, a in enumerate(values):
        for j, b in enumerate(values):
            assert (a < b) == (scores[i] < scores[j])


def test_measured_correlation_of_difficulty_with_complexity():
    ids = [str(i) for i in range(4000)]
    drawn = item_difficulties(ids, list(range(4000)), rho=0.3)
    scores = difficulty_from_complexity(list(range(4000)))
    mean = sum(drawn) / 4000
    variance = sum((d - mean) ** 2 for d in drawn) / 4000
    covariance = sum(a * b for a, b in zip(drawn, scores, strict=True)) / 4000
    assert variance == pytest.approx(1, abs=0.08)
    assert covariance == pytest.approx(0.3, abs=0.05)


def test_program_complexity_counts_syntax_tree_nodes():
    # Module, Assign, Name, Store, Constant.
    assert program_complexity("x = 1") == 5
    assert program_complexity("not a program") == 3
