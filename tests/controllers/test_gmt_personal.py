"""The personal router: finds what is there, shrinks what is not, needs no training for a new user, survives saving."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mar.api import load_controller
from mar.controllers.embeddings import HashEncoder
from mar.controllers.gmt import GmtRouter
from mar.controllers.gmt.checkpoint import load_personal, save_personal
from mar.controllers.gmt.comparisons import comparisons_of, names_of
from mar.controllers.gmt.mixed import Term, fit, posterior
from mar.controllers.gmt.personal import PersonalSettings, fit_personal, predict, states_of
from mar.errors import CheckpointError
from tests.controllers.gmt_votes import group, opposite_users

SMALL = PersonalSettings(contexts=2, rounds=8)


@pytest.fixture(scope="module")
def opposite():
    groups = opposite_users()
    names = names_of(groups, HashEncoder(8))
    train = [g for i, g in enumerate(groups) if i % 5]
    test = [g for i, g in enumerate(groups) if not i % 5]
    votes = comparisons_of(train, names)
    return fit_personal(votes, SMALL), votes, comparisons_of(test, names)


def accuracy(score, votes):
    return np.mean(score * votes.sign > 0)


def test_users_of_opposite_tastes_are_told_apart_where_one_ranking_is_a_coin_flip(opposite):
    model, train, test = opposite
    # Votes agree with a taste nine times out of ten, so 0.9 is the most there is; a ranking for all gets a half.
    assert accuracy(predict(model, states_of(model, train), test), test) > 0.8
    assert accuracy(predict(model, {}, test), test) < 0.65
    assert model.learned["taste"] > 0.3


def test_swapping_users_changes_decisions(opposite):
    model, train, test = opposite
    states = states_of(model, train)
    swapped = {u: states[f"u{(int(u[1:]) + 1) % len(states):02d}"] for u in states}
    own, other = predict(model, states, test), predict(model, swapped, test)
    assert np.mean(np.sign(own) != np.sign(other)) > 0.6
    assert accuracy(other, test) < 0.4


def test_a_new_user_is_at_the_prior_and_a_few_votes_tell_without_training(opposite):
    model, _, _ = opposite
    asked = [group("new", "q0-1", ("m0", "m2"))]
    names = names_of([*opposite_users(), *asked], HashEncoder(8))
    test = comparisons_of(asked, names)
    for ratings, sign in (((1.0, 0.0), 1), ((0.0, 1.0), -1)):
        seen = [group("new", f"mine{n}", ("m0", "m2"), (ratings,)) for n in range(4)]
        names = names_of([*asked, *seen, group("x", "y", ("m0", "m1"))], HashEncoder(8))
        visible = comparisons_of(seen, names)
        score = predict(model, states_of(model, visible), comparisons_of(asked, names))
        assert np.sign(score[0]) == sign
    assert abs(predict(model, {}, test)[0]) < 1.5


def test_tastes_that_are_not_there_shrink_to_nothing():
    rng = np.random.default_rng(0)
    groups = [
        group(f"u{u}", f"q{u}-{n}", ("m0", "m1"), ((a, 1 - a),))
        for u in range(20)
        for n in range(20)
        for a in (float(rng.random() < 0.7),)
    ]
    votes = comparisons_of(groups, names_of(groups, HashEncoder(8)))
    model = fit_personal(votes, SMALL)
    assert model.learned["taste"] + model.learned["trust"] < 0.1
    assert model.population["skill"][0] - model.population["skill"][1] == pytest.approx(np.log(0.7 / 0.3), abs=0.3)


def test_what_others_said_of_a_question_counts_for_everybody():
    # m1 is better everywhere but on one question, where eight people say the opposite
    groups = [group(f"u{n}", f"q{n}", ratings=((0.0, 1.0),)) for n in range(30)]
    groups += [group(f"u{n}", "odd", ratings=((1.0, 0.0),)) for n in range(8)]
    asked = [group("u9", "odd"), group("u9", "q99")]
    names = names_of([*groups, *asked], HashEncoder(8))
    model = fit_personal(comparisons_of(groups, names), SMALL)
    odd, other = predict(model, {}, comparisons_of(asked, names))
    assert odd > 0 > other


def test_one_term_with_one_owner_is_ridge_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(1)
    x = rng.standard_normal((200, 3))
    y = (rng.random(200) < 1 / (1 + np.exp(-x @ [1.0, -2.0, 0.0]))).astype(float)
    term = Term(name="t", owner=np.zeros(200, dtype=np.int64), owners=1, x=x, parts=((3, "fixed"),))
    ours = fit([term], y, np.ones(200), {"t": 2.0 * np.eye(3)}, rounds=0).coefficients["t"][0]
    theirs = LogisticRegression(C=2.0, fit_intercept=False, tol=1e-8).fit(x, y).coef_[0]
    assert ours == pytest.approx(theirs, abs=1e-3)
    mode, covariance = posterior(x, np.zeros(200), y, np.ones(200), 2.0 * np.eye(3))
    assert mode == pytest.approx(theirs, abs=1e-3)
    assert np.all(np.linalg.eigvalsh(covariance) > 0)
    again, _ = posterior(x, np.zeros(200), y, np.ones(200), 2.0 * np.eye(3), start=mode + 5)
    assert again == pytest.approx(mode, abs=1e-4)


def test_prior_variances_are_found_again():
    rng = np.random.default_rng(2)
    owners, each, true = 300, 20, 0.8
    owner = np.repeat(np.arange(owners), each)
    x = rng.standard_normal((owners * each, 1))
    c = np.sqrt(true) * rng.standard_normal(owners)
    y = (rng.random(len(owner)) < 1 / (1 + np.exp(-x[:, 0] * c[owner]))).astype(float)
    term = Term(name="t", owner=owner, owners=owners, x=x, parts=((1, "isotropic"),))
    found = fit([term], y, np.ones(len(y)), {"t": 0.1 * np.eye(1)}, rounds=15).prior["t"][0, 0]
    assert 0.55 < found < 1.05  # Laplace's approximation is a little low for binary outcomes


def test_a_saved_router_predicts_the_same(opposite, tmp_path):
    model, train, test = opposite
    path = tmp_path / "gmt.safetensors"
    save_personal(path, model, encoder="hash", notes={"votes": "made up"}, simulated=True)
    loaded = load_personal(path, HashEncoder())
    before = predict(model, states_of(model, train), test)
    assert np.array_equal(before, predict(loaded.model, states_of(loaded.model, train), test))
    assert loaded.header.notes == {"votes": "made up"}


def test_a_checkpoint_is_loaded_by_name_of_the_file_like_any_other(opposite, tmp_path, monkeypatch):
    monkeypatch.setenv("MAR_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "gmt.safetensors"
    save_personal(path, opposite[0], encoder="hash", notes={}, simulated=False)
    loaded = load_controller(path, encoder=HashEncoder())
    assert isinstance(loaded, GmtRouter)
    loaded.store.close()


def test_a_checkpoint_that_does_not_fit_is_refused_with_one_line(opposite, tmp_path):
    model, _, _ = opposite
    path = tmp_path / "gmt.safetensors"
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_personal(path, HashEncoder())
    save_personal(path, model, encoder="hash", notes={}, simulated=False)
    other = HashEncoder()
    other.name = "other"
    with pytest.raises(CheckpointError, match="embeddings of hash; this encoder is other"):
        load_personal(path, other)
    tensors = load_file(path)
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        header = file.metadata()["mar"]
    save_file(tensors | {"prior": np.eye(2)}, path, metadata={"mar": header})
    with pytest.raises(CheckpointError, match="tensor prior has shape"):
        load_personal(path, HashEncoder())
    save_file(tensors, path, metadata={"mar": json.dumps({"format": "x"})})
    with pytest.raises(CheckpointError, match="has format 'x'; expected 'mar/gmt/1'"):
        load_personal(path, HashEncoder())
    path.write_bytes(b"junk")
    with pytest.raises(CheckpointError, match="is no checkpoint of a preference router"):
        load_personal(path, HashEncoder())
