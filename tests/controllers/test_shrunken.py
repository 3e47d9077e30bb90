"""The better router's parts: benchmarks told apart, means shrunk by what is noise, neighbours shrunk to benchmarks."""

from dataclasses import replace

import numpy as np
import pytest

from mar.controllers.embeddings import HashEncoder
from mar.controllers.routers import Examples, Prompts, RouterController, load_routed, make_router, save_routed
from mar.controllers.routers.base import joined
from mar.controllers.routers.kernel import advantage
from mar.controllers.routers.shrunken import Benchmarks, Neighbourhood, shrunken_means


def sources(n=300, names=("law", "maths", "music"), seed=0):
    """Prompts of some benchmarks, each with an LLM that solves 90% of it where the others solve 30%."""
    rng = np.random.default_rng(seed)
    which = rng.integers(0, len(names), n)
    vectors = np.random.default_rng(9).standard_normal((len(names), 12))[which] + 0.4 * rng.standard_normal((n, 12))
    right = np.where(np.eye(len(names))[which] > 0, 0.9, 0.3)
    return Examples(
        vectors=(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32),
        texts=tuple(f"{names[k]} {i}?" for i, k in enumerate(which)),
        scores=(rng.random((n, len(names))) < right).astype(np.float32),
        groups=tuple(names[k] for k in which),
    )


@pytest.mark.parametrize("names", [("law", "maths"), ("law", "maths", "music")])
@pytest.mark.parametrize("texts", [True, False])
def test_benchmarks_are_told_apart_and_their_means_predicted(names, texts):
    train, test = sources(names=names), sources(names=names, seed=1)
    if not texts:
        train, test = replace(train, texts=()), replace(test, texts=())
    router = Benchmarks()
    router.fit(train, train)
    best = np.array([names.index(group) for group in test.groups])
    assert (router.score(test).argmax(axis=1) == best).mean() > 0.95
    assert (router.known(test).argmax(axis=1) == best).all()


@pytest.mark.parametrize("groups", [(), ("all",) * 300])
def test_without_benchmarks_the_means_over_all_are_said(groups):
    train = replace(sources(), groups=groups)
    router = Benchmarks()
    router.fit(train, train)
    mean = advantage(train.scores).mean(axis=0)
    assert router.score(train) == pytest.approx(np.tile(mean, (300, 1)), abs=1e-6)
    assert router.known(train) == pytest.approx(np.tile(mean, (300, 1)), abs=1e-6)


def test_far_from_all_prompts_neighbours_say_what_the_benchmark_does():
    train = sources()
    router = Neighbourhood(pull=1e9)
    router.fit(train, train)
    prompts = Prompts(vectors=train.vectors[:5], texts=train.texts[:5])
    assert router.score(prompts) == pytest.approx(router.benchmarks_.score(prompts), abs=1e-5)


def test_means_of_groups_are_shrunk_as_far_as_sampling_explains_their_differences():
    rng = np.random.default_rng(0)
    member = np.eye(4, dtype=np.float32)[np.arange(400) % 4]
    noise = rng.standard_normal((400, 3)).astype(np.float32)
    raw = member.T @ noise / 100
    assert np.abs(shrunken_means(member, noise)).max() < 0.5 * np.abs(raw).max()  # nothing but noise
    apart = noise + member @ np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]], dtype=np.float32)
    assert shrunken_means(member, apart) == pytest.approx(member.T @ apart / 100, abs=0.05)  # hardly shrunk


def test_parts_are_joined_with_what_is_learned_from_each():
    train, other = sources(20), sources(10, seed=1)
    assert joined(train, other).labels is None
    both = joined(replace(train, labels=1 - train.scores), other)
    assert len(both) == 30
    assert both.texts == train.texts + other.texts
    assert both.groups[20:] == other.groups
    assert np.array_equal(both.targets, np.concatenate([1 - train.scores, other.scores]))


def test_shrunken_learns_from_validation_prompts_and_survives_a_checkpoint(tmp_path):
    train, validation, test = sources(), sources(60, seed=2), sources(seed=1)
    router, without = make_router("shrunken"), make_router("shrunken")
    router.fit(train, validation)
    without.fit(train, replace(validation, scores=1 - validation.scores))
    assert not np.array_equal(router.score(test), without.score(test))
    encoder = HashEncoder(12)
    controller = RouterController(router=router, models=("a", "b", "c"), ties=np.zeros(3), encoder=encoder)
    save_routed(tmp_path / "r", controller, trained_on={})
    assert np.array_equal(load_routed(tmp_path / "r", encoder).router.score(test), router.score(test))
