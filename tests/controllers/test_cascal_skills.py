"""Skill centroids: training, merging, routing, adding a model."""

import numpy as np
import pytest

from mar.controllers.cascal import (
    ABSTAINED,
    LocalSettings,
    SkillSettings,
    add_model,
    agreement_shares,
    consensus_scores,
    route,
    silhouette,
    spherical_kmeans,
    train_local,
    train_skills,
)
from mar.controllers.cascal.clustering import unit
from mar.controllers.cascal.skills import majority_support, merge_alike, merge_close
from mar.errors import ConfigError, DataError
from tests.controllers.cascal_worlds import responses


def blobs(per=60, *, width=8, seed=0):
    """Three well separated groups of unit vectors; the last is its own subject."""
    rng = np.random.default_rng(seed)
    centres = np.eye(width)[:3]
    points = np.concatenate([c + 0.08 * rng.standard_normal((per, width)) for c in centres])
    return unit(points).astype(np.float32), ["s"] * (2 * per) + ["t"] * per


def specialists(per=60, seed=0):
    """Model a is right in the first group, b in the second, c in the third; d and e are right wherever those are."""
    rng = np.random.default_rng(seed)
    table = rng.integers(1, 4, (3 * per, 5))
    for group in range(3):
        rows = slice(group * per, (group + 1) * per)
        table[rows, group], table[rows, 3:] = 0, 0
    return responses(table)


def test_silhouette_of_two_opposite_pairs_is_one_and_of_one_cluster_undefined():
    points = np.array([[1.0, 0], [1, 0], [-1, 0], [-1, 0]])
    assert silhouette(points, np.array([0, 0, 1, 1])) == pytest.approx(1.0)
    assert silhouette(points, np.zeros(4, int)) == -1


def test_silhouette_equals_its_definition_on_random_points():
    from sklearn.metrics import silhouette_score

    rng = np.random.default_rng(0)
    points, labels = unit(rng.standard_normal((40, 5))), rng.integers(0, 3, 40)
    assert silhouette(points, labels) == pytest.approx(silhouette_score(points, labels, metric="cosine"))


def test_spherical_kmeans_finds_separated_groups_and_repeats_itself():
    points = blobs()[0].astype(float)
    found = [spherical_kmeans(points, np.ones(len(points)), 3, np.random.default_rng(0)) for _ in range(2)]
    assert len(set(found[0].labels[:60])) == 1
    assert len({found[0].labels[0], found[0].labels[60], found[0].labels[120]}) == 3
    assert found[0].centroids.tobytes() == found[1].centroids.tobytes()


def test_a_three_to_three_split_has_no_majority_except_in_the_published_code():
    table = responses([[0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, ABSTAINED]])
    assert majority_support(table, share_ties=False)[0].tolist() == [0] * 6
    assert majority_support(table, share_ties=True)[0].tolist() == [1.0] * 6
    assert majority_support(table, share_ties=False)[1] == pytest.approx([4 / 6] * 4 + [0, 0])


def test_close_centroids_merge_weighted_by_size():
    merged = merge_close(unit(np.array([[1.0, 0], [1, 0.2], [0, 1]])), np.array([3.0, 1, 1]), 0.15)
    assert len(merged) == 2
    assert merged[0] == pytest.approx(unit(3 * np.array([1.0, 0]) + unit(np.array([1, 0.2]))))


def test_clusters_with_other_leaders_stay_apart_unless_published():
    means = np.array([[0.9, 0.8, 0.7, 0], [0.8, 0.9, 0.7, 0]])  # the same three, in another order
    labels = np.array([0, 1, 1])
    assert merge_alike(means, labels, SkillSettings()).tolist() == [0, 1, 1]
    assert merge_alike(means, labels, SkillSettings(same_leader=False)).tolist() == [0, 0, 0]


def test_specialists_are_found_and_routed_to_without_labels():
    vectors, subjects = blobs()
    answers = specialists()
    skills = train_skills(answers, consensus_scores(answers), subjects, vectors)
    routes = route(skills, np.eye(8, dtype=np.float32)[:3])
    assert routes.subjects == ("s", "s", "t")
    assert set(routes.basis) == {"skills"}
    for group, own in enumerate("abc"):
        top = {skills.models[i] for i in routes.best(3)[group]}
        assert top == {own, "d", "e"}


def test_a_far_question_goes_by_the_overall_ranking_and_says_so():
    vectors, subjects = blobs()
    answers = specialists()
    skills = train_skills(answers, consensus_scores(answers), subjects, vectors)
    far = route(skills, np.eye(8, dtype=np.float32)[7:])  # at a right angle to everything: distance about 1
    assert far.basis == ("overall",)
    assert set(far.best(2)[0].tolist()) == {3, 4}
    near = unit(np.array([[1.0, 0, 0, 0, 0, 0, 0, 1.4]])).astype(np.float32)  # cosine 0.58, distance 0.42
    assert route(skills, near).basis == ("skills",)


def test_a_model_is_added_from_its_scores_alone():
    vectors, subjects = blobs()
    answers = specialists()
    scores = consensus_scores(answers)
    skills = train_skills(answers, scores, subjects, vectors)
    more = add_model(skills, "new", scores[:, 0], subjects)
    for name, subject in skills.subjects.items():
        assert more.subjects[name].centroids is subject.centroids
        assert more.subjects[name].scores[:, :5].tolist() == subject.scores.tolist()
        assert more.subjects[name].scores[:, 5] == pytest.approx(subject.scores[:, 0])
    with pytest.raises(ConfigError, match="known already"):
        add_model(skills, "a", scores[:, 0], subjects)
    with pytest.raises(DataError, match="learned on"):
        add_model(skills, "new", scores[:5, 0], subjects[:5])


def test_training_twice_gives_the_same_bytes():
    vectors, subjects = blobs()
    answers = specialists()
    one, two = (train_skills(answers, consensus_scores(answers), subjects, vectors) for _ in range(2))
    assert [s.centroids.tobytes() for s in one.subjects.values()] == [
        s.centroids.tobytes() for s in two.subjects.values()
    ]


def test_local_skills_follow_the_groups_and_take_a_new_model_as_if_it_had_been_there():
    vectors, subjects = blobs()
    answers = specialists()
    scores = agreement_shares(answers)
    settings = LocalSettings(neighbours=20, clusters=(3,), neighbour_prior=1, cluster_prior=1, ridge=1)
    whole = train_local(answers.models, scores, subjects, vectors, settings)
    assert {frozenset(row) for row in whole.route(vectors[[0, 60, 120]]).best(3).tolist()} == {
        frozenset({0, 3, 4}), frozenset({1, 3, 4}), frozenset({2, 3, 4})
    }  # fmt: skip
    part = train_local(answers.models[:4], scores[:, :4], subjects, vectors, settings)
    grown = part.with_model("e", scores[:, 4])
    assert grown.estimate(vectors[:9])[0] == pytest.approx(whole.estimate(vectors[:9])[0])
    assert whole.route(np.eye(8, dtype=np.float32)[7:]).basis == ("overall",)


def test_tables_of_different_lengths_are_refused():
    vectors, subjects = blobs()
    answers = specialists()
    with pytest.raises(DataError, match="as many of each"):
        train_skills(answers, consensus_scores(answers), subjects[:-1], vectors)
    with pytest.raises(DataError, match="as many of each"):
        train_local(answers.models, consensus_scores(answers), subjects, vectors[:-1])
    with pytest.raises(ConfigError, match="merge_threshold 3"):
        SkillSettings(merge_threshold=3)
