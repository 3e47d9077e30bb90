"""Tests of preference routers: splits without leaks, measures by hand, baselines, configurations, a whole small run."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mar.controllers.embeddings import HashEncoder
from mar.controllers.gmt.builders.simulated import (
    CANDIDATES,
    Recorded,
    candidate_traits,
    rate,
    read_recorded,
    simulate_users,
)
from mar.controllers.gmt.comparisons import comparisons_of, names_of
from mar.controllers.gmt.personal import PersonalSettings, fit_personal, predict, states_of
from mar.controllers.gmt.records import write_groups
from mar.errors import ConfigError, DataError
from mar.evaluation.gmt import experiment
from mar.evaluation.gmt.baselines import BASELINES
from mar.evaluation.gmt.config import GmtConfig, load_config
from mar.evaluation.gmt.data import VoteData, load_votes, told_the_weights, write_published
from mar.evaluation.gmt.drift import World, simple_choices, simulate
from mar.evaluation.gmt.experiment import run_gmt, verdict
from mar.evaluation.gmt.protocol import Scored, auc, difference, fast_auc, per_user, split_votes
from mar.execution import Workers
from mar.learning.progress import Progress
from tests.controllers.gmt_votes import group, opposite_users
from tests.on_ray import on_ray

QUIET = Progress(quiet=True)
PUBLISHED = """
dataset:
  name: mt_bench
  path: {path}
config:
  preprocess: True
train:
  id: sample
  epochs: {epochs}
  lr: 5e-4
  record_per_user: 10
  prediction_count: 256
  multi_turn: False
  aggregation_type: mean
  objective: auc
  binary: True
  eval_every: 5
  seed: 136
checkpoint:
  root: {root}
  save_every: 25
