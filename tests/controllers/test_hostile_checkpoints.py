"""Checkpoints that would crash, hang or lie: each is one error line when it is loaded."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from mar.controllers.base import PlanSpace
from mar.controllers.embeddings import HashEncoder
from mar.controllers.masrouter import MasRouter, NetworkSettings, load_router, save_router
from mar.controllers.routers import Examples, RouterController, load_routed, make_router, save_routed
from mar.controllers.routers.base import prior
from mar.errors import CheckpointError, UserError
from mar.pool.simulated import EMPTY_WORLD, simulated_pool
from mar.runtime.prompts import PromptLibrary

ENCODER = HashEncoder(16)


def saved(path, kind, **parameters):
    rng = np.random.default_rng(0)
    examples = Examples(
        vectors=rng.standard_normal((60, 16)).astype(np.float32),
        scores=(rng.random((60, 2)) < 0.5).astype(np.float32),
        texts=tuple(f"question {i}" for i in range(60)),
    )
    router = make_router(kind, **parameters)
    router.fit(examples, examples)
    controller = RouterController(router=router, models=("a", "b"), ties=prior(examples), encoder=ENCODER)
    save_routed(path, controller, trained_on={})


def changed(path, *, tensors=None, about=None):
    with safe_open(path, framework="np") as file:
        header = json.loads(file.metadata()["mar"])
    kept = load_file(path)
    for name, change in (tensors or {}).items():
        kept[name] = change(kept[name].copy())
    save_file(kept, path, metadata={"mar": json.dumps({**header, **(about or {})})})


def put(value, at=0):
    def change(array):
        array.reshape(-1)[at] = value
        return array

    return change


def refused(path):
    with pytest.raises(UserError) as caught:
        load_routed(path, ENCODER)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("words_.1", 2**30), ("words_.1", -5), ("words_.2", 2**30)])
def test_indices_beyond_the_words_are_refused_and_not_followed(tmp_path, name, value):
    saved(tmp_path / "c", "kernel")
    changed(tmp_path / "c", tensors={name: put(value, at=1)})
    refused(tmp_path / "c")


def test_a_tree_that_leads_back_to_its_root_is_refused_and_not_walked_for_ever(tmp_path):
    saved(tmp_path / "c", "trees", trees=2)
    changed(tmp_path / "c", tensors={"left_": lambda a: a * 0, "right_": lambda a: a * 0})
    assert "never reach a leaf" in refused(tmp_path / "c")


def test_a_billion_steps_are_refused_and_not_made(tmp_path):
    saved(tmp_path / "c", "elo")
    changed(tmp_path / "c", about={"parameters": {"steps": 10**9}})
    assert "steps is 1000000000" in refused(tmp_path / "c")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_weights_that_are_no_weights_are_refused_and_named(tmp_path, value):
    saved(tmp_path / "c", "linear")
    name = next(n for n, a in load_file(tmp_path / "c").items() if a.dtype.kind == "f" and n != "ties")
    changed(tmp_path / "c", tensors={name: put(value)})
    assert f"tensor {name} holds" in refused(tmp_path / "c")


def test_deep_metadata_is_refused(tmp_path):
    saved(tmp_path / "c", "knn")
    save_file(
        load_file(tmp_path / "c"), tmp_path / "c", metadata={"mar": '{"format": "mar/router/1", "a": ' + "[" * 9999}
    )
    assert "nested too deeply" in refused(tmp_path / "c")


@pytest.mark.parametrize("setting", ["hidden", "embedding", "max_agents"])
def test_a_network_of_a_billion_is_refused_before_it_is_made(tmp_path, setting):
    space = PlanSpace.of(simulated_pool(EMPTY_WORLD), PromptLibrary.load())
    router = MasRouter(NetworkSettings(embedding=16, hidden=4), ENCODER, cost_rate=1.0)
    save_router(tmp_path / "c", router, space, trained_on={}, simulated=True)
    settings = router.settings.model_dump() | {setting: 10**9}
    changed(tmp_path / "c", about={"settings": settings})
    with pytest.raises(CheckpointError, match=f"settings.{setting}: Input should be less"):
        load_router(tmp_path / "c", ENCODER)
