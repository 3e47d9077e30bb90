"""RouterEval's procedure: candidates, splits and labels."""

import numpy as np
import pytest

from mar.errors import ConfigError, DataError
from mar.evaluation.routereval.construct import (
    candidates,
    labels,
    permuted,
    ranked,
    routing_set,
    stated,
    stratified,
)
from mar.evaluation.routereval.table import OutcomeTable
from tests.evaluation.routereval.tables import low_rank, two_kinds


def table_of(columns):
    scores = np.array(columns, dtype=np.float32).T
    return OutcomeTable(name="t", models=tuple("abcdefgh"[: len(columns)]), scores=scores)


def test_the_window_with_the_best_oracle_is_kept():
    # Means .25, .5, .5, .75 (all between 0.1 and 0.9). Pairs of neighbours solve 2, 2 and 4 of 4 prompts together.
    table = table_of([[0, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 1, 1]])
    assert candidates(table, 2, "all_strong") == ("c", "d")
    assert candidates(table, 4, "all_weak") == ("a", "b", "c", "d")


def test_llms_that_are_too_weak_or_too_strong_are_left_out_of_their_groups():
    table = table_of([[0] * 10, [1] * 5 + [0] * 5, [1] * 6 + [0] * 4, [1] * 10])
    assert "a" not in candidates(table, 2, "all_weak")
    assert "d" not in candidates(table, 2, "all_strong")
    assert candidates(table, 2, "strong_to_weak") == ("b", "c")
    with pytest.raises(ConfigError, match="2 LLMs are left for strong_to_weak; 3 are needed"):
        candidates(table, 3, "strong_to_weak")


def test_strong_to_weak_takes_one_llm_of_each_quantile_group():
    table = low_rank(models=30)
    names = candidates(table, 5, "strong_to_weak")
    order = np.argsort(table.scores.mean(axis=0), kind="stable")
    rank = {table.models[i]: r for r, i in enumerate(order)}
    assert [rank[name] // 6 for name in names] == [0, 1, 2, 3, 4]
    assert names == candidates(table, 5, "strong_to_weak")


def test_ranks_count_from_the_weakest():
    table = table_of([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0]])
    assert ranked(table, 1, 2) == ("b", "c")


def test_a_stratified_split_takes_tenths_of_every_group_and_each_row_once():
    groups = ["x"] * 100 + ["y"] * 30
    split = stratified(groups)
    rows = np.concatenate([split.train, split.validation, split.test])
    assert sorted(rows.tolist()) == list(range(130))
    assert [int((part < 100).sum()) for part in (split.train, split.validation, split.test)] == [80, 10, 10]
    assert [int((part >= 100).sum()) for part in (split.train, split.validation, split.test)] == [24, 3, 3]
    assert np.array_equal(split.test, stratified(groups).test)


def test_published_parts_are_kept_and_a_tenth_of_training_validates():
    split = stated(["train"] * 20 + ["test"] * 5)
    assert split.test.tolist() == [20, 21, 22, 23, 24]
    assert len(split.validation) == 2
    assert sorted([*split.train, *split.validation]) == list(range(20))
    with pytest.raises(DataError, match="expected train and test"):
        stated(["train", "dev"])


def test_a_permutation_is_cut_in_order():
    order = np.random.default_rng(3).permutation(10)
    split = permuted(10, seed=3, train=6, validation=2)
    assert [*split.train, *split.validation, *split.test] == order.tolist()


def test_labels_are_near_the_best_score_of_a_prompt():
    scores = np.array([[0.5, 0.49, 0.3], [0, 0, 0]], dtype=np.float32)
    assert labels(scores).tolist() == [[1, 1, 0], [0, 0, 0]]  # 0.49 >= 0.95 * 0.5; nobody is right on the second
    assert labels(np.array([[1, 0]], dtype=np.float32)) is None


def test_a_problem_needs_vectors_and_prompts_for_every_part():
    table = two_kinds(40)
    problem = routing_set(table, ("weak", "left"), stratified(table.groups), group="mine")
    assert problem.name == "two_kinds/mine/2"
    assert problem.train.scores.shape[1] == 2
    bare = OutcomeTable(name="t", models=("a",), scores=np.ones((40, 1), np.float32))
    with pytest.raises(DataError, match="no embeddings"):
        routing_set(bare, ("a",), permuted(40, seed=0, train=30, validation=5), group="g")
    with pytest.raises(DataError, match="no prompts for test"):
        routing_set(table, ("left",), permuted(40, seed=0, train=30, validation=10), group="g")


@pytest.mark.parametrize("m", [2, 3, 4, 7])
def test_the_running_window_agrees_with_trying_every_window(m):
    table = low_rank(models=35)
    means = table.scores.mean(axis=0)
    order = [i for i in np.argsort(means, kind="stable") if means[i] <= 0.9]
    pool = order[-max(len(order) // 5, m) :]
    oracles = [table.scores[:, pool[i : i + m]].max(axis=1).mean() for i in range(len(pool) - m + 1)]
    best = int(np.argmax(oracles))
    assert candidates(table, m, "all_strong") == tuple(table.models[i] for i in pool[best : best + m])


def test_draws_are_judged_alike_in_bits_and_in_numbers():
    table = low_rank(models=12)
    graded = OutcomeTable(name="t", models=table.models, scores=table.scores * np.float32(0.8) + np.float32(0.01))
    assert candidates(table, 4, "strong_to_weak") == candidates(graded, 4, "strong_to_weak")