"""


def shared_questions(users=6):
    """Every user judges the same twenty questions and pairs, so that votes of others tell about each item."""
    return [group(f"u{u}", f"q{n}") for u in range(users) for n in range(20)]


# Splits -------------------------------------------------------------------------------------------------------


def test_each_user_is_split_by_the_published_shares_and_small_ones_are_left_out():
    groups = [*opposite_users(users=3, each=20), *[group("rare", f"r{n}") for n in range(11)]]
    split = split_votes(groups, 0)
    for part, n in ((split.train, 14), (split.validation, 2), (split.test, 4)):
        assert [sum(g.user == u for g in part) for u in ("u00", "u01", "u02", "rare")] == [n, n, n, 0]
    assert split == split_votes(groups, 0)
    assert split.test != split_votes(groups, 1).test


def test_no_other_vote_on_a_tested_item_is_left_anywhere():
    extra = [group("gpt4", f"q{n}") for n in range(20)]
    split = split_votes(shared_questions(), 0, extra=extra)
    tested = {g.item for g in split.test}
    assert tested
    for part in (split.train, split.validation, split.extra):
        assert not tested & {g.item for g in part}
    assert split.removed == 120 + 20 - sum(map(len, (split.train, split.validation, split.test, split.extra)))
    assert split.removed > 0


def test_whole_questions_are_held_out():
    split = split_votes(shared_questions(), 0, extra=[group("gpt4", f"q{n}") for n in range(20)], kind="questions")
    asked = [{g.question_id for g in part} for part in (split.train, split.validation, split.test)]
    assert [len(a) for a in asked] == [14, 2, 4]
    assert not asked[0] & asked[2]
    assert {g.question_id for g in split.extra} == asked[0]
    with pytest.raises(DataError, match="cannot be split"):
        split_votes([group("u", "q1")] * 12, 0, kind="questions")


def test_poisoned_test_votes_change_no_prediction():
    """Everything that is predicted is turned round; ours and every baseline must not notice."""
    groups = opposite_users(users=6, each=20)
    split, names = split_votes(groups, 0), names_of(groups, HashEncoder(8))
    train, test = comparisons_of(split.train, names), comparisons_of(split.test, names)
    poisoned = replace(test, target=1 - test.target, rating_a=test.rating_b, rating_b=test.rating_a)
    model = fit_personal(train, PersonalSettings(contexts=2, rounds=2))
    routers = {**BASELINES, "ours": lambda seen, asked: predict(model, states_of(model, seen), asked)}
    for name, router in routers.items():
        assert np.array_equal(router(train, test), router(train, poisoned)), name
        assert not np.array_equal(router(train, test), router(poisoned, test)), name


def test_an_item_look_up_wins_only_where_votes_of_others_leak():
    rng = np.random.default_rng(0)
    better = rng.random(20) < 0.5  # which answer is better is a coin per question, and everybody agrees on it
    groups = [
        group(f"u{u}", f"q{n}", ratings=((float(better[n]), float(~better[n])),)) for u in range(6) for n in range(20)
    ]
    names, split = names_of(groups, HashEncoder(8)), split_votes(groups, 0)
    test = comparisons_of(split.test, names)
    leaky = comparisons_of([g for g in groups if g not in split.test], names)
    look_up = BASELINES["item look-up"]
    assert Scored.of(look_up(leaky, test), test).accuracy > 0.9
    clean = comparisons_of(split.train, names)
    assert np.array_equal(look_up(clean, test), BASELINES["global Bradley-Terry"](clean, test))


# Measures -----------------------------------------------------------------------------------------------------


def scored(score, sign):
    return Scored(score=np.array(score, float), sign=np.array(sign, float), cluster=np.arange(len(sign)))


def test_accuracy_and_auc_by_hand():
    # decisions: right, wrong, undecided. Preferred orders score 2, -1, 0; the other orders -2, 1, 0.
    one = scored([2.0, 1.0, 0.0], [1, -1, 1])
    assert one.accuracy == pytest.approx(1.5 / 3)
    # of 9 pairs (preferred, other): 2 > all three; -1 > -2 only; 0 > -2 and = 0: (3 + 1 + 1.5) / 9
    assert one.auc == pytest.approx(5.5 / 9)
    assert np.isnan(scored([], []).auc)


def test_the_fast_auc_is_the_auc():
    rng = np.random.default_rng(0)
    one = scored(np.round(rng.standard_normal(60), 1), rng.choice([-1, 1], 60))
    weight = rng.integers(0, 3, 60).astype(float)
    assert fast_auc(one, weight) == pytest.approx(auc(one.score, one.sign, weight))
    assert fast_auc(one, np.ones(60)) == pytest.approx(one.auc)


def test_a_difference_excludes_zero_only_where_there_is_one():
    rng = np.random.default_rng(0)
    sign = rng.choice([-1, 1], 300)
    good, bad = scored(sign + rng.standard_normal(300), sign), scored(rng.standard_normal(300), sign)
    same = scored(sign + rng.standard_normal(300), sign)
    for measure in ("accuracy", "auc"):
        assert difference([good], [bad], measure, draws=200).low > 0.1
        tie = difference([good], [same], measure, draws=200)
        assert tie.low < 0 < tie.high
        assert "a tie" in verdict({"mean": tie.mean, "low": tie.low, "high": tie.high})


def test_accuracy_per_user():
    groups = [group("ann", "q1"), group("ann", "q2"), group("ben", "q1"), group("ben", "q3", ratings=((0.5, 0.5),))]
    votes = comparisons_of(groups, names_of(groups, HashEncoder(4)))
    assert per_user(Scored.of(np.array([1.0, -1.0, 1.0, 1.0]), votes), votes) == {"ann": 0.5, "ben": 1.0}


# Simulated users ----------------------------------------------------------------------------------------------


def recorded(questions=40, seed=0):
    rng = np.random.default_rng(seed)
    skill = rng.uniform(0.2, 0.9, len(CANDIDATES))
    solved = (rng.random((questions, len(CANDIDATES))) < skill).astype(float)
    return Recorded(
        questions=tuple(f"question {i}" for i in range(questions)),
        models=tuple(CANDIDATES),
        solved=solved,
        traits=candidate_traits(),
        topic=np.zeros(questions, dtype=np.int64),
    )


def test_ratings_of_answers_side_by_side_are_shares_of_those_beaten():
    rng = np.random.default_rng(0)
    assert rate(np.array([100.0, 0.0, 50.0]), rng).tolist() == [1.0, 0.0, 0.5]
    far = [rate(np.array([0.5, 0.0]), np.random.default_rng(s))[0] for s in range(2000)]
    # Gumbel noise of scale 1/8: P = sigmoid(8 x 0.5) = 0.982
    assert np.mean(far) == pytest.approx(0.982, abs=0.012)


def test_preferences_that_are_there_are_found_and_swapping_users_changes_decisions():
    made = simulate_users(recorded(), size=2, users=24, conversations=40, seed=1)
    names, split = names_of(made.groups, HashEncoder(8)), split_votes(made.groups, 0)
    seen, test = comparisons_of((*split.train, *split.validation), names), comparisons_of(split.test, names)
    model = fit_personal(seen, PersonalSettings(contexts=2, rounds=8))
    states = states_of(model, seen)
    users = sorted(states)
    moved = {u: states[v] for u, v in zip(users, [*users[1:], users[0]], strict=True)}
    ours, swapped = (Scored.of(predict(model, s, test), test) for s in (states, moved))
    ranking = Scored.of(BASELINES["global Bradley-Terry"](seen, test), test)
    told = Scored.of(told_the_weights(made, test), test)
    assert ours.accuracy > ranking.accuracy + 0.05
    assert ours.accuracy > told.accuracy - 0.05
    assert np.mean(np.sign(ours.score) != np.sign(swapped.score)) > 0.1
    assert swapped.accuracy < ours.accuracy - 0.05


def test_recorded_outcomes_are_checked(tmp_path):
    with pytest.raises(DataError, match="gsm8k_train"):
        read_recorded(tmp_path, "gsm8k")


def test_a_live_router_loses_less_than_one_ranking_for_all_though_tastes_drift():
    data = recorded(60)
    made = simulate_users(data, size=2, users=20, conversations=30)
    model = fit_personal(
        comparisons_of(made.groups, names_of(made.groups, HashEncoder(8))), PersonalSettings(contexts=1, rounds=5)
    )
    world = World.drawn(made.recorded, users=30, turns=15)
    assert np.allclose(np.abs(world.weights).sum(axis=2), 1)
    simple = {r.name: r for r in simple_choices(world)}
    assert simple["best fixed LLM per user, in hindsight"].total.mean == 0
    live = simulate("GMT", world, model, HashEncoder(8), QUIET)
    assert live.total.mean < simple["global ranking"].total.mean
    assert live.by_turn.shape == (30, 15)
    again = simulate("GMT", world, model, HashEncoder(8), QUIET)
    assert np.array_equal(live.by_turn, again.by_turn)


# Configurations and runs --------------------------------------------------------------------------------------


def config_file(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


def test_the_published_configuration_is_read_as_it_is(tmp_path):
    config = load_config(config_file(tmp_path, PUBLISHED.format(path="./data", epochs=350, root="./models")))
    assert (config.train.lr, config.train.variant, config.train.multi_turn) == (5e-4, "published", False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset: {name: mt_bench}\ntrain: {aggregation_type: max}", "train.aggregation_type is 'max'"),
        ("dataset: {name: other}", "dataset.name is 'other'"),
        ("dataset: {name: mmlu}\ntrain: {epochs: 0}", "train.epochs is 0"),
        ("dataset: {name: mmlu}\ntrain: {speed: 1}", "train.speed is 1"),
        ("dataset: {name: mmlu}\ntrain: {variant: personal, lr: 1}", "train.lr has no effect on variant personal"),
        ("dataset: {name: mmlu}\ntrain: {variant: personal, seed: 1}", "train.seed has no effect on variant personal"),
        (
            "dataset: {name: mmlu}\ntrain: {variant: personal}\ncheckpoint: {save_every: 5}",
            "checkpoint.save_every has no effect on variant personal",
        ),
        ("dataset: {name: mmlu}\ntrain: {rounds: 5}", "train.rounds has no effect on variant published"),
        ("{", "is no YAML"),
        ("", "the file is None"),
    ],
)
def test_a_configuration_without_meaning_is_one_clear_line(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        load_config(config_file(tmp_path, text))


def test_preprocessed_pickles_are_refused_and_never_loaded(tmp_path):
    (tmp_path / "mt_bench").mkdir()
    (tmp_path / "mt_bench" / "training_set.pt").write_bytes(b"anything")
    config = load_config(config_file(tmp_path, PUBLISHED.format(path=tmp_path, epochs=1, root=tmp_path)))
    with pytest.raises(DataError, match="which are pickles; expected training_set"):
        load_votes(config, None)
    with pytest.raises(DataError, match="--data"):
        load_votes(GmtConfig.model_validate({"dataset": {"name": "gsm8k", "path": tmp_path}}), None)


@pytest.fixture
def published_files(tmp_path):
    split = split_votes(opposite_users(users=6, each=30), 0)
    written = write_published(VoteData(splits=(split,), notes={}), tmp_path / "data" / "mt_bench", HashEncoder(8))
    assert [p.name for p in written] == ["training_set.jsonl", "valid_set.jsonl", "test_set.jsonl"]
    return tmp_path / "data"


def test_a_published_configuration_runs_and_goes_on_where_it_was(tmp_path, published_files):
    text = PUBLISHED.format(path=published_files, epochs=2, root=tmp_path / "models")
    config = load_config(config_file(tmp_path, text))
    results = run_gmt(config, None, None, HashEncoder(8), QUIET)
    folder = tmp_path / "models" / "gmt-mt_bench-sample-published"
    assert {row["name"] for row in results["rows"]} == {"published router", *BASELINES}
    assert "never loaded" in results["notes"]["preprocess"]
    before = (folder / "results.json").read_bytes()
    run_gmt(config, None, None, HashEncoder(8), QUIET)
    assert (folder / "results.json").read_bytes() == before
    (folder / "split-0.json").unlink()  # as after a kill between training and the table
    run_gmt(config, None, None, HashEncoder(8), QUIET)
    assert (folder / "results.json").read_bytes() == before


def test_files_that_are_split_already_are_not_split_by_questions(tmp_path, published_files):
    text = f"dataset: {{name: mt_bench, path: {published_files}, split: questions}}"
    with pytest.raises(DataError, match=r"dataset\.split questions has no effect on"):
        load_votes(load_config(config_file(tmp_path, text)), None)


def test_users_with_too_few_conversations_are_one_clear_line():
    with pytest.raises(DataError, match="no user has 12 rated conversations, which a test takes; the most of one is 3"):
        split_votes([group("ann", f"q{n}") for n in range(3)], 0)


def test_a_file_without_a_preference_is_one_clear_line(tmp_path, published_files):
    ties = [group("ann", f"t{n}", ratings=((0.5, 0.5),)) for n in range(3)]
    write_groups(published_files / "mt_bench" / "valid_set.jsonl", ties)
    with pytest.raises(DataError, match=r"valid_set\.jsonl: no vote in it prefers an LLM to another"):
        load_votes(GmtConfig.model_validate({"dataset": {"name": "mt_bench", "path": published_files}}), None)


def test_a_run_folder_is_not_gone_on_with_by_other_votes(tmp_path, published_files):
    text = f"dataset: {{name: mt_bench, path: {published_files}}}\ntrain: {{variant: personal, contexts: 1, rounds: 1}}"
    config = load_config(config_file(tmp_path, text))
    run_gmt(config, None, tmp_path / "run", HashEncoder(8), QUIET)
    write_groups(published_files / "mt_bench" / "test_set.jsonl", opposite_users(users=6, each=5, seed=9))
    with pytest.raises(ConfigError, match="votes"):
        run_gmt(config, None, tmp_path / "run", HashEncoder(8), QUIET)


def test_our_router_beside_everything_simple(tmp_path, published_files):
    text = f"dataset: {{name: mt_bench, path: {published_files}}}\ntrain: {{variant: personal, contexts: 2, rounds: 5}}"
    results = run_gmt(load_config(config_file(tmp_path, text)), None, tmp_path / "run", HashEncoder(8), QUIET)
    rows = {row["name"]: row for row in results["rows"]}
    assert rows["ours"]["accuracy_difference"]["low"] > 0
    assert rows["ours, users swapped"]["accuracy"] < rows["ours"]["accuracy"]
    assert [row["visible"] for row in results["cold_start"]] == [0, 1, 2, 5, 10]
    assert results["decisions_changed_by_swapping_users"] > 0.3
    assert (tmp_path / "run" / "checkpoint.safetensors").is_file()
    assert json.loads((tmp_path / "run" / "results.json").read_text())["rows"]
    assert "global Bradley-Terry" in (tmp_path / "run" / "results.md").read_text()


@pytest.fixture
def left(tmp_path, monkeypatch):
    """Files that a run leaves at a place; its votes are split twice, as votes that are built from raw data are."""
    groups = opposite_users(users=8, each=20)
    splits = tuple(split_votes(groups, seed) for seed in range(2))
    monkeypatch.setattr(experiment, "load_votes", lambda config, data: VoteData(splits=splits, notes={}))
    monkeypatch.setattr(experiment, "difference", lambda a, b, measure, draws=0: difference(a, b, measure, draws=3))

    def by(where, train):
        config = GmtConfig.model_validate({"dataset": {"name": "mt_bench"}, "train": train})
        out = tmp_path / f"out{where.workers}{where.ray}"
        run_gmt(config, None, out, HashEncoder(8), QUIET, where)
        return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}

    return by


OURS = {"variant": "personal", "contexts": 1, "rounds": 1}


@pytest.mark.parametrize("train", [OURS, {"epochs": 2}])
def test_any_number_of_workers_leaves_the_files_of_one_process(left, train):
    alone = left(Workers(), train)
    assert {"results.json", "results.md", "split-0.json", "split-1.json"} < set(alone)
    assert ("checkpoint.safetensors" in alone) == ("newcomers-1.json" in alone) == ("variant" in train)
    assert left(Workers(workers=1), train) == left(Workers(workers=2), train) == alone


@on_ray
def test_actors_leave_the_files_of_one_process(left):
    assert left(Workers(workers=2, ray="local"), OURS) == left(Workers(), OURS)
