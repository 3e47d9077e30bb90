"""Routers learn what can be learned, break ties as they should, and run as controllers from a checkpoint."""

import json
import os
import shutil
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mar.controllers import PlanSpace
from mar.controllers.embeddings import HashEncoder, SentenceEncoder
from mar.controllers.routers import (
    ROUTERS,
    Examples,
    Prompts,
    RouterController,
    load_routed,
    make_router,
    save_routed,
)
from mar.controllers.routers.base import distribution, prior
from mar.controllers.routers.clusters import Cluster
from mar.controllers.routers.neighbours import Knn, nearest
from mar.errors import CheckpointError, ConfigError
from mar.extensions import parse_call
from mar.pool.cards import ModelCard
from mar.runtime.prompts import PromptLibrary
from mar.types import Query
from tests.controllers.encoders import tiny_encoder

ENCODER = HashEncoder(16)
TRAINED = sorted(ROUTERS.keys() - {"roberta_MLC"})  # which needs an encoder, see below


@cache
def kinds():
    """600 prompts of two kinds: `left` solves 90% of the first and 20% of the second, `right` the reverse."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, 600)
    vectors = rng.standard_normal((2, 16))[kind] + 0.3 * rng.standard_normal((600, 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    scores = (rng.random((600, 3)) < np.array([[0.9, 0.2, 0.3], [0.2, 0.9, 0.3]])[kind]).astype(np.float32)
    texts = tuple(f"{('apple', 'pear')[k]} {i}" for i, k in enumerate(kind))
    cuts = (slice(0, 400), slice(400, 450), slice(450, 600))
    return [Examples(vectors=vectors[c], texts=texts[c], scores=scores[c]) for c in cuts]


@cache
def trained(name):
    train, validation, _ = kinds()
    router = make_router(name)
    router.fit(train, validation)
    return router


@pytest.mark.parametrize("name", TRAINED)
def test_every_router_tells_the_two_kinds_apart(name):
    test = kinds()[2]
    scores = trained(name).score(test)
    reached = test.scores[np.arange(len(test)), scores.argmax(axis=1)].mean()
    assert test.scores.mean(axis=0).max() < 0.65  # the best single LLM
    assert reached > 0.8
    rows = distribution(trained(name), test, scores)
    assert rows.sum(axis=1) == pytest.approx(np.ones(len(test)), abs=1e-4)
    assert (rows >= 0).all()


@pytest.mark.parametrize("name", TRAINED)
def test_a_checkpoint_scores_as_the_router_did(name, tmp_path):
    controller = RouterController(
        router=trained(name), models=("a", "b", "c"), ties=prior(kinds()[0]), encoder=ENCODER, name=name, domain="Math"
    )
    save_routed(tmp_path / "r.safetensors", controller, trained_on={"table": "kinds"})
    found = load_routed(tmp_path / "r.safetensors", ENCODER)
    assert (found.models, found.name, found.domain) == (("a", "b", "c"), name, "Math")
    assert np.array_equal(found.router.score(kinds()[2]), trained(name).score(kinds()[2]))


def space_of(*names):
    return PlanSpace(cards=tuple(ModelCard(name=n) for n in names), prompts=PromptLibrary.load())


def controller_of(scores, models=("a", "b", "c")):
    class Fixed:
        def fit(self, train, validation): ...

        def score(self, prompts):
            return np.tile(np.array(scores, dtype=np.float32), (len(prompts), 1))

    ties = np.array([0.1, 0.2, 0.3], dtype=np.float32)
    return RouterController(router=Fixed(), models=models, ties=ties, encoder=ENCODER)


def models_of(planned):
    return [p.plan.agents[0].model for p in planned]


def test_a_controller_plans_one_agent_on_the_best_llm_that_the_pool_has():
    controller = controller_of([0.9, 0.5, 0.5])
    queries = [Query(text="x", id="1"), Query(text="y", id="2", domain="Math")]
    planned = controller.plan(queries, space_of("c", "b", "a"))
    assert models_of(planned) == ["a", "a"]
    assert [p.plan.domain for p in planned] == ["Commonsense", "Math"]
    assert [p.plan.mode.name for p in planned] == ["IO", "IO"]
    assert models_of(controller.plan(queries, space_of("b", "c", "other"))) == ["c", "c"]  # a tie: the training mean
    assert controller.plan([], space_of("a")) == []


def test_a_router_that_knows_costs_takes_the_cheaper_llm_where_money_counts():
    controller = controller_of([0.9, 0.8, 0.1])
    controller.costs = np.array([0.03, 0.01, 0.0], dtype=np.float32)
    queries = [Query(text="x", id="1")]
    # From 5 a USD on the first costs 0.1 more than the second, from 70 on that costs 0.7 more than the third.
    for rate, best in ((0.0, "a"), (4.0, "a"), (6.0, "b"), (69.0, "b"), (71.0, "c")):
        controller.cost_rate = rate
        assert models_of(controller.plan(queries, space_of("a", "b", "c"))) == [best]


def test_a_price_of_money_means_nothing_to_a_router_without_costs():
    with pytest.raises(ConfigError, match="fitted without costs"):
        controller_of([1, 2, 3]).cost_rate = 1.0


def test_costs_and_the_price_of_money_are_kept(tmp_path):
    costs = np.array([0.1, 0.2, 0.3], dtype=np.float32)
    made = RouterController(
        router=trained("knn"), models=("a", "b", "c"), ties=costs, encoder=ENCODER, costs=costs, rate=7.0
    )
    save_routed(tmp_path / "r.safetensors", made, trained_on={})
    found = load_routed(tmp_path / "r.safetensors", ENCODER)
    assert found.cost_rate == 7.0
    assert np.array_equal(found.costs, costs)


def test_a_pool_without_any_of_its_llms_is_refused():
    with pytest.raises(ConfigError, match="none of the LLMs that router chooses from: a, b, c"):
        controller_of([1, 2, 3]).plan([Query(text="x")], space_of("gpt"))


def test_checkpoints_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "r.safetensors"
    controller = RouterController(router=trained("knn"), models=("a", "b", "c"), ties=np.zeros(3), encoder=ENCODER)
    save_routed(path, controller, trained_on={})
    with pytest.raises(CheckpointError, match="embeddings of width 16; hash makes 8"):
        load_routed(path, HashEncoder(8))
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_routed(tmp_path / "none", ENCODER)
    header = json.loads(_metadata(path))
    for change, message in (
        ({"router": "os:system"}, "'os:system', which is not registered"),
        ({"format": "mar/router/9"}, "has format 'mar/router/9'"),
    ):
        save_file(load_file(path), tmp_path / "x", metadata={"mar": json.dumps(header | change)})
        with pytest.raises(CheckpointError, match=message):
            load_routed(tmp_path / "x", ENCODER)
    save_file({**load_file(path), "fit": np.zeros(1)}, tmp_path / "y", metadata={"mar": json.dumps(header)})
    with pytest.raises(CheckpointError, match="a tensor is called 'fit'"):
        load_routed(tmp_path / "y", ENCODER)


def _metadata(path):
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return file.metadata()["mar"]


def test_the_router_that_the_page_shows_is_saved_and_restored(tmp_path, monkeypatch, registries):
    page = (Path(__file__).parents[2] / "docs" / "routers.md").read_text()
    code = page.split("## A router of your own")[1].split("```python\n")[1].split("```")[0]
    assert len(code.split("@dataclass")[1].splitlines()) < 20
    (tmp_path / "page_routers.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    train, validation, test = kinds()
    router = make_router("page_routers:FirstWord", pull=20)
    router.fit(train, validation)
    controller = RouterController(router=router, models=("a", "b", "c"), ties=prior(train), encoder=ENCODER)
    save_routed(tmp_path / "r", controller, trained_on={})
    with pytest.raises(CheckpointError, match="not registered"):
        load_routed(tmp_path / "r", ENCODER)
    ROUTERS.register("first_word", "page_routers:FirstWord")
    restored = load_routed(tmp_path / "r", ENCODER).router
    assert restored.pull == 20
    assert restored.words_.tolist() == ["apple", "pear"]  # text of unequal lengths
    assert np.array_equal(restored.score(test), router.score(test))
    unseen = Prompts(vectors=test.vectors[:1], texts=("plum 1",))
    assert restored.score(unseen)[0] == pytest.approx(train.scores.mean(axis=0))


def test_knn_is_the_mean_of_the_nearest():
    vectors = np.array([[1, 0], [0.8, 0.6], [0, 1], [-1, 0]], dtype=np.float32)
    examples = Examples(vectors=vectors, scores=np.array([[1, 0], [0, 0], [0, 1], [1, 1]], dtype=np.float32))
    router = Knn(k=2)
    router.fit(examples, examples)
    assert router.score(Prompts(vectors=vectors[:1])).tolist() == [[0.5, 0.0]]
    router = Knn(k=9)  # more than there are: all
    router.fit(examples, examples)
    assert router.score(Prompts(vectors=vectors[:1])).tolist() == [[0.5, 0.5]]


def test_of_equal_neighbours_the_later_ones_count():
    vectors = np.array([[1, 0]] * 6, dtype=np.float32)
    assert sorted(nearest(vectors[:1], vectors, 2)[0].tolist()) == [4, 5]


def test_a_cluster_goes_to_its_best_llm_and_distances_are_shared():
    router = Cluster()
    router.centres_ = np.array([[0, 0], [3, 0], [0, 4]], dtype=np.float32)
    router.best_ = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0]], dtype=np.float32)
    at = Prompts(vectors=np.array([[1, 0]], dtype=np.float32))  # distances 1, 2 and sqrt(17)
    scores = router.score(at)
    assert scores[0] == pytest.approx([1, 0.5, 0])
    second = 0.5 + 17**-0.5
    assert router.distribution(at, scores)[0] == pytest.approx([1 / (1 + second), second / (1 + second), 0])


def test_a_gaussian_mixture_can_take_the_place_of_the_clusters():
    train, validation, test = kinds()
    router = make_router("roberta_cluster", mixture="gaussian")
    router.fit(train, validation)
    assert test.scores[np.arange(len(test)), router.score(test).argmax(axis=1)].mean() > 0.8


def test_an_llm_that_never_solves_anything_is_no_obstacle():
    train, validation, test = kinds()
    none = [Examples(vectors=e.vectors, texts=e.texts, scores=e.scores * [1, 1, 0]) for e in (train, validation)]
    none = [Examples(vectors=e.vectors, texts=e.texts, scores=e.scores.astype(np.float32)) for e in none]
    for name in TRAINED:
        router = make_router(name)
        router.fit(*none)
        assert np.isfinite(router.score(test)).all(), name


def test_the_same_seed_gives_the_same_network():
    train, validation, test = kinds()
    again = make_router("mlp")
    again.fit(train, validation)
    assert np.array_equal(again.score(test), trained("mlp").score(test))


def test_a_router_is_named_or_given_as_module_and_class(tmp_path, monkeypatch, registries):
    (tmp_path / "mine_router.py").write_text(
        "class Mine:\n    def __init__(self, k=1):\n        self.k = k\n"
        "    def fit(self, train, validation): ...\n    def score(self, prompts): return prompts.vectors\n"
    )
    monkeypatch.chdir(tmp_path)
    assert make_router("mine_router:Mine", k=3).k == 3
    ROUTERS.register("mine", "mine_router:Mine")
    assert make_router("mine").k == 1
    with pytest.raises(ConfigError, match="there is a router 'mine' already"):
        ROUTERS.register("mine", "other:Mine")
    for name, message in (
        ("nothing", "unknown router 'nothing'; there are: knn"),
        ("mine_router:Other", "mine_router has no 'Other'"),
        ("json:JSONDecoder", "has no fit and score"),
    ):
        with pytest.raises(ConfigError, match=message):
            make_router(name)
    with pytest.raises(ConfigError, match="no parameter 'neighbours'; expected one of k"):
        make_router("knn", neighbours=2)


def test_parameters_on_a_command_line():
    assert parse_call("knn", "router") == ("knn", {})
    assert parse_call('roberta_cluster(clusters=8, mixture="gaussian")', "router") == (
        "roberta_cluster",
        {"clusters": 8, "mixture": "gaussian"},
    )
    with pytest.raises(ConfigError, match="expected a name, or name"):
        parse_call("knn(5)", "router")


@cache
def test_a_multi_label_classifier_is_fine_tuned_on_texts_and_restored(tmp_path):
    train, validation, test = kinds()
    settings = {"encoder": str(tiny_encoder(tmp_path)), "epochs": 6, "lr": 0.01, "warm_up": 5, "batch": 20}
    router = make_router("roberta_MLC", **settings)
    router.fit(train, validation)
    scores = router.score(test)
    assert test.scores[np.arange(len(test)), scores.argmax(axis=1)].mean() > 0.8
    assert (scores >= 0).all()
    controller = RouterController(router=router, models=("a", "b", "c"), ties=np.zeros(3), encoder=ENCODER)
    save_routed(tmp_path / "r.safetensors", controller, trained_on={})
    again = load_routed(tmp_path / "r.safetensors", ENCODER).router
    assert again.score(test) == pytest.approx(scores, abs=1e-5)
    with pytest.raises(ConfigError, match="reads the prompts' texts"):
        router.score(Prompts(vectors=test.vectors))


def test_an_encoder_in_a_folder_is_known_by_what_it_holds(tmp_path):
    folder = tiny_encoder(tmp_path / "tiny")
    encoder = SentenceEncoder(str(folder))
    vectors = encoder.encode(["apple 1", "pear 2"])
    assert vectors.shape == (2, encoder.width) == (2, 16)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-5)
    moved = shutil.copytree(folder, tmp_path / "elsewhere" / folder.name)
    assert SentenceEncoder(str(moved)).name == encoder.name
    weights = load_file(moved / "model.safetensors")
    save_file({name: w + 0.1 for name, w in weights.items()}, moved / "model.safetensors", metadata={"format": "pt"})
    assert SentenceEncoder(str(moved)).name != encoder.name


def test_a_decision_of_a_fitted_router_takes_milliseconds():
    one = Prompts(vectors=kinds()[2].vectors[:1], texts=kinds()[2].texts[:1])
    times = []
    for _ in range(20):
        begin = time.perf_counter()
        trained("knn").score(one)
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.01, os.getloadavg()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("knn(kk=3)", "no parameter 'kk'; expected one of k"),
        ("knn(k=0)", "k is 0; expected a number above 0"),
        ("knn(k=1.5)", "k is 1.5; expected a whole number"),
        ("knn(k=3,k=4)", "each parameter once"),
        ("knn(3)", r"name\(parameter=value"),
        ("kernel(", r"name\(parameter=value"),
    ],
)
def test_what_a_router_does_not_take_is_refused_and_named(text, says):
    def made():
        name, parameters = parse_call(text, "router")
        return make_router(name, **parameters)

    with pytest.raises(ConfigError, match=says):
        made()
